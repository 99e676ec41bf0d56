//! Datagrams on real sockets.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::mem::MaybeUninit;
use std::net::UdpSocket;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixDatagram;

use riata_engine::net::{self, Datagrams, SocketAddr, UnixAddr};

fn received(socket: &UdpSocket, most: usize) -> Vec<(Vec<u8>, SocketAddr)> {
    let mut all = Vec::new();
    let mut memory = Datagrams::new();
    let count = net::recv_many(socket, &mut memory, most, |datagram| {
        all.push((datagram.bytes.to_vec(), datagram.sender));
    });
    assert_eq!(count, Ok(all.len()));
    all
}

#[test]
fn what_waits_is_received_at_once_and_in_order() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (to, from) = (server.local_addr().unwrap(), client.local_addr().unwrap());
    let longest = vec![7; 65_507];
    for bytes in [&b"one"[..], b"", &longest, b"four"] {
        assert_eq!(net::send_to(&client, bytes, &to.into()), Ok(bytes.len()));
    }
    let first = received(&server, 3);
    assert_eq!(first.len(), 3);
    assert_eq!(first[0], (b"one".to_vec(), from.into()));
    assert_eq!(first[1], (Vec::new(), from.into()));
    assert_eq!(first[2].0, longest);
    assert_eq!(received(&server, 100), [(b"four".to_vec(), from.into())]);
}

#[test]
fn nothing_blocks_and_a_refusal_is_told() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap(); // blocking
    let error = net::recv_many(&socket, &mut Datagrams::new(), 4, |_| ()).unwrap_err();
    assert!(error.is_would_block() && error.call == "recvmmsg");
    let error = net::recv_from_uninit(&socket, &mut [MaybeUninit::uninit(); 4]).unwrap_err();
    assert!(error.is_would_block() && error.call == "recvfrom");

    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(nobody.local_addr().unwrap()).unwrap();
    drop(nobody);
    assert_eq!(net::send(&socket, b"?"), Ok(1));
    let error = net::recv_many(&socket, &mut Datagrams::new(), 4, |_| ()).unwrap_err();
    assert_eq!(error.errno, libc::ECONNREFUSED);
}

#[test]
fn addresses_of_each_family_come_with_what_they_sent() {
    let server = UdpSocket::bind("[::1]:0").unwrap();
    let client = UdpSocket::bind("[::1]:0").unwrap();
    let (to, from) = (server.local_addr().unwrap(), client.local_addr().unwrap());
    assert_eq!(net::send_to(&client, b"6", &to.into()), Ok(1));
    assert_eq!(received(&server, 2), [(b"6".to_vec(), from.into())]);

    let name = format!("riata-datagrams-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let server = UnixDatagram::bind_addr(&address).unwrap();
    let client = UnixDatagram::unbound().unwrap();
    let to = SocketAddr::Unix(UnixAddr::Abstract(name.into_bytes()));
    assert_eq!(net::send_to(&client, b"unix", &to), Ok(4));
    let mut memory = [MaybeUninit::uninit(); 8];
    let got = net::recv_from_uninit(&server, &mut memory);
    assert_eq!(got, Ok((4, SocketAddr::Unspecified)));
    let unnamed = SocketAddr::Unix(UnixAddr::Unnamed);
    let error = net::send_to(&client, b"x", &unnamed).unwrap_err();
    assert_eq!((error.errno, error.call), (libc::EAFNOSUPPORT, "sendto"));
}
