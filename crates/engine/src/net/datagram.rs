//! Datagrams: one at a time with its sender's address, or as many at once as there are.

use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

use rustix::net::{self, RecvFlags, SocketAddrUnix};

use super::address::{SocketAddr, UnixAddr};
use super::socket::SENDING;
use crate::error::{Error, Result};

/// As many bytes as a datagram of UDP, or of IP, can have, and then some.
pub const MAX_UDP: usize = 64 * 1024;

/// How many datagrams [`recv_many`] takes at most.
pub const MAX_BATCH: usize = 32;

/// Receives a datagram of at most `buffer.len()` bytes (the rest of a longer one is lost) into
/// memory that may hold nothing yet; says how many bytes it has, all of which are initialized,
/// and who sent it.
///
/// # Errors
///
/// Those of recvfrom(2), with its name.
pub fn recv_from_uninit(
    fd: impl AsFd,
    buffer: &mut [MaybeUninit<u8>],
) -> Result<(usize, SocketAddr)> {
    let ((filled, _), _, sender) = net::recvfrom(fd, buffer, RecvFlags::DONTWAIT)
        .map_err(|errno| Error::from_rustix("recvfrom", errno))?;
    let sender = sender.map_or(SocketAddr::Unspecified, SocketAddr::from_any);
    Ok((filled.len(), sender))
}

/// Sends one datagram to `address`, and says how many bytes that was: all of them. No SIGPIPE.
///
/// # Errors
///
/// Those of sendto(2), with its name. EAFNOSUPPORT for an address that nothing can be sent to
/// ([`SocketAddr::Unspecified`], [`SocketAddr::Other`], an unnamed Unix address),
/// ENAMETOOLONG and EINVAL for a Unix path that does not fit or has a NUL in it.
pub fn send_to(fd: impl AsFd, bytes: &[u8], address: &SocketAddr) -> Result<usize> {
    match address {
        SocketAddr::V4(address) => net::sendto(fd, bytes, SENDING, address),
        SocketAddr::V6(address) => net::sendto(fd, bytes, SENDING, address),
        SocketAddr::Unix(UnixAddr::Path(path)) => SocketAddrUnix::new(path.as_slice())
            .and_then(|address| net::sendto(fd, bytes, SENDING, &address)),
        SocketAddr::Unix(UnixAddr::Abstract(name)) => SocketAddrUnix::new_abstract_name(name)
            .and_then(|address| net::sendto(fd, bytes, SENDING, &address)),
        SocketAddr::Unix(UnixAddr::Unnamed)
        | SocketAddr::Unspecified
        | SocketAddr::Other { .. } => Err(rustix::io::Errno::AFNOSUPPORT),
    }
    .map_err(|errno| Error::from_rustix("sendto", errno))
}

/// Memory for what [`recv_many`] receives: a megabyte or two of the address space, of which the
/// kernel provides what was once written to.
#[derive(Default)]
pub struct Datagrams {
    memory: Vec<MaybeUninit<u8>>,
}

impl Datagrams {
    /// No memory yet.
    pub const fn new() -> Self {
        Self { memory: Vec::new() }
    }

    /// Room for `count` datagrams.
    fn room(&mut self, count: usize) -> impl Iterator<Item = &mut [MaybeUninit<u8>]> {
        if self.memory.is_empty() {
            let whole = MAX_BATCH * MAX_UDP;
            self.memory.reserve_exact(whole);
            self.memory.resize(whole, MaybeUninit::uninit());
        }
        self.memory.chunks_exact_mut(MAX_UDP).take(count)
    }
}

/// Room for an address of IP, the longest kind there.
type Name = libc::sockaddr_in6;

/// A datagram that was received.
pub struct Datagram<'a> {
    /// What was sent.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub sender: SocketAddr,
}

