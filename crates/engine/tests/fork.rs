//! A real fork, in a process of its own: one test, so that no other thread holds a lock.
#![cfg(not(loom))]
#![allow(unsafe_code)]

use riata_engine::fork;

#[test]
fn a_child_knows_that_it_is_one() {
    assert_eq!(fork::install(), Ok(()));
    assert_eq!(fork::install(), Ok(()));
    let before = fork::generation();
    // SAFETY: E4. The child does nothing but read an atomic and exit.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let status = i32::from(fork::generation() != before + 1);
        // SAFETY: E4. Ends the child without running anything of the parent's.
        unsafe { libc::_exit(status) };
    }
    let mut status = -1;
    // SAFETY: E4. Reaps the child made above, by its pid.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0);
    assert_eq!(fork::generation(), before);
}
