//! Where a socket is, or what it is connected to.

use std::net::{SocketAddrV4, SocketAddrV6};

use rustix::net::{AddressFamily, SocketAddrAny};

/// An address as the kernel gives it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SocketAddr {
    /// IPv4.
    V4(SocketAddrV4),
    /// IPv6; flow information in host order, as Python shows it, and scope id included.
    V6(SocketAddrV6),
    /// Unix domain.
    Unix(UnixAddr),
    /// No address: the kernel gave none.
    Unspecified,
    /// A family that is not taken apart here.
    Other {
        /// The family's number (`AF_…`).
        family: u16,
        /// The whole `sockaddr`, family included.
        raw: Vec<u8>,
    },
}

/// The address of a Unix domain socket; bytes, as a path need not be text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UnixAddr {
    /// A path in the file system, without the final NUL.
    Path(Vec<u8>),
    /// A name in the abstract namespace, without the NUL in front.
    Abstract(Vec<u8>),
    /// Not bound: a client, or one of a pair.
    Unnamed,
}

impl SocketAddr {
    pub(super) fn from_any(address: SocketAddrAny) -> Self {
        let family = address.address_family();
        let known = match family {
            AddressFamily::INET => SocketAddrV4::try_from(address.clone()).map(Self::V4),
            AddressFamily::INET6 => SocketAddrV6::try_from(address.clone()).map(Self::V6),
            AddressFamily::UNIX => return Self::Unix(UnixAddr::from_raw(&raw(&address))),
            AddressFamily::UNSPEC => return Self::Unspecified,
            _ => Err(rustix::io::Errno::AFNOSUPPORT),
        };
        known.unwrap_or_else(|_| Self::Other {
            family: family.as_raw(),
            raw: raw(&address),
        })
    }
}

impl UnixAddr {
    /// From a whole `sockaddr_un`.
    ///
    /// Taken apart here because rustix 1.1 panics at a path that fills all of `sun_path`
    /// (108 bytes; the kernel then returns a NUL behind the struct's end), and a peer may
    /// be bound to such a path; and it shows an unnamed socket as an empty abstract name.
    fn from_raw(raw: &[u8]) -> Self {
        match raw.get(size_of::<libc::sa_family_t>()..) {
            None | Some([]) => Self::Unnamed,
            Some([0, name @ ..]) => Self::Abstract(name.to_vec()),
            Some(path) => Self::Path(
                path.split(|&byte| byte == 0)
                    .next()
                    .unwrap_or(path)
                    .to_vec(),
            ),
        }
    }
}

impl From<std::net::SocketAddr> for SocketAddr {
    fn from(address: std::net::SocketAddr) -> Self {
        match address {
            std::net::SocketAddr::V4(address) => Self::V4(address),
            std::net::SocketAddr::V6(address) => Self::V6(address),
        }
    }
}

#[allow(unsafe_code)]
fn raw(address: &SocketAddrAny) -> Vec<u8> {
    let start = address.as_ptr().cast::<u8>();
    // SAFETY: E5. The first `addr_len` bytes are initialized, by the type's invariant, and
    // borrowed with it; u8 has no alignment.
    unsafe { std::slice::from_raw_parts(start, address.addr_len() as usize) }.to_vec()
}
