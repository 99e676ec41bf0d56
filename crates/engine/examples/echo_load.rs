//! Load for an echo server: `echo_load ADDRESS CONNECTIONS BYTES MESSAGES`.
//!
//! Opens the connections, then keeps one message of so many bytes under way on each until MESSAGES have come back
//! in all. Prints the seconds that took, from the first byte sent to the last one received.

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Instant;

use riata_engine::driver::{Events, Interest, Poller, Registry};

/// One connection and how much of its message has gone out and come back.
struct Client {
    stream: TcpStream,
    sent: usize,
    received: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, connections, bytes, messages] = arguments.as_slice() else {
        return Err("usage: echo_load ADDRESS CONNECTIONS BYTES MESSAGES".into());
    };
    let (connections, bytes): (usize, usize) = (connections.parse()?, bytes.parse()?);
    let messages: usize = messages.parse()?;

    let message = vec![b'x'; bytes];
    let mut scratch = vec![0; 256 * 1024];
    let poller = Poller::new()?;
    let mut registry = Registry::new();
    let mut clients = Vec::new();
    for index in 0..connections {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        let key = registry
            .add(&poller, stream.as_raw_fd(), both, index)
            .map_err(|rejected| rejected.error)?;
        clients.push((
            key,
            Client {
                stream,
                sent: 0,
                received: 0,
            },
        ));
    }

    let mut events = Events::with_capacity(connections);
    let mut concerned = Vec::new();
    let (mut started, mut finished) = (0, 0);
    let begin = Instant::now();
    while finished < messages {
        poller.wait(&mut events, None)?;
        for (token, readiness) in events.iter() {
            let _ = registry.dispatch(token, readiness, &mut concerned); // nothing is closed while this runs
        }
        for (key, readiness) in concerned.drain(..) {
            let Some(&index) = registry.get(key) else {
                continue;
            };
            let Some((_, client)) = clients.get_mut(index) else {
                continue;
            };
            if readiness.wakes_reader() {
                match client.stream.read(&mut scratch) {
                    Ok(0) => return Err("the server closed a connection".into()),
                    Ok(count) => client.received += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                }
                if client.received == bytes {
                    finished += 1;
                    (client.sent, client.received) = (0, 0);
                }
            }
            if client.sent == 0 && client.received == 0 {
                if started == messages {
                    registry.set_interest(&poller, key, Interest::READABLE)?;
                    continue;
                }
                started += 1;
            }
            while client.sent < bytes {
                match client.stream.write(&message[client.sent..]) {
                    Ok(count) => client.sent += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
            let wanted = if client.sent < bytes {
                Interest::READABLE | Interest::WRITABLE
            } else {
                Interest::READABLE
            };
            if registry.interest(key) != Some(wanted) {
                registry.set_interest(&poller, key, wanted)?;
            }
        }
    }
    println!("{}", begin.elapsed().as_secs_f64());
    Ok(())
}
