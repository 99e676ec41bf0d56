//! Futures on a loop that is not `Runtime`: the seam, from the other side.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::time::Duration;

include!("second_host/foreign.rs");

#[test]
fn futures_run_on_another_loop() {
    let host = Foreign::new();
    let shared = Rc::clone(&host);
    let guests = Guests::new(shared);
    let log = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&log);
    let task = guests.spawn(async move {
        seen.borrow_mut().push("task");
        riata::sleep(Duration::from_millis(1)).await;
        seen.borrow_mut().push("slept");
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let near = riata::Source::new(near).unwrap();
        let writer = std::thread::spawn(move || std::io::Write::write_all(&mut &far, b"x"));
        near.readable().await.unwrap();
        writer.join().unwrap().unwrap();
        seen.borrow_mut().push("readable");
        let handle = riata::Handle::current();
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || handle.call_soon_threadsafe(move || send.send(()).unwrap()));
        while receive.try_recv().is_err() {
            riata::sleep(Duration::from_micros(100)).await;
        }
        seen.borrow_mut().push("called");
        let child = riata::spawn(async { panic!("in the child") as u8 });
        assert!(child.await.unwrap_err().is_panic());
        7
    });
    let seen = Rc::clone(&log);
    let own = Work::Own(Box::new(move || seen.borrow_mut().push("own")));
    host.ready.borrow_mut().push(own);
    host.run_until(&guests, || task.is_done());
    assert_eq!(
        *log.borrow(),
        ["task", "own", "slept", "readable", "called"]
    );
    guests.close();
}
