//! The floor: an echo server with nothing but the engine's poller. Prints its port; when standard input ends, the CPU and
//! the wall seconds since the first data came.

use std::collections::VecDeque;
use std::error::Error;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Instant;

use riata_engine::driver::{Events, Interest, Poller, Registry};

enum Source {
    Input,
    Listener,
    Client(usize),
}

struct Client {
    stream: TcpStream,
    waiting: VecDeque<u8>,
}

fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let mut text = String::new();
    File::open("/proc/self/schedstat")?.read_to_string(&mut text)?;
    let nanos: f64 = text.split(' ').next().unwrap_or("0").parse()?;
    Ok(nanos / 1e9)
}

fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    println!("{}", listener.local_addr()?.port());
    let poller = Poller::new()?;
    let mut registry = Registry::new();
    let input = std::io::stdin();
    for (descriptor, source) in [
        (input.as_raw_fd(), Source::Input),
        (listener.as_raw_fd(), Source::Listener),
    ] {
        registry
            .add(&poller, descriptor, Interest::READABLE, source)
            .map_err(|rejected| rejected.error)?;
    }
    let mut clients: Vec<Client> = Vec::new();
    let mut scratch = vec![0; 256 * 1024];
    let mut events = Events::with_capacity(1024);
    let mut concerned = Vec::new();
    let mut began = None;
    loop {
        poller.wait(&mut events, None)?;
        for (token, readiness) in events.iter() {
            let _ = registry.dispatch(token, readiness, &mut concerned); // those of closed connections concern nobody
        }
        for (key, _) in concerned.drain(..) {
            let index = match registry.get(key) {
                None => continue,
                Some(Source::Input) => {
                    let (cpu, wall) = began.unwrap_or((cpu_seconds()?, Instant::now()));
                    println!("{} {}", cpu_seconds()? - cpu, wall.elapsed().as_secs_f64());
                    return Ok(());
                }
                Some(Source::Listener) => {
                    while let Ok((stream, _)) = listener.accept() {
                        stream.set_nodelay(true)?;
                        stream.set_nonblocking(true)?;
                        let source = Source::Client(clients.len());
                        registry
                            .add(&poller, stream.as_raw_fd(), Interest::READABLE, source)
                            .map_err(|rejected| rejected.error)?;
                        let waiting = VecDeque::new();
                        clients.push(Client { stream, waiting });
                    }
                    continue;
                }
                Some(Source::Client(index)) => *index,
            };
            let Some(client) = clients.get_mut(index) else {
                continue;
            };
            match client.stream.read(&mut scratch) {
                Ok(0) => {
                    registry.remove(&poller, key);
                    continue;
                }
                Ok(count) => {
                    if began.is_none() {
                        began = Some((cpu_seconds()?, Instant::now()));
                    }
                    client.waiting.extend(&scratch[..count]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => {
                    registry.remove(&poller, key);
                    continue;
                }
            }
            while !client.waiting.is_empty() {
                let written = client.stream.write(client.waiting.as_slices().0);
                match written {
                    Ok(count) => drop(client.waiting.drain(..count)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(_) => break,
                }
            }
            let wanted = if client.waiting.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            if registry.interest(key) != Some(wanted) {
                registry.set_interest(&poller, key, wanted)?;
            }
        }
    }
}
