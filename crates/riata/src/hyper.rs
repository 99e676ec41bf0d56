//! What hyper asks of a runtime: its client and server run unmodified on streams of this crate.
//!
//! [`TcpStream`](crate::net::TcpStream) and [`UnixStream`](crate::net::UnixStream) implement
//! hyper's `Read` and `Write`; HTTP/2 wants an [`Executor`], timeouts want a [`Timer`].
//!
//! ```
//! use std::convert::Infallible;
//! use http_body_util::{BodyExt, Full};
//! use hyper::{Request, Response, body::Bytes, service::service_fn};
//! use riata::net::{TcpListener, TcpStream};
//! riata::run(async {
//!     let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
//!     let address = listener.local_addr().unwrap();
//!     let server = riata::spawn(async move {
//!         let (stream, _) = listener.accept().await.unwrap();
//!         let hello = |_| async {
//!             Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello"))))
//!         };
//!         let mut http = hyper::server::conn::http1::Builder::new();
//!         http.timer(riata::hyper::Timer::new());
//!         http.serve_connection(stream, service_fn(hello)).await
//!     });
//!     let stream = TcpStream::connect(address).await.unwrap();
//!     let (mut client, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
//!     let connection = riata::spawn(connection);
//!     let request = Request::new(Full::new(Bytes::new()));
//!     let response = client.send_request(request).await.unwrap();
//!     let body = response.into_body().collect().await.unwrap().to_bytes();
//!     assert_eq!(body, "hello");
//!     drop(client);
//!     connection.await.unwrap().unwrap();
//!     server.await.unwrap().unwrap();
//! });
//! ```

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ::hyper::rt;
use futures_io::AsyncWrite;
use riata_engine::net;

use crate::net::Stream;
use crate::sleep::Sleep;
use crate::time::Time;

impl<S: AsFd> rt::Read for Stream<S> {
    #[allow(unsafe_code)]
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut cursor: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let room = cursor.remaining();
        // SAFETY: R20. The kernel alone writes there; nothing is made uninitialized.
        let memory = unsafe { cursor.as_mut() };
        let receive = |socket| Ok(net::recv_uninit(socket, memory)?);
        let received = self.source().poll_read_with(context, receive);
        received.map_ok(|count| {
            if 0 < count && count < room {
                self.source().set_read_short();
            }
            // SAFETY: R20. So many bytes the kernel has written at the start of `memory`.
            unsafe { cursor.advance(count) };
        })
    }
}

impl<S: AsFd> rt::Write for Stream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(self, context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write_vectored(self, context, slices)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(self, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_close(self, context)
    }
}

/// Spawns hyper's futures as tasks of this thread's loop; they need not be `Send`.
///
/// ```
/// use hyper::rt::Executor;
/// riata::run(async {
///     riata::hyper::Executor.execute(async { println!("a task") });
///     riata::yield_now().await;
/// });
/// ```
#[derive(Copy, Clone, Debug, Default)]
pub struct Executor;

impl<F> rt::Executor<F> for Executor
where
    F: Future + 'static,
{
    #[track_caller]
    fn execute(&self, future: F) {
        crate::spawn(future).detach();
    }
}

/// The loop's clock and timers for hyper; also a virtual clock's.
///
/// hyper counts in [`Instant`]s, so the timer ties one to the loop's time when it is made.
///
/// ```
/// use hyper::rt::Timer as _;
/// use std::time::Duration;
/// let mut runtime = riata::Runtime::builder().virtual_clock(true).build().unwrap();
/// runtime.run(async {
///     let timer = riata::hyper::Timer::new();
///     let before = timer.now();
///     timer.sleep(Duration::from_secs(3600)).await;
///     assert_eq!(timer.now() - before, Duration::from_secs(3600));
/// });
/// ```
#[derive(Copy, Clone, Debug)]
pub struct Timer {
    instant: Instant,
    time: Time,
}

impl Timer {
    /// A timer of this thread's loop.
    ///
    /// # Panics
    ///
    /// Outside a running loop.
    ///
    /// ```
    /// riata::run(async { riata::hyper::Timer::new() });
    /// ```
    #[track_caller]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self {
            instant: Instant::now(),
            time: crate::time(),
        }
    }
}

impl rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(crate::sleep(duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        let after = deadline.saturating_duration_since(self.instant);
        Box::pin(crate::sleep_until(self.time + after))
    }

    fn now(&self) -> Instant {
        self.instant + (crate::time() - self.time)
    }
}

impl rt::Sleep for Sleep {}
