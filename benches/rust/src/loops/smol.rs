//! smol: async-executor's `LocalExecutor` on async-io, async-channel, async-lock.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use async_executor::LocalExecutor;
use async_io::{Async, Timer};
use async_lock::Mutex;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use smol_hyper::rt::FuturesIo;

use super::{Loop, serve_hello};

thread_local! {
    static EXECUTOR: &'static LocalExecutor<'static> = Box::leak(Box::new(LocalExecutor::new()));
}

/// smol's parts, put together as the crate `smol` does, for one thread.
pub struct Smol;

impl Loop for Smol {
    type Sender = Sender<u64>;
    type Receiver = Receiver<u64>;
    type LimitedSender = Sender<u64>;
    type LimitedReceiver = Receiver<u64>;
    type Lock = Mutex<()>;

    fn run<F: Future<Output: 'static> + 'static>(future: F) -> io::Result<F::Output> {
        let executor = EXECUTOR.with(|it| *it);
        Ok(async_io::block_on(executor.run(executor.spawn(future))))
    }

    fn spawn<F: Future<Output: 'static> + 'static>(
        future: F,
    ) -> impl Future<Output = F::Output> + 'static {
        EXECUTOR.with(|it| it.spawn(future))
    }

    fn detach<F: Future<Output = ()> + 'static>(future: F) {
        EXECUTOR.with(|it| it.spawn(future)).detach();
    }

    fn yield_now() -> impl Future<Output = ()> {
        futures_lite::future::yield_now()
    }

    async fn sleep(delay: Duration) {
        Timer::after(delay).await;
    }

    fn queue() -> (Self::Sender, Self::Receiver) {
        async_channel::unbounded()
    }

    fn put(sender: &Self::Sender, item: u64) {
        sender
            .try_send(item)
            .unwrap_or_else(|error| panic!("{error}"));
    }

    async fn get(receiver: &mut Self::Receiver) -> u64 {
        receiver
            .recv()
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn limited(limit: usize) -> (Self::LimitedSender, Self::LimitedReceiver) {
        async_channel::bounded(limit)
    }

    async fn put_limited(sender: &Self::LimitedSender, item: u64) {
        sender
            .send(item)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
    }

    async fn get_limited(receiver: &mut Self::LimitedReceiver) -> u64 {
        receiver
            .recv()
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn lock() -> Self::Lock {
        Mutex::new(())
    }

    fn acquire(lock: &Self::Lock) -> impl Future<Output = impl Sized> {
        lock.lock()
    }

    async fn echo(listener: TcpListener, buffer: usize) -> io::Result<()> {
        let listener = Async::new(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.get_ref().set_nodelay(true)?;
            Self::detach(async move {
                let _ = answer(stream, buffer).await; // the peer has gone
            });
        }
    }

    async fn hello(listener: TcpListener) -> io::Result<()> {
        let listener = Async::new(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.get_ref().set_nodelay(true)?;
            Self::detach(serve_hello(FuturesIo::new(stream)));
        }
    }
}

async fn answer(mut stream: Async<TcpStream>, buffer: usize) -> io::Result<()> {
    let mut buffer = vec![0; buffer];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}
