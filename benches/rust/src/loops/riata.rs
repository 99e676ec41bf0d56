//! riata.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use riata::net::TcpStream;

use super::{Loop, serve_hello};

/// The loop that all this is about.
pub struct Riata;

impl Loop for Riata {
    type Sender = riata::Queue<u64>;
    type Receiver = riata::Queue<u64>;
    type LimitedSender = riata::Queue<u64>;
    type LimitedReceiver = riata::Queue<u64>;
    type Lock = riata::Lock;

    fn run<F: Future<Output: 'static> + 'static>(future: F) -> io::Result<F::Output> {
        riata::Runtime::new()?
            .run(async { riata::spawn(future).await })
            .map_err(|error| io::Error::other(error.to_string()))
    }

    fn spawn<F: Future<Output: 'static> + 'static>(
        future: F,
    ) -> impl Future<Output = F::Output> + 'static {
        let task = riata::spawn(future);
        async { task.await.unwrap_or_else(|error| panic!("{error}")) }
    }

    fn detach<F: Future<Output = ()> + 'static>(future: F) {
        riata::spawn(future).detach();
    }

    fn yield_now() -> impl Future<Output = ()> {
        riata::yield_now()
    }

    fn sleep(delay: Duration) -> impl Future<Output = ()> + 'static {
        riata::sleep(delay)
    }

    fn queue() -> (Self::Sender, Self::Receiver) {
        let queue = riata::Queue::new(0);
        (queue.clone(), queue)
    }

    fn put(sender: &Self::Sender, item: u64) {
        sender
            .put_nowait(item)
            .unwrap_or_else(|error| panic!("{error}"));
    }

    async fn get(receiver: &mut Self::Receiver) -> u64 {
        receiver
            .get()
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn limited(limit: usize) -> (Self::LimitedSender, Self::LimitedReceiver) {
        let queue = riata::Queue::new(limit);
        (queue.clone(), queue)
    }

    async fn put_limited(sender: &Self::LimitedSender, item: u64) {
        sender
            .put(item)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
    }

    async fn get_limited(receiver: &mut Self::LimitedReceiver) -> u64 {
        receiver
            .get()
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn lock() -> Self::Lock {
        riata::Lock::new(())
    }

    fn acquire(lock: &Self::Lock) -> impl Future<Output = impl Sized> {
        lock.acquire()
    }

    async fn echo(listener: TcpListener, buffer: usize) -> io::Result<()> {
        let listener = riata::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Self::detach(async move {
                let _ = answer(stream, buffer).await; // the peer has gone
            });
        }
    }

    async fn hello(listener: TcpListener) -> io::Result<()> {
        let listener = riata::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Self::detach(serve_hello(stream));
        }
    }
}

async fn answer(mut stream: TcpStream, buffer: usize) -> io::Result<()> {
    let mut buffer = vec![0; buffer];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}
