//! UDP and Unix datagrams.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use riata::net::{UdpSocket, UnixDatagram};
use riata::{run, spawn, yield_now};

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn messages_keep_their_bounds_and_empty_ones_count() {
    run(async {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let here = server.local_addr().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for message in [&b"one"[..], b"", b"three"] {
            client.send_to(message, here).await.unwrap();
        }
        let mut buffer = [0; 64];
        for message in [&b"one"[..], b"", b"three"] {
            let (count, from) = server.recv_from(&mut buffer).await.unwrap();
            assert_eq!(
                (&buffer[..count], from),
                (message, client.local_addr().unwrap())
            );
        }
    });
}

#[test]
fn each_of_several_receivers_gets_a_message_and_a_dropped_one_takes_none() {
    run(async {
        let server = Rc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        assert!(poll_once(server.recv(&mut [0; 8])).is_pending());
        let receivers: Vec<_> = (0..3)
            .map(|_| {
                let server = Rc::clone(&server);
                spawn(async move {
                    let mut byte = [0];
                    server.recv(&mut byte).await.unwrap();
                    byte[0]
                })
            })
            .collect();
        yield_now().await;
        for byte in 0..3 {
            let here = server.local_addr().unwrap();
            server.send_to(&[byte], here).await.unwrap();
        }
        let mut received = Vec::new();
        for receiver in receivers {
            received.push(receiver.await.unwrap());
        }
        received.sort();
        assert_eq!(received, [0, 1, 2]);
    });
}

#[test]
fn a_connected_socket_learns_that_nobody_is_there() {
    run(async {
        let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = gone.local_addr().unwrap();
        drop(gone);
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(address).await.unwrap();
        assert_eq!(socket.peer_addr().unwrap(), address);
        socket.send(b"hello?").await.unwrap();
        let error = socket.recv(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_sender_waits_while_the_other_end_is_full() {
    run(async {
        let (near, far) = UnixDatagram::pair().unwrap();
        let mut sent = 0_usize;
        while poll_once(near.send(&[sent as u8])).is_ready() {
            sent += 1;
        }
        let sender = spawn(async move { near.send(b"!").await.unwrap() });
        yield_now().await;
        assert!(!sender.is_done());
        let mut byte = [0];
        for expected in 0..sent {
            far.recv(&mut byte).await.unwrap();
            assert_eq!(byte[0], expected as u8);
        }
        far.recv(&mut byte).await.unwrap();
        assert_eq!(&byte, b"!");
        sender.await.unwrap();
    });
}
