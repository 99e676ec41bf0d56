//! Socket calls on real sockets.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{UnixListener, UnixStream};

use riata_engine::net::{self, SocketAddr, UnixAddr};
use rustix::io::FdFlags;

fn pair() -> (UnixStream, UnixStream) {
    let (left, right) = UnixStream::pair().unwrap();
    left.set_nonblocking(true).unwrap();
    right.set_nonblocking(true).unwrap();
    (left, right)
}

#[test]
fn bytes_sent_are_received_and_nothing_blocks() {
    let (left, right) = pair();
    let mut buffer = [0; 16];
    let error = net::recv(&right, &mut buffer).unwrap_err();
    assert!(error.is_would_block() && error.call == "recv");
    assert_eq!(net::send(&left, b"one "), Ok(4));
    let slices = [IoSlice::new(b"two "), IoSlice::new(b"three")];
    assert_eq!(net::send_vectored(&left, &slices), Ok(9));
    assert_eq!(net::recv(&right, &mut buffer), Ok(13));
    assert_eq!(&buffer[..13], b"one two three");
    assert_eq!(net::shutdown_write(&left), Ok(()));
    assert_eq!(net::recv(&right, &mut buffer), Ok(0));
}

#[test]
fn memory_that_holds_nothing_is_received_into() {
    let (left, right) = pair();
    assert_eq!(net::send(&left, b"abc"), Ok(3));
    let mut buffer = [MaybeUninit::uninit(); 8];
    assert_eq!(net::recv_uninit(&right, &mut buffer), Ok(3));
    #[allow(unsafe_code)]
    // SAFETY: E6. As many bytes are initialized as were returned.
    let received = buffer[..3].iter().map(|it| unsafe { it.assume_init() });
    assert!(received.eq(*b"abc"));
}

#[test]
fn a_peer_that_is_gone_is_an_error_and_no_signal() {
    let (left, right) = pair();
    drop(right);
    assert_eq!(net::send(&left, b"x").unwrap_err().errno, libc::EPIPE);
    let error = net::send_vectored(&left, &[IoSlice::new(b"x")]).unwrap_err();
    assert_eq!((error.errno, error.call), (libc::EPIPE, "sendmsg"));
}

#[test]
fn more_slices_than_the_kernel_takes_are_sent_in_part() {
    let (left, _right) = pair();
    let slices = [IoSlice::new(b"x"); net::MAX_SLICES + 5];
    assert_eq!(net::send_vectored(&left, &slices), Ok(net::MAX_SLICES));
}

#[test]
fn an_accepted_socket_is_non_blocking_and_not_inherited() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (socket, peer) = net::accept(&listener).unwrap();
    assert_eq!(peer, client.local_addr().unwrap().into());
    assert_eq!(net::local_addr(&socket), net::peer_addr(&client));
    assert_eq!(rustix::io::fcntl_getfd(&socket), Ok(FdFlags::CLOEXEC));
    let flags = rustix::fs::fcntl_getfl(&socket).unwrap();
    assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
    assert_eq!(net::set_nodelay(&socket), Ok(()));
    assert_eq!(rustix::net::sockopt::tcp_nodelay(&socket), Ok(true));
    assert_eq!(
        net::set_nodelay(pair().0).unwrap_err().errno,
        libc::EOPNOTSUPP
    );
}

#[test]
fn a_refused_connection_is_told_by_the_pending_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().into();
    drop(listener);
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        rustix::net::SocketFlags::NONBLOCK | rustix::net::SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    assert_eq!(net::take_error(&socket), Ok(None));
    let error = match net::connect(&socket, &address) {
        // Local connections may be refused at once.
        Err(error) if error.errno != libc::EINPROGRESS => error,
        _ => {
            let mut poll = [rustix::event::PollFd::new(
                &socket,
                rustix::event::PollFlags::OUT,
            )];
            assert_eq!(rustix::event::poll(&mut poll, None), Ok(1));
            net::take_error(&socket).unwrap().unwrap()
        }
    };
    assert_eq!((error.errno, error.call), (libc::ECONNREFUSED, "connect"));
    assert_eq!(net::peer_addr(&socket).unwrap_err().errno, libc::ENOTCONN);
}

#[test]
fn addresses_of_each_family_are_told_apart() {
    let v6 = TcpListener::bind("[::1]:0");
    if let Ok(listener) = v6 {
        assert_eq!(
            net::local_addr(&listener),
            Ok(listener.local_addr().unwrap().into())
        );
    }
    let unnamed = SocketAddr::Unix(UnixAddr::Unnamed);
    assert_eq!(net::local_addr(pair().0), Ok(unnamed.clone()));
    assert_eq!(
        net::connect(pair().0, &unnamed).unwrap_err().errno,
        libc::EAFNOSUPPORT
    );

    let name = format!("riata-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    let expected = SocketAddr::Unix(UnixAddr::Abstract(name.clone().into_bytes()));
    assert_eq!(net::local_addr(&listener), Ok(expected.clone()));
    check_unix(&listener, &expected);

    let path = std::env::temp_dir().join(&name);
    let listener = UnixListener::bind(&path).unwrap();
    let expected = SocketAddr::Unix(UnixAddr::Path(path.as_os_str().as_encoded_bytes().to_vec()));
    assert_eq!(net::local_addr(&listener), Ok(expected.clone()));
    check_unix(&listener, &expected);
    std::fs::remove_file(path).unwrap();
}

/// Connects to `address` and accepts at `listener`.
fn check_unix(listener: &UnixListener, address: &SocketAddr) {
    let client = rustix::net::socket(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    assert_eq!(net::connect(&client, address), Ok(()));
    let (_socket, peer) = net::accept(listener.as_fd()).unwrap();
    assert!(matches!(
        peer,
        SocketAddr::Unix(UnixAddr::Unnamed) | SocketAddr::Unspecified
    ));
}

#[test]
fn a_peer_with_the_longest_path_is_accepted() {
    let listener = UnixListener::bind_addr(
        &std::os::unix::net::SocketAddr::from_abstract_name(format!(
            "riata-test-longest-{}",
            std::process::id()
        ))
        .unwrap(),
    )
    .unwrap();
    let client = rustix::net::socket(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    let mut path = format!("/tmp/riata-{}-", std::process::id()).into_bytes();
    path.resize(108, b'x');
    let address = rustix::net::SocketAddrUnix::new(path.as_slice()).unwrap();
    rustix::net::bind(&client, &address).unwrap();
    assert_eq!(
        net::connect(&client, &net::local_addr(&listener).unwrap()),
        Ok(())
    );
    let (socket, peer) = net::accept(&listener).unwrap();
    rustix::fs::unlink(path.as_slice()).unwrap();
    assert_eq!(peer, SocketAddr::Unix(UnixAddr::Path(path)));
    assert_eq!(net::peer_addr(&socket), Ok(peer));
}

#[test]
fn pipes_are_read_and_written() {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    assert_eq!(net::write(&writer, b"ab"), Ok(2));
    let slices = [IoSlice::new(b"c"), IoSlice::new(b"de")];
    assert_eq!(net::write_vectored(&writer, &slices), Ok(3));
    let mut start = [0; 3];
    assert_eq!(net::read(&reader, &mut start), Ok(3));
    assert_eq!(&start, b"abc");
    assert_eq!(
        net::read_uninit(&reader, &mut [MaybeUninit::uninit(); 9]),
        Ok(2)
    );
    drop(writer);
    assert_eq!(net::read(&reader, &mut start), Ok(0));
}