/// Receives what waits on an IP socket, at most `most` datagrams (and at most [`MAX_BATCH`]), in one
/// call; gives each to `take`, in order, and says how many there were. Fewer than `most`: no more
/// waited.
///
/// # Errors
///
/// Those of recvmmsg(2), with its name, if there was one before the first datagram; a later one
/// is the next call's.
#[allow(unsafe_code)]
pub fn recv_many(
    fd: impl AsFd,
    datagrams: &mut Datagrams,
    most: usize,
    mut take: impl FnMut(Datagram<'_>),
) -> Result<usize> {
    let most = most.clamp(1, MAX_BATCH);
    let mut names = [const { MaybeUninit::<Name>::uninit() }; MAX_BATCH];
    let mut slices = [const { MaybeUninit::<libc::iovec>::uninit() }; MAX_BATCH];
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MAX_BATCH];
    let places = headers.iter_mut().zip(&mut names).zip(&mut slices);
    for (room, ((header, name), slice)) in datagrams.room(most).zip(places) {
        // SAFETY: E20: all zeros is an empty header.
        let mut empty: libc::mmsghdr = unsafe { std::mem::zeroed() };
        empty.msg_hdr.msg_name = name.as_mut_ptr().cast();
        empty.msg_hdr.msg_namelen = size_of::<Name>() as libc::socklen_t;
        empty.msg_hdr.msg_iov = slice.write(libc::iovec {
            iov_base: room.as_mut_ptr().cast(),
            iov_len: room.len(),
        });
        empty.msg_hdr.msg_iovlen = 1;
        header.write(empty);
    }
    // SAFETY: E20: `most` headers are written; each names memory of the lengths it says, which
    // lives, lent to nobody else, until the end of this function.
    let received = unsafe {
        libc::recvmmsg(
            fd.as_fd().as_raw_fd(),
            headers.as_mut_ptr().cast(),
            most as libc::c_uint,
            libc::MSG_DONTWAIT as _,
            std::ptr::null_mut(),
        )
    };
    let Ok(received) = usize::try_from(received) else {
        return Err(Error::last("recvmmsg"));
    };
    let rooms = datagrams.room(received);
    for ((header, name), room) in headers.iter().zip(&names).zip(rooms) {
        // SAFETY: E20: written above; the kernel has written as many bytes, and as much of a name, as it says.
        let (bytes, sender) = unsafe {
            let header = header.assume_init_ref();
            let filled = (header.msg_len as usize).min(room.len());
            let bytes = std::slice::from_raw_parts(room.as_ptr().cast::<u8>(), filled);
            (bytes, sender(name, header.msg_hdr.msg_namelen as usize))
        };
        take(Datagram { bytes, sender });
    }
    Ok(received)
}

/// The address in the first `len` bytes of `name`.
///
/// # Safety
///
/// E20: the kernel has written an address of `len` bytes there.
#[allow(unsafe_code)]
unsafe fn sender(name: &MaybeUninit<Name>, len: usize) -> SocketAddr {
    if len < size_of::<libc::sa_family_t>() || len > size_of::<Name>() {
        return SocketAddr::Unspecified;
    }
    let start = name.as_ptr();
    // SAFETY: E20: the family comes first, and the lengths say that the rest of it is there. IPv4's structure has no
    // stricter alignment than IPv6's.
    unsafe {
        match i32::from(start.cast::<libc::sa_family_t>().read()) {
            libc::AF_INET if len >= size_of::<libc::sockaddr_in>() => {
                let v4 = start.cast::<libc::sockaddr_in>().read();
                let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
                SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)))
            }
            libc::AF_INET6 if len >= size_of::<libc::sockaddr_in6>() => {
                let v6 = start.read();
                SocketAddr::V6(SocketAddrV6::new(
                    Ipv6Addr::from(v6.sin6_addr.s6_addr),
                    u16::from_be(v6.sin6_port),
                    u32::from_be(v6.sin6_flowinfo),
                    v6.sin6_scope_id,
                ))
            }
            _ => SocketAddr::Unspecified,
        }
    }
}
