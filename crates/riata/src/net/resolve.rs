//! From names to addresses.
//!
//! getaddrinfo blocks, so it runs on the executor's threads. What needs no question, a
//! numeric address, is answered at once and starts no thread.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::threads::run_in_executor;

/// Where somebody wants to go.
pub enum Target {
    /// To addresses that are known.
    Known(Vec<SocketAddr>),
    /// To a name, which must be asked for.
    Name(String, u16),
    /// Nowhere: the text is no address.
    Invalid(&'static str),
}

/// Keeps others from implementing the trait, so that it may grow.
pub trait Sealed {
    fn target(&self) -> Target;
}

/// What stands for addresses: as std's trait of this name, but names are looked up without
/// blocking the loop.
///
/// Addresses, `(host, port)` and `"host:port"`; a slice means any of its addresses.
///
/// ```
/// fn is_address(_: impl riata::net::ToSocketAddrs) {}
/// is_address("localhost:80");
/// is_address(("::1", 80));
/// is_address(std::net::SocketAddr::from(([127, 0, 0, 1], 80)));
/// ```
pub trait ToSocketAddrs: Sealed {}

impl<T: Sealed + ?Sized> ToSocketAddrs for T {}

impl<T: Sealed + ?Sized> Sealed for &T {
    fn target(&self) -> Target {
        (**self).target()
    }
}

impl Sealed for [SocketAddr] {
    fn target(&self) -> Target {
        Target::Known(self.to_vec())
    }
}

/// Implements the trait for what std turns into one address.
macro_rules! known {
    ($($kind:ty),*) => {$(
        impl Sealed for $kind {
            fn target(&self) -> Target {
                Target::Known(vec![SocketAddr::from(*self)])
            }
        }
    )*};
}

known!(SocketAddr, SocketAddrV4, SocketAddrV6);
known!((IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl Sealed for (&str, u16) {
    fn target(&self) -> Target {
        let &(host, port) = self;
        match host.parse::<IpAddr>() {
            Ok(ip) => Target::Known(vec![SocketAddr::new(ip, port)]),
            Err(_) => Target::Name(host.into(), port),
        }
    }
}

impl Sealed for (String, u16) {
    fn target(&self) -> Target {
        (self.0.as_str(), self.1).target()
    }
}

impl Sealed for str {
    fn target(&self) -> Target {
        if let Ok(address) = self.parse() {
            return Target::Known(vec![address]);
        }
        let Some((host, port)) = self.rsplit_once(':') else {
            return Target::Invalid("invalid socket address");
        };
        match port.parse() {
            Ok(port) => Target::Name(host.into(), port),
            Err(_) => Target::Invalid("invalid port value"),
        }
    }
}

impl Sealed for String {
    fn target(&self) -> Target {
        self.as_str().target()
    }
}

/// The addresses of a host, in the resolver's order; at least one.
///
/// A numeric address is answered at once. A name is asked for on a thread of the
/// [executor](crate::run_in_executor): dropping the future does not end the question, and the
/// loop's end waits for its answer.
///
/// # Errors
///
/// `InvalidInput` for text that is no address; what getaddrinfo says.
///
/// ```
/// riata::run(async {
///     let found = riata::net::lookup_host("127.0.0.1:80").await.unwrap();
///     assert_eq!(found, ["127.0.0.1:80".parse().unwrap()]);
/// });
/// ```
pub async fn lookup_host(host: impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
    let found = match host.target() {
        Target::Known(known) => known,
        Target::Invalid(why) => return Err(io::Error::new(io::ErrorKind::InvalidInput, why)),
        Target::Name(name, port) => {
            let ask = move || {
                let found = std::net::ToSocketAddrs::to_socket_addrs(&(name, port))?;
                io::Result::Ok(found.collect())
            };
            run_in_executor(ask).await??
        }
    };
    if found.is_empty() {
        let why = "could not resolve to any addresses";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    Ok(found)
}
