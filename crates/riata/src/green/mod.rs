//! Greenlets: functions with a stack of their own, which wait by looking as if they blocked.
//!
//! ```
//! use riata::green;
//! use std::time::Duration;
//!
//! let lengths = green::run(|| {
//!     let words = ["one", "three"];
//!     let greenlets = words.map(|word| {
//!         green::spawn(move || {
//!             green::sleep(Duration::from_millis(1)); // others run meanwhile
//!             word.len()
//!         })
//!     });
//!     green::joinall(&greenlets);
//!     greenlets.map(|greenlet| greenlet.get().unwrap())
//! });
//! assert_eq!(lengths, [3, 5]);
//! ```
//!
//! # A greenlet is a task
//!
//! [`spawn`] makes a task of this thread's loop, whose every step runs the function until it
//! waits. So greenlets and futures share one loop, in turn, and wait for each other:
//! [`wait`] stops a greenlet until a future is done, and a [`Greenlet`] is itself a future.
//! Between two waits nothing else runs.
//!
//! # What killing means
//!
//! [`Greenlet::kill`] unwinds the greenlet's stack from where it waits, at its next turn, as
//! a panic does but without a message: destructors are the `finally`. Whoever catches it
//! (with `catch_unwind`) meets it again at the next wait. Cancelling the task is the same, and
//! so is closing the loop.
//!
//! A greenlet that unwinds, because it was killed or because it panicked, does not wait any
//! more: in its destructors [`try_wait`] gives [`Killed`] for what is not ready at once,
//! [`sleep`] and [`Greenlet::join`] return, sockets give an error, and [`wait`] has nothing to
//! return and panics, which Rust makes an abort there.
//!
//! # Stacks
//!
//! A greenlet gets its stack when it first runs. Its size is [`stack_size`], unless
//! [`Builder::stack_size`] says otherwise: address space, of which the kernel gives memory
//! page by page as it is used. Overflowing it ends the process, as it does on a thread. A
//! stack takes two of the kernel's mappings (`vm.max_map_count`: 65,530 by default), so about
//! 32,000 greenlets can be under way at once. Stacks are used again: see [`keep_stacks`].
//!
//! # Where not to wait
//!
//! Not inside a call that keeps a pointer to its caller's stack in a thread-local variable
//! until it returns (`scoped_tls` and the like): other greenlets run in between, and such
//! calls must end in the opposite order to that in which they began. Builds with
//! `panic = "abort"` cannot kill greenlets.

mod greenlet;
mod life;
mod net;
mod pool;
mod ride;
mod stacks;
mod strand;
mod udp;
mod unix;

pub use greenlet::{Builder, Greenlet, joinall, run, spawn};
pub use net::{Incoming, TcpListener, TcpStream};
pub use pool::Pool;
pub use stacks::{keep_stacks, set_stack_size, stack_size};
pub use strand::{Killed, is_greenlet, sleep, try_wait, wait};
pub use udp::UdpSocket;
pub use unix::{UnixListener, UnixStream};
