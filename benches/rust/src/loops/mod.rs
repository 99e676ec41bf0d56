//! The loops that take turns, behind one trait, so that each case is written once.

mod monoio;
mod riata;
mod smol;
mod tokio;

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::server::conn::http1;
use hyper::service::service_fn;

pub use self::monoio::Monoio;
pub use self::riata::Riata;
pub use self::smol::Smol;
pub use self::tokio::Tokio;

/// What a case needs of a loop, each time by the means that the loop's own programs use.
pub trait Loop: 'static {
    /// Puts into a queue without a limit.
    type Sender: 'static;
    /// Gets from it.
    type Receiver: 'static;
    /// Puts into a queue with a limit.
    type LimitedSender: 'static;
    /// Gets from it.
    type LimitedReceiver: 'static;
    /// A lock that tasks hold across awaits.
    type Lock: 'static;

    /// Runs a new loop on this thread until `future`, a task on it, is done.
    fn run<F: Future<Output: 'static> + 'static>(future: F) -> io::Result<F::Output>;
    /// Spawns a task that need not be `Send`, to be awaited.
    fn spawn<F: Future<Output: 'static> + 'static>(
        future: F,
    ) -> impl Future<Output = F::Output> + 'static;
    /// Spawns a task that goes on by itself.
    fn detach<F: Future<Output = ()> + 'static>(future: F);
    /// Gives others a turn.
    fn yield_now() -> impl Future<Output = ()>;
    /// Waits so long.
    fn sleep(delay: Duration) -> impl Future<Output = ()> + 'static;
    /// A queue without a limit.
    fn queue() -> (Self::Sender, Self::Receiver);
    /// Puts an item.
    fn put(sender: &Self::Sender, item: u64);
    /// Gets an item.
    fn get(receiver: &mut Self::Receiver) -> impl Future<Output = u64>;
    /// A queue of at most `limit` items.
    fn limited(limit: usize) -> (Self::LimitedSender, Self::LimitedReceiver);
    /// Puts an item, once there is room.
    fn put_limited(sender: &Self::LimitedSender, item: u64) -> impl Future<Output = ()>;
    /// Gets an item.
    fn get_limited(receiver: &mut Self::LimitedReceiver) -> impl Future<Output = u64>;
    /// A lock that nobody holds.
    fn lock() -> Self::Lock;
    /// Acquires the lock; dropping what this gives releases it.
    fn acquire(lock: &Self::Lock) -> impl Future<Output = impl Sized>;
    /// Echoes whatever comes on connections to `listener`, for ever; each connection is a task
    /// with a buffer of so many bytes.
    fn echo(listener: TcpListener, buffer: usize) -> impl Future<Output = io::Result<()>>;
    /// Answers requests on connections to `listener` by hyper, for ever.
    fn hello(listener: TcpListener) -> impl Future<Output = io::Result<()>>;
}

/// What hyper does with one connection, whose ever it is.
async fn serve_hello(stream: impl hyper::rt::Read + hyper::rt::Write + Unpin) {
    let service = service_fn(async |_| {
        let body = Full::new(Bytes::from_static(b"Hello, world!"));
        Ok::<_, Infallible>(Response::new(body))
    });
    // It fails only where the peer has gone.
    let _ = http1::Builder::new()
        .serve_connection(stream, service)
        .await;
}

/// Gives others a turn, where the loop has no such thing itself.
struct YieldNow(bool);

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
