//! Connected and listening sockets, of any stream family.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{
    self, AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrUnix,
    SocketFlags, SocketType, sockopt,
};

use super::address::{SocketAddr, UnixAddr};
use crate::error::{Error, Result};

/// Nothing blocks, and a peer that is gone is an error.
pub(super) const SENDING: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);

/// Receives at most `buffer.len()` bytes and says how many; 0 is the end of the stream.
///
/// # Errors
///
/// Those of recv(2), with its name.
pub fn recv(fd: impl AsFd, buffer: &mut [u8]) -> Result<usize> {
    net::recv(fd, buffer, RecvFlags::DONTWAIT)
        .map(|(filled, _)| filled)
        .map_err(|errno| Error::from_rustix("recv", errno))
}

/// As [`recv`], into memory that holds nothing yet: as many bytes at its start are
/// initialized as are returned.
///
/// # Errors
///
/// Those of recv(2), with its name.
pub fn recv_uninit(fd: impl AsFd, buffer: &mut [MaybeUninit<u8>]) -> Result<usize> {
    net::recv(fd, buffer, RecvFlags::DONTWAIT)
        .map(|((filled, _), _)| filled.len())
        .map_err(|errno| Error::from_rustix("recv", errno))
}

/// Sends what there is room for, and says how many bytes that was. No SIGPIPE.
///
/// # Errors
///
/// Those of send(2), with its name.
pub fn send(fd: impl AsFd, bytes: &[u8]) -> Result<usize> {
    net::send(fd, bytes, SENDING).map_err(|errno| Error::from_rustix("send", errno))
}

/// Sends what there is room for of several slices, in order, in one call, and says how
/// many bytes that was. No SIGPIPE; hence sendmsg and not writev.
///
/// # Errors
///
/// Those of sendmsg(2), with its name.
pub fn send_vectored(fd: impl AsFd, slices: &[IoSlice<'_>]) -> Result<usize> {
    // The kernel refuses more with EMSGSIZE.
    let slices = &slices[..slices.len().min(super::MAX_SLICES)];
    let mut control = SendAncillaryBuffer::default();
    net::sendmsg(fd, slices, &mut control, SENDING)
        .map_err(|errno| Error::from_rustix("sendmsg", errno))
}

/// Takes the next connection of a listening socket: non-blocking, close-on-exec.
///
/// # Errors
///
/// Those of accept4(2), with its name. ECONNABORTED and the network errors that accept
/// reports for a connection that failed meanwhile concern that one alone.
pub fn accept(fd: impl AsFd) -> Result<(OwnedFd, SocketAddr)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (socket, peer) =
        net::acceptfrom_with(fd, flags).map_err(|errno| Error::from_rustix("accept4", errno))?;
    Ok((
        socket,
        peer.map_or(SocketAddr::Unspecified, SocketAddr::from_any),
    ))
}

/// Begins to connect; EINPROGRESS means that the outcome is told when the socket becomes
/// writable, by [`take_error`].
///
/// # Errors
///
/// Those of connect(2), with its name. EAFNOSUPPORT for an address that cannot be
/// connected to ([`SocketAddr::Unspecified`], [`SocketAddr::Other`], an unnamed Unix
/// address), ENAMETOOLONG and EINVAL for a Unix path that does not fit or has a NUL in it.
pub fn connect(fd: impl AsFd, address: &SocketAddr) -> Result<()> {
    let unsupported = Err(rustix::io::Errno::AFNOSUPPORT);
    match address {
        SocketAddr::V4(address) => net::connect(fd, address),
        SocketAddr::V6(address) => net::connect(fd, address),
        SocketAddr::Unix(UnixAddr::Path(path)) => {
            SocketAddrUnix::new(path.as_slice()).and_then(|address| net::connect(fd, &address))
        }
        SocketAddr::Unix(UnixAddr::Abstract(name)) => {
            SocketAddrUnix::new_abstract_name(name).and_then(|address| net::connect(fd, &address))
        }
        SocketAddr::Unix(UnixAddr::Unnamed) | SocketAddr::Unspecified => unsupported,
        SocketAddr::Other { .. } => unsupported,
    }
    .map_err(|errno| Error::from_rustix("connect", errno))
}

/// As [`connect`], and the peer's address if the connection stands already: on the same machine it does, though
/// connect(2) says EINPROGRESS. None: the outcome is told later.
///
/// # Errors
///
/// Those of [`connect`] but EINPROGRESS and its like.
pub fn begin_connect(fd: impl AsFd, address: &SocketAddr) -> Result<Option<SocketAddr>> {
    match connect(&fd, address) {
        Err(error) if !error.is_under_way() => Err(error),
        // ENOTCONN, unless it stands.
        _ => Ok(peer_addr(fd).ok()),
    }
}

/// A TCP socket for addresses like `address`: non-blocking, close-on-exec.
///
/// # Errors
///
/// Those of socket(2), with its name. EAFNOSUPPORT for what is no IP address.
pub fn stream_socket(address: &SocketAddr) -> Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => Ok(AddressFamily::INET),
        SocketAddr::V6(_) => Ok(AddressFamily::INET6),
        _ => Err(rustix::io::Errno::AFNOSUPPORT),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    family
        .and_then(|family| {
            net::socket_with(family, SocketType::STREAM, flags, Some(net::ipproto::TCP))
        })
        .map_err(|errno| Error::from_rustix("socket", errno))
}

/// The address the socket is bound to.
///
/// # Errors
///
/// Those of getsockname(2), with its name.
pub fn local_addr(fd: impl AsFd) -> Result<SocketAddr> {
    net::getsockname(fd)
        .map(SocketAddr::from_any)
        .map_err(|errno| Error::from_rustix("getsockname", errno))
}

/// The address the socket is connected to.
///
/// # Errors
///
/// Those of getpeername(2), with its name: ENOTCONN above all.
pub fn peer_addr(fd: impl AsFd) -> Result<SocketAddr> {
    net::getpeername(fd)
        .map(|peer| peer.map_or(SocketAddr::Unspecified, SocketAddr::from_any))
        .map_err(|errno| Error::from_rustix("getpeername", errno))
}

/// Ends the sending side: the peer reads an end of stream after what was sent.
///
/// # Errors
///
/// Those of shutdown(2), with its name: ENOTCONN if the peer has reset the connection.
pub fn shutdown_write(fd: impl AsFd) -> Result<()> {
    net::shutdown(fd, Shutdown::Write).map_err(|errno| Error::from_rustix("shutdown", errno))
}

/// Sends small writes at once instead of waiting for more (TCP_NODELAY).
///
/// # Errors
///
/// Those of setsockopt(2), with its name: EOPNOTSUPP and such where it is not TCP.
pub fn set_nodelay(fd: impl AsFd) -> Result<()> {
    sockopt::set_tcp_nodelay(fd, true).map_err(|errno| Error::from_rustix("setsockopt", errno))
}

/// Fetches and clears the socket's pending error (SO_ERROR), under the name of the call it
/// stems from, `connect`: that is what it is asked after.
///
/// # Errors
///
/// Those of getsockopt(2), with its name.
pub fn take_error(fd: impl AsFd) -> Result<Option<Error>> {
    sockopt::socket_error(fd)
        .map(|pending| {
            pending
                .err()
                .map(|errno| Error::from_rustix("connect", errno))
        })
        .map_err(|errno| Error::from_rustix("getsockopt", errno))
}
