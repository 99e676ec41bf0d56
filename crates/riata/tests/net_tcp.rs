//! TCP streams and listeners, against each other and against std's.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::future::{Future, poll_fn};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use riata::net::{TcpListener, TcpStream, lookup_host};
use riata::{run, spawn, yield_now};

/// Polls once; nobody is woken by it.
fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listener().await;
    let client = TcpStream::connect(address).await.unwrap();
    let (server, peer) = listener.accept().await.unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    (client, server)
}

fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length)
        .map(|index| (index.wrapping_mul(31) / 7 + seed) as u8)
        .collect()
}

#[test]
fn many_clients_are_echoed_at_once() {
    run(async {
        let (listener, address) = listener().await;
        let server = spawn(async move {
            for _ in 0..50 {
                let (mut stream, _) = listener.accept().await.unwrap();
                spawn(async move {
                    let mut buffer = [0; 100];
                    loop {
                        match stream.read(&mut buffer).await.unwrap() {
                            0 => return,
                            count => stream.write_all(&buffer[..count]).await.unwrap(),
                        }
                    }
                })
                .detach();
            }
        });
        let clients: Vec<_> = (0..50)
            .map(|seed| {
                spawn(async move {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    for length in [1, 99, 100, 101, 1000] {
                        let sent = pattern(length, seed);
                        stream.write_all(&sent).await.unwrap();
                        let mut received = vec![0; length];
                        stream.read_exact(&mut received).await.unwrap();
                        assert_eq!(received, sent);
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
        server.await.unwrap();
    });
}

#[test]
fn both_directions_carry_more_than_the_kernel_holds() {
    const LENGTH: usize = 8 << 20;
    run(async {
        let (client, server) = pair().await;
        let transfers = [(client, 1), (server, 2)].map(|(stream, seed)| {
            let (mut reader, mut writer) = stream.split();
            let writing = spawn(async move {
                writer.write_all(&pattern(LENGTH, seed)).await.unwrap();
            });
            let reading = spawn(async move {
                let mut bytes = Vec::new();
                reader.read_to_end(&mut bytes).await.unwrap();
                assert!(bytes == pattern(LENGTH, 3 - seed));
            });
            (writing, reading)
        });
        for (writing, reading) in transfers {
            writing.await.unwrap();
            reading.await.unwrap();
        }
    });
}

#[test]
fn a_read_that_is_dropped_takes_nothing_with_it() {
    run(async {
        let (mut client, mut server) = pair().await;
        let mut lost = [0; 16];
        assert!(poll_once(server.read(&mut lost)).is_pending());
        client.write_all(b"hello").await.unwrap();
        server.readable().await.unwrap();
        let mut buffer = [0; 16];
        assert_eq!(server.read(&mut buffer).await.unwrap(), 5);
        assert_eq!(&buffer[..5], b"hello");
        assert_eq!(lost, [0; 16]);
    });
}

#[test]
fn a_cancelled_reader_leaves_the_stream_to_the_next() {
    run(async {
        let (mut client, server) = pair().await;
        let server = Rc::new(std::cell::RefCell::new(Some(server)));
        let slot = Rc::clone(&server);
        let reader = spawn(async move {
            struct GiveBack(Rc<std::cell::RefCell<Option<TcpStream>>>, Option<TcpStream>);
            impl Drop for GiveBack {
                fn drop(&mut self) {
                    *self.0.borrow_mut() = self.1.take();
                }
            }
            let stream = slot.borrow_mut().take();
            let mut held = GiveBack(slot, stream);
            held.1.as_mut().unwrap().read(&mut [0; 8]).await.unwrap()
        });
        yield_now().await;
        reader.cancel();
        assert!(reader.await.unwrap_err().is_cancelled());
        client.write_all(b"later").await.unwrap();
        let mut stream = server.borrow_mut().take().unwrap();
        let mut buffer = [0; 5];
        stream.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"later");
    });
}

#[test]
fn a_write_that_waits_and_is_dropped_has_sent_nothing() {
    run(async {
        let (mut client, mut server) = pair().await;
        let chunk = vec![b'x'; 64 << 10];
        let mut sent = 0;
        while let Poll::Ready(count) = poll_once(client.write(&chunk)) {
            sent += count.unwrap();
        }
        assert!(poll_once(client.write(b"never")).is_pending());
        let reader = spawn(async move {
            let mut bytes = Vec::new();
            server.read_to_end(&mut bytes).await.unwrap();
            bytes
        });
        client.writable().await.unwrap();
        client.write_all(b"end").await.unwrap();
        drop(client);
        let bytes = reader.await.unwrap();
        assert_eq!(bytes.len(), sent + 3);
        assert!(bytes.ends_with(b"xend"));
    });
}

#[test]
fn what_is_left_unread_is_reported_again() {
    run(async {
        let (mut client, mut server) = pair().await;
        client.write_all(b"abc").await.unwrap();
        for expected in b"abc" {
            server.readable().await.unwrap();
            let mut byte = [0];
            assert_eq!(server.read(&mut byte).await.unwrap(), 1);
            assert_eq!(&byte[0], expected);
        }
        drop(client);
        for _ in 0..3 {
            server.readable().await.unwrap();
            assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
        }
    });
}

#[test]
fn data_and_the_end_that_come_as_one_are_both_read() {
    run(async {
        let (mut client, mut server) = pair().await;
        assert!(poll_once(server.read(&mut [0; 64])).is_pending());
        client.write_all(b"last words").await.unwrap();
        drop(client);
        assert_eq!(server.read(&mut [0; 64]).await.unwrap(), 10);
        assert_eq!(server.read(&mut [0; 64]).await.unwrap(), 0);
    });
}

#[test]
fn half_a_stream_can_be_closed() {
    run(async {
        let (mut client, mut server) = pair().await;
        client.write_all(b"question").await.unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut question = Vec::new();
        server.read_to_end(&mut question).await.unwrap();
        server.write_all(b"answer").await.unwrap();
        drop(server);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(
            (question.as_slice(), answer.as_slice()),
            (&b"question"[..], &b"answer"[..])
        );
    });
}

#[test]
fn dropping_the_writing_half_ends_its_side_alone_and_reuniting_ends_none() {
    run(async {
        let (client, mut server) = pair().await;
        let (reader, writer) = client.split();
        let client = reader.reunite(writer).unwrap();
        let (mut reader, mut writer) = client.split();
        writer.write_all(b"still open").await.unwrap();
        drop(writer);
        let mut text = Vec::new();
        server.read_to_end(&mut text).await.unwrap();
        assert_eq!(text, b"still open");
        server.write_all(b"ok").await.unwrap();
        let mut answer = [0; 2];
        reader.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"ok");
    });
}

#[test]
fn an_early_end_and_a_reset_are_told_apart() {
    run(async {
        let (mut client, mut server) = pair().await;
        client.write_all(b"ab").await.unwrap();
        drop(client);
        let error = server.read_exact(&mut [0; 3]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);

        let (client, mut server) = pair().await;
        client.set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(client);
        let error = server.read(&mut [0; 3]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_dropped_accept_loses_no_connection_and_several_tasks_may_accept() {
    run(async {
        let (listener, address) = listener().await;
        assert!(poll_once(listener.accept()).is_pending());
        let listener = Rc::new(listener);
        let acceptors: Vec<_> = (0..3)
            .map(|_| {
                let listener = Rc::clone(&listener);
                spawn(async move { listener.accept().await.unwrap().1 })
            })
            .collect();
        yield_now().await;
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let mut accepted = Vec::new();
        for acceptor in acceptors {
            accepted.push(acceptor.await.unwrap());
        }
        accepted.sort();
        let mut connected: Vec<_> = clients.iter().map(|it| it.local_addr().unwrap()).collect();
        connected.sort();
        assert_eq!(accepted, connected);
    });
}

#[test]
fn incoming_gives_one_connection_after_the_other() {
    use futures_core::Stream;
    run(async {
        let (listener, address) = listener().await;
        let mut incoming = listener.incoming();
        for _ in 0..3 {
            let mut next = pin!(poll_fn(|context| {
                std::pin::Pin::new(&mut incoming).poll_next(context)
            }));
            assert!(poll_once(next.as_mut()).is_pending());
            let client = TcpStream::connect(address).await.unwrap();
            let server = next.await.unwrap().unwrap();
            assert_eq!(server.peer_addr().unwrap(), client.local_addr().unwrap());
        }
    });
}

#[test]
fn nobody_there_is_refused_and_the_next_address_tried() {
    run(async {
        let (gone, refused) = listener().await;
        drop(gone);
        let error = TcpStream::connect(refused).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let (_listener, address) = listener().await;
        let stream = TcpStream::connect(&[refused, address][..]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        let error = TcpStream::connect(&[refused, refused][..])
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn numbers_are_answered_at_once_and_names_after_asking() {
    run(async {
        for text in ["127.0.0.1:80", "[::1]:80"] {
            let Poll::Ready(found) = poll_once(lookup_host(text)) else {
                panic!("{text} needs no thread");
            };
            assert_eq!(found.unwrap(), [text.parse().unwrap()]);
        }
        assert!(poll_once(lookup_host(("::1", 80))).is_ready());
        for address in lookup_host("localhost:80").await.unwrap() {
            assert!(address.ip().is_loopback() && address.port() == 80);
        }
        for text in ["localhost", "localhost:http", "localhost:65536"] {
            let error = lookup_host(text).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        let nowhere: &[SocketAddr] = &[];
        assert!(lookup_host(nowhere).await.is_err());
    });
}

#[test]
fn sockets_go_to_std_and_back() {
    run(async {
        let (client, server) = pair().await;
        let (mut client, server) = (client.into_std().unwrap(), server.into_std().unwrap());
        client.write_all(b"from std").unwrap();
        let mut server = TcpStream::from_std(server).unwrap();
        let mut text = [0; 8];
        server.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"from std");
        server.write_all(b"back").await.unwrap();
        let mut answer = [0; 4];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"back");
    });
}

#[test]
fn a_stream_dropped_after_its_loop_closes_its_socket() {
    let mut kept = None;
    let (stream, mut far) = run(async {
        let (client, server) = pair().await;
        (client, server.into_std().unwrap())
    });
    kept.replace(stream);
    drop(kept);
    assert_eq!(far.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn the_end_that_came_with_the_last_bytes_is_read_after_them() {
    run(async {
        let (mut client, mut server) = pair().await;
        let mut buffer = [0; 64];
        let reading = spawn(async move {
            let first = server.read(&mut buffer).await.unwrap();
            (first, server.read(&mut buffer).await.unwrap())
        });
        yield_now().await;
        client.write_all(b"hello").await.unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(reading.await.unwrap(), (5, 0));
    });
}

#[test]
fn what_was_left_unread_is_readable_however_long_ago_it_came() {
    run(async {
        let (mut client, mut server) = pair().await;
        client.write_all(b"hello").await.unwrap();
        server.readable().await.unwrap();
        assert_eq!(server.read(&mut [0; 2]).await.unwrap(), 2);
        for _ in 0..3 {
            server.readable().await.unwrap();
        }
        // Somebody who goes round the stream takes the rest; then there is nothing.
        let mut rest = [0; 8];
        assert_eq!(server.source().io().read(&mut rest).unwrap(), 3);
        assert!(poll_once(server.readable()).is_pending());
        let waiting = spawn(async move { server.readable().await.map(|()| server) });
        yield_now().await;
        assert!(!waiting.is_done());
        client.write_all(b"x").await.unwrap();
        let mut server = waiting.await.unwrap().unwrap();
        server.source().set_drained();
        assert_eq!(server.read(&mut rest).await.unwrap(), 1);
    });
}

#[test]
fn a_read_that_urgent_data_cut_short_is_not_the_last() {
    use rustix::net::{SendFlags, send};
    run(async {
        let (client, mut server) = pair().await;
        let mut buffer = [0; 64];
        let reading = spawn(async move {
            let mut text = Vec::new();
            while text.len() < 4 {
                let count = server.read(&mut buffer).await.unwrap();
                text.extend_from_slice(&buffer[..count]);
            }
            text
        });
        yield_now().await;
        let socket = client.source().io();
        for (bytes, flags) in [
            (b"ab", SendFlags::empty()),
            (b"cd", SendFlags::OOB),
            (b"ef", SendFlags::empty()),
        ] {
            assert_eq!(send(socket, bytes, flags), Ok(2));
        }
        let text = riata::timeout(std::time::Duration::from_secs(10), reading).await;
        assert_eq!(&text.unwrap().unwrap()[..4], b"abce");
    });
}
