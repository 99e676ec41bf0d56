//! A process without a free descriptor; alone in its file, as the limit is the process's.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use riata::Runtime;
use riata::net::{TcpListener, TcpStream};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn accept_tells_that_there_is_no_descriptor_and_goes_on_when_there_is() {
    let mut runtime = Runtime::builder().virtual_clock(true).build().unwrap();
    runtime.run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).await.unwrap();

        let limit = getrlimit(Resource::Nofile);
        let none = Rlimit {
            current: Some(0),
            ..limit
        };
        setrlimit(Resource::Nofile, none).unwrap();
        let before = riata::time();
        let first = listener.accept().await.unwrap_err();
        let second = listener.accept().await.unwrap_err();
        let waited = riata::time() - before;
        setrlimit(Resource::Nofile, limit).unwrap();

        let full = Some(Errno::MFILE.raw_os_error());
        assert_eq!((first.raw_os_error(), second.raw_os_error()), (full, full));
        assert_eq!(waited.as_secs(), 1, "it would spin");
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    });
}
