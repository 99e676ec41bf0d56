//! Options for a loop.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::Runtime;
use super::core::{Core, Options};
use crate::context::Guests;
use crate::threads::Pool;

/// Options for a [`Runtime`].
///
/// ```
/// let runtime = riata::Runtime::builder().name("main").debug(true).build().unwrap();
/// assert_eq!(runtime.name(), "main");
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    options: Options,
    /// `None`: as many as Python would start.
    executor_threads: Option<usize>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            options: Options {
                name: "riata".into(),
                slow_callback: None,
                virtual_clock: false,
            },
            executor_threads: None,
        }
    }
}

impl Builder {
    /// The loop's name, for its log messages.
    ///
    /// ```
    /// riata::Runtime::builder().name("sensors").build().unwrap();
    /// ```
    pub fn name(mut self, name: &str) -> Self {
        self.options.name = name.into();
        self
    }

    /// As asyncio's debug mode: warns of callbacks that take longer than 100 ms, unless
    /// [another limit](Self::slow_callback) is set.
    ///
    /// ```
    /// riata::Runtime::builder().debug(true).build().unwrap();
    /// ```
    pub fn debug(mut self, debug: bool) -> Self {
        let usual = Duration::from_millis(100);
        self.options.slow_callback = match self.options.slow_callback {
            limit if debug => limit.or(Some(usual)),
            _ => None,
        };
        self
    }

    /// Warns, through the `log` crate, of each callback or task step that takes `limit` or
    /// longer on the machine's clock: "Executing … took 0.123 seconds".
    ///
    /// ```
    /// use std::time::Duration;
    /// riata::Runtime::builder().slow_callback(Duration::from_millis(20)).build().unwrap();
    /// ```
    pub fn slow_callback(mut self, limit: Duration) -> Self {
        self.options.slow_callback = Some(limit);
        self
    }

    /// A clock for tests: it starts at zero and stands still while anything is ready; then it
    /// jumps to the next deadline. Events of descriptors come before a jump if they are there;
    /// while a thread works for the loop, time does not jump.
    ///
    /// ```
    /// let mut runtime = riata::Runtime::builder().virtual_clock(true).build().unwrap();
    /// runtime.run(riata::sleep_until(riata::Time::from_nanos(u64::MAX / 2)));
    /// ```
    pub fn virtual_clock(mut self, is_virtual: bool) -> Self {
        self.options.virtual_clock = is_virtual;
        self
    }

    /// How many threads [`run_in_executor`](crate::run_in_executor) may start, at least one. If
    /// nothing is said, Python's number: four more than there are cores, at most 32.
    ///
    /// ```
    /// let mut runtime = riata::Runtime::builder().executor_threads(1).build().unwrap();
    /// runtime.run(async {
    ///     let thread = || std::thread::current().id();
    ///     let (one, other) = (riata::run_in_executor(thread), riata::run_in_executor(thread));
    ///     assert_eq!(one.await.unwrap(), other.await.unwrap());
    /// });
    /// ```
    pub fn executor_threads(mut self, limit: usize) -> Self {
        self.executor_threads = Some(limit.max(1));
        self
    }

    /// Makes the loop.
    ///
    /// # Errors
    ///
    /// EMFILE, ENFILE, ENOMEM: the kernel refused an epoll instance or an eventfd.
    ///
    /// ```
    /// riata::Runtime::builder().build().unwrap().run(async {});
    /// ```
    pub fn build(self) -> io::Result<Runtime> {
        let core = Rc::new(Core::new(self.options)?);
        let host = Rc::clone(&core);
        let guests = Guests::new(host);
        // It starts no thread before there is work.
        let pool = self.executor_threads.map(Pool::with_limit);
        let none = guests.executor.replace(pool);
        drop(none);
        Ok(Runtime { guests, core })
    }
}
