//! Sockets, under the names that std and asyncio give them.
//!
//! A [`TcpStream`] and a [`UnixStream`] are one type, [`Stream`], over std's sockets, and so are
//! the listeners: what is said there holds for both. Streams implement futures-io's
//! `AsyncRead` and `AsyncWrite`, so that its adapters work on them.
//!
//! A read or a write tries first and waits where it would block. Nothing is under way
//! between two polls: a call that is dropped has not taken or sent anything, unless its page
//! says otherwise.
//!
//! ```
//! use riata::net::{TcpListener, TcpStream};
//! riata::run(async {
//!     let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
//!     let address = listener.local_addr().unwrap();
//!     let server = riata::spawn(async move {
//!         let (mut stream, _) = listener.accept().await.unwrap();
//!         stream.write_all(b"hello").await.unwrap();
//!     });
//!     let mut stream = TcpStream::connect(address).await.unwrap();
//!     let mut text = Vec::new();
//!     stream.read_to_end(&mut text).await.unwrap();
//!     assert_eq!(text, b"hello");
//!     server.await.unwrap();
//! });
//! ```

mod connect;
mod datagram;
mod half;
mod listener;
mod resolve;
pub(crate) mod stream;
mod tcp;
mod udp;
mod unix;
mod unix_datagram;

pub use datagram::Datagram;
pub use half::{ReadHalf, ReuniteError, WriteHalf};
pub use listener::{Accept, Incoming, Listener};
pub use resolve::{ToSocketAddrs, lookup_host};
pub use stream::Stream;
pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;
pub use unix::{UnixListener, UnixStream};
pub use unix_datagram::UnixDatagram;
