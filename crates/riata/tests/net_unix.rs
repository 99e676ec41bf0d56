//! Unix streams: what differs from TCP, and futures-io on them.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::io::{ErrorKind, IoSlice};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;

use futures_lite::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, StreamExt};
use riata::net::{UnixListener, UnixStream};
use riata::{run, spawn};

fn address(name: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(format!("riata-{}-{name}", std::process::id())).unwrap()
}

#[test]
fn lines_are_read_by_futures_io_adapters() {
    run(async {
        let address = address("lines");
        let listener = UnixListener::bind_addr(&address).unwrap();
        let server = spawn(async move {
            let stream = listener.incoming().next().await.unwrap().unwrap();
            let (reader, mut writer) = stream.split();
            let mut lines = futures_lite::io::BufReader::new(reader).lines();
            while let Some(line) = lines.next().await {
                let answer = format!("{}\n", line.unwrap().to_uppercase());
                writer.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let mut client = UnixStream::connect_addr(&address).await.unwrap();
        AsyncWriteExt::write_all(&mut client, b"one\ntwo\n")
            .await
            .unwrap();
        client.close().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "ONE\nTWO\n");
        server.await.unwrap();
    });
}

#[test]
fn slices_leave_in_order() {
    run(async {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let parts: Vec<Vec<u8>> = (0..2000_u32)
            .map(|part| part.to_be_bytes().into())
            .collect();
        let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let count = near.write_vectored(&slices).await.unwrap();
        assert!(count > 0);
        drop(near);
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, parts.concat()[..count]);
    });
}

#[test]
fn writing_to_who_is_gone_is_an_error_and_closing_is_none() {
    run(async {
        let (mut near, far) = UnixStream::pair().unwrap();
        drop(far);
        let error = near.write(b"hello").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        near.close().await.unwrap();
    });
}

#[test]
fn a_full_backlog_is_told_and_nobody_there_is_refused() {
    run(async {
        let address = address("full");
        let error = UnixStream::connect_addr(&address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let listener = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let _first = UnixStream::connect_addr(&address).await.unwrap();
        let error = UnixStream::connect_addr(&address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    });
}
