//! tokio's `current_thread` scheduler, as a `LocalRuntime`: the same scheduler, for tasks that
//! need not be `Send`.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Mutex, mpsc};
use tokio::task::spawn_local;

use super::{Loop, serve_hello};

/// The one to be faster than.
pub struct Tokio;

impl Loop for Tokio {
    type Sender = mpsc::UnboundedSender<u64>;
    type Receiver = mpsc::UnboundedReceiver<u64>;
    type LimitedSender = mpsc::Sender<u64>;
    type LimitedReceiver = mpsc::Receiver<u64>;
    type Lock = Mutex<()>;

    fn run<F: Future<Output: 'static> + 'static>(future: F) -> io::Result<F::Output> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())?;
        runtime
            .block_on(async { spawn_local(future).await })
            .map_err(io::Error::other)
    }

    fn spawn<F: Future<Output: 'static> + 'static>(
        future: F,
    ) -> impl Future<Output = F::Output> + 'static {
        let task = spawn_local(future);
        async { task.await.unwrap_or_else(|error| panic!("{error}")) }
    }

    fn detach<F: Future<Output = ()> + 'static>(future: F) {
        drop(spawn_local(future));
    }

    fn yield_now() -> impl Future<Output = ()> {
        tokio::task::yield_now()
    }

    fn sleep(delay: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(delay)
    }

    fn queue() -> (Self::Sender, Self::Receiver) {
        mpsc::unbounded_channel()
    }

    fn put(sender: &Self::Sender, item: u64) {
        sender.send(item).unwrap_or_else(|error| panic!("{error}"));
    }

    async fn get(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.unwrap_or_else(|| panic!("closed"))
    }

    fn limited(limit: usize) -> (Self::LimitedSender, Self::LimitedReceiver) {
        mpsc::channel(limit)
    }

    async fn put_limited(sender: &Self::LimitedSender, item: u64) {
        sender
            .send(item)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
    }

    async fn get_limited(receiver: &mut Self::LimitedReceiver) -> u64 {
        receiver.recv().await.unwrap_or_else(|| panic!("closed"))
    }

    fn lock() -> Self::Lock {
        Mutex::new(())
    }

    fn acquire(lock: &Self::Lock) -> impl Future<Output = impl Sized> {
        lock.lock()
    }

    async fn echo(listener: TcpListener, buffer: usize) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Self::detach(async move {
                let _ = answer(stream, buffer).await; // the peer has gone
            });
        }
    }

    async fn hello(listener: TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Self::detach(serve_hello(TokioIo::new(stream)));
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
