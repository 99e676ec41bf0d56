//! Load for an echo server of datagrams: `udp_load ADDRESS SOCKETS BYTES MESSAGES`.
//!
//! Keeps one datagram of so many bytes under way on each socket until MESSAGES have come back in all; one that does not
//! come back within a second is sent again. Prints the seconds that took.

use std::error::Error;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::Instant;

use riata_engine::clock::Nanos;
use riata_engine::driver::{Events, Interest, Poller, Registry};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, sockets, bytes, messages] = arguments.as_slice() else {
        return Err("usage: udp_load ADDRESS SOCKETS BYTES MESSAGES".into());
    };
    let (count, bytes): (usize, usize) = (sockets.parse()?, bytes.parse()?);
    let messages: usize = messages.parse()?;

    let message = vec![b'x'; bytes];
    let mut scratch = vec![0; 64 * 1024];
    let poller = Poller::new()?;
    let mut registry = Registry::new();
    let mut sockets = Vec::new();
    for index in 0..count {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(address)?;
        socket.set_nonblocking(true)?;
        registry
            .add(&poller, socket.as_raw_fd(), Interest::READABLE, index)
            .map_err(|rejected| rejected.error)?;
        sockets.push(socket);
    }

    let mut events = Events::with_capacity(count);
    let mut concerned = Vec::new();
    let mut finished = 0;
    let begin = Instant::now();
    for socket in &sockets {
        socket.send(&message)?;
    }
    while finished < messages {
        if poller.wait(&mut events, Some(Nanos(1_000_000_000)))? == 0 {
            for socket in &sockets {
                socket.send(&message)?;
            }
        }
        for (token, readiness) in events.iter() {
            let _ = registry.dispatch(token, readiness, &mut concerned); // nothing is closed while this runs
        }
        for (key, _) in concerned.drain(..) {
            let Some(socket) = registry.get(key).and_then(|&index| sockets.get(index)) else {
                continue;
            };
            match socket.recv(&mut scratch) {
                Ok(_) => {
                    finished += 1;
                    socket.send(&message)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    println!("{}", begin.elapsed().as_secs_f64());
    Ok(())
}
