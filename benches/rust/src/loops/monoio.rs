//! monoio: on io_uring where the kernel lets it, else on epoll. It has no queue and no lock of
//! its own: those are async-channel's and async-lock's, as for smol.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use async_lock::Mutex;
use monoio::buf::IoBufMut;
use monoio::io::IntoPollIo;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpStream;
use monoio::{FusionDriver, RuntimeBuilder};
use monoio_compat::hyper::MonoioIo;

use super::{Loop, YieldNow, serve_hello};

/// A loop of completions.
pub struct Monoio;

impl Loop for Monoio {
    type Sender = Sender<u64>;
    type Receiver = Receiver<u64>;
    type LimitedSender = Sender<u64>;
    type LimitedReceiver = Receiver<u64>;
    type Lock = Mutex<()>;

    fn run<F: Future<Output: 'static> + 'static>(future: F) -> io::Result<F::Output> {
        let mut runtime = RuntimeBuilder::<FusionDriver>::new()
            .enable_timer()
            .build()?;
        Ok(runtime.block_on(async { monoio::spawn(future).await }))
    }

    fn spawn<F: Future<Output: 'static> + 'static>(
        future: F,
    ) -> impl Future<Output = F::Output> + 'static {
        monoio::spawn(future)
    }

    fn detach<F: Future<Output = ()> + 'static>(future: F) {
        drop(monoio::spawn(future));
    }

    fn yield_now() -> impl Future<Output = ()> {
        YieldNow(false)
    }

    fn sleep(delay: Duration) -> impl Future<Output = ()> + 'static {
        monoio::time::sleep(delay)
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
        listener.set_nonblocking(true)?;
        let listener = monoio::net::TcpListener::from_std(listener)?;
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
        let listener = monoio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Self::detach(serve_hello(MonoioIo::new(stream.into_poll_io()?)));
        }
    }
}

async fn answer(mut stream: TcpStream, buffer: usize) -> io::Result<()> {
    let mut buffer = vec![0; buffer];
    loop {
        let (read, filled) = stream.read(buffer).await;
        let count = read?;
        if count == 0 {
            return Ok(());
        }
        let (written, part) = stream.write_all(filled.slice_mut(..count)).await;
        written?;
        buffer = part.into_inner();
    }
}
