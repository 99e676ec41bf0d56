//! Load for a TLS echo server: `tls_load CERTIFICATE ADDRESS CONNECTIONS BYTES MESSAGES`.
//!
//! As `echo_load`, over TLS 1.3: opens the connections, then keeps one message of so many bytes under way on each until
//! MESSAGES have come back in all. CERTIFICATE is the server's own, in DER. Prints the seconds that took, from the first
//! byte sent to the last one received, handshakes not counted.

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Instant;

use riata_engine::driver::{Events, Interest, Poller, Registry};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// One connection and how much of its message has gone out and come back.
struct Client {
    stream: TcpStream,
    tls: ClientConnection,
    sent: usize,
    received: usize,
}

impl Client {
    /// Takes what has come. How many bytes that was, decrypted.
    fn receive(&mut self, scratch: &mut [u8]) -> Result<usize, Box<dyn Error>> {
        let mut count = 0;
        loop {
            match self.tls.read_tls(&mut self.stream) {
                Ok(0) => return Err("the server closed a connection".into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(count),
                Err(error) => return Err(error.into()),
            }
            self.tls.process_new_packets()?;
            loop {
                match self.tls.reader().read(scratch) {
                    Ok(0) => return Err("the server ended a connection".into()),
                    Ok(read) => count += read,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// Sends as much of `message` as goes, and whether all of it has gone.
    fn send(&mut self, message: &[u8]) -> Result<bool, Box<dyn Error>> {
        loop {
            while self.tls.wants_write() {
                match self.tls.write_tls(&mut self.stream) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                    Err(error) => return Err(error.into()),
                }
            }
            if self.sent == message.len() {
                return Ok(true);
            }
            self.sent += self.tls.writer().write(&message[self.sent..])?;
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [certificate, address, connections, bytes, messages] = arguments.as_slice() else {
        return Err("usage: tls_load CERTIFICATE ADDRESS CONNECTIONS BYTES MESSAGES".into());
    };
    let (connections, bytes): (usize, usize) = (connections.parse()?, bytes.parse()?);
    let messages: usize = messages.parse()?;
    let mut roots = RootCertStore::empty();
    roots.add(std::fs::read(certificate)?.into())?;
    let config = Arc::new(
        ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth(),
    );

    let message = vec![b'x'; bytes];
    let mut scratch = vec![0; 256 * 1024];
    let poller = Poller::new()?;
    let mut registry = Registry::new();
    let mut clients = Vec::new();
    for index in 0..connections {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut tls = ClientConnection::new(config.clone(), ServerName::try_from("localhost")?)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        stream.set_nonblocking(true)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        let key = registry
            .add(&poller, stream.as_raw_fd(), both, index)
            .map_err(|rejected| rejected.error)?;
        let client = Client {
            stream,
            tls,
            sent: 0,
            received: 0,
        };
        clients.push((key, client));
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
                client.received += client.receive(&mut scratch)?;
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
            let wanted = match client.send(&message)? {
                true => Interest::READABLE,
                false => Interest::READABLE | Interest::WRITABLE,
            };
            if registry.interest(key) != Some(wanted) {
                registry.set_interest(&poller, key, wanted)?;
            }
        }
    }
    println!("{}", begin.elapsed().as_secs_f64());
    Ok(())
}
