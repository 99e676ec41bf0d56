//! Greenlets' sockets: many at once, both directions, beside futures on the same loop.
#![cfg(all(feature = "green", not(loom)))]
#![allow(clippy::unwrap_used)]

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use riata::green::{self, TcpListener, TcpStream, UdpSocket, UnixStream};

/// Serves `count` connections, each until its end, and gives the address.
fn echo(count: usize) -> (std::net::SocketAddr, green::Greenlet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = green::spawn(move || {
        let serve = |stream: std::io::Result<TcpStream>| {
            let stream = stream.unwrap();
            green::spawn(move || {
                std::io::copy(&mut &stream, &mut &stream).unwrap();
            })
        };
        let peers: Vec<_> = listener.incoming().take(count).map(serve).collect();
        green::joinall(&peers);
    });
    (address, server)
}

#[test]
fn two_hundred_clients_talk_to_one_server() {
    green::run(|| {
        let (address, server) = echo(200);
        let talk = move |number: u32| {
            let mut stream = TcpStream::connect(address).unwrap();
            for round in 0..5u32 {
                let line = (number * 1_000 + round).to_be_bytes();
                stream.write_all(&line).unwrap();
                let mut reply = [0; 4];
                stream.read_exact(&mut reply).unwrap();
                assert_eq!(reply, line);
            }
        };
        let clients: Vec<_> = (0..200).map(|it| green::spawn(move || talk(it))).collect();
        for client in clients {
            client.get().unwrap();
        }
        server.get().unwrap();
    });
}

#[test]
fn one_reads_while_another_writes() {
    green::run(|| {
        let (address, server) = echo(1);
        let stream = Rc::new(TcpStream::connect(address).unwrap());
        let writer = {
            let stream = Rc::clone(&stream);
            green::spawn(move || {
                // More than all buffers on the way hold: it blocks until the other reads.
                (&*stream).write_all(&vec![7; 16 << 20]).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
            })
        };
        let mut bytes = Vec::new();
        (&*stream).read_to_end(&mut bytes).unwrap();
        writer.get().unwrap();
        assert!(bytes.len() == 16 << 20 && bytes.iter().all(|&byte| byte == 7));
        server.get().unwrap();
    });
}

#[test]
fn nobody_there_is_an_error() {
    green::run(|| {
        let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = unused.local_addr().unwrap();
        drop(unused);
        let error = TcpStream::connect(address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let error = TcpStream::connect_host("127.0.0.1", address.port()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_read_that_timed_out_can_be_tried_again() {
    green::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut far = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut near, _) = listener.accept().unwrap();
        near.set_read_timeout(Some(Duration::from_millis(1)));
        let error = near.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        far.write_all(b"late").unwrap();
        near.set_read_timeout(None);
        let mut bytes = [0; 4];
        near.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"late");
    });
}

#[test]
fn a_blocked_greenlet_stops_nobody_else() {
    green::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let blocked = green::spawn(move || listener.accept().map(|(stream, _)| stream));
        let task = riata::spawn(async {
            for _ in 0..100 {
                riata::yield_now().await;
            }
            "went on"
        });
        assert_eq!(green::wait(task).unwrap(), "went on");
        assert!(!blocked.is_dead());
        let stream = TcpStream::connect(address).unwrap();
        let peer = blocked.get().unwrap().unwrap();
        assert_eq!(peer.peer_addr().unwrap(), stream.local_addr().unwrap());
    });
}

#[test]
fn what_came_with_the_end_is_read_before_it() {
    green::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // Everything is there, and the end behind it, before the first read.
        let mut far = std::net::TcpStream::connect(address).unwrap();
        far.write_all(b"the last words").unwrap();
        far.shutdown(Shutdown::Write).unwrap();
        let (mut near, _) = listener.accept().unwrap();
        let mut words = Vec::new();
        let mut piece = [0; 5];
        loop {
            let count = near.read(&mut piece).unwrap();
            if count == 0 {
                break;
            }
            words.extend_from_slice(&piece[..count]);
        }
        assert_eq!(words, b"the last words");
        assert_eq!(near.read(&mut piece).unwrap(), 0, "and again");
        near.write_all(b"heard").unwrap();
        let mut answer = [0; 5];
        far.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"heard");
    });
}

#[test]
fn two_greenlets_read_one_socket_and_nothing_is_lost() {
    green::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let near = Rc::new(listener.accept().unwrap().0);
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let near = Rc::clone(&near);
                green::spawn(move || {
                    let mut count = 0;
                    let mut piece = [0; 7];
                    loop {
                        match (&*near).read(&mut piece).unwrap() {
                            0 => return count,
                            some => count += some,
                        }
                    }
                })
            })
            .collect();
        for round in 0..200 {
            far.write_all(&vec![1; round]).unwrap();
            green::sleep(Duration::ZERO);
        }
        far.shutdown(Shutdown::Write).unwrap();
        let counts = readers.into_iter().map(|reader| reader.get().unwrap());
        assert_eq!(counts.sum::<usize>(), (0..200).sum());
    });
}

#[test]
fn unix_and_udp_sockets_stop_nobody_else() {
    green::run(|| {
        let (near, mut far) = UnixStream::pair().unwrap();
        // More than the kernel holds, in a greenlet that is stopped again and again.
        let writer = green::spawn(move || (&near).write_all(&vec![3; 4 << 20]).unwrap());
        let server = UdpSocket::bind("localhost:0").unwrap();
        let there = server.local_addr().unwrap();
        let answering = green::spawn(move || {
            for _ in 0..100 {
                let mut buffer = [0; 8];
                let (count, peer) = server.recv_from(&mut buffer).unwrap();
                server.send_to(&buffer[..count], peer).unwrap();
            }
        });
        let asking = green::spawn(move || {
            let client = UdpSocket::bind("localhost:0").unwrap();
            client.connect(there).unwrap();
            for number in 0..100_u64 {
                client.send(&number.to_be_bytes()).unwrap();
                let mut answer = [0; 8];
                assert_eq!(client.recv(&mut answer).unwrap(), 8);
                assert_eq!(answer, number.to_be_bytes());
            }
        });
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).unwrap();
        assert!(bytes == vec![3; 4 << 20]);
        green::joinall(&[writer, answering, asking]);
    });
}

#[test]
fn a_future_hands_its_connection_to_a_greenlet() {
    let answer = green::run(|| {
        let (address, server) = echo(1);
        let connecting = riata::net::TcpStream::connect(address);
        let stream: TcpStream = green::wait(connecting).unwrap().into();
        (&stream).write_all(b"hello").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        (&stream).read_to_string(&mut answer).unwrap();
        server.get().unwrap();
        answer
    });
    assert_eq!(answer, "hello");
}
