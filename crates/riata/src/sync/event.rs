//! Something that has happened or not.

use std::cell::Cell;
use std::fmt;

use super::permits::Permits;

/// A flag that tasks wait for.
///
/// ```
/// use std::rc::Rc;
/// riata::run(async {
///     let event = Rc::new(riata::Event::new());
///     let waiting = event.clone();
///     let task = riata::spawn(async move { waiting.wait().await });
///     riata::yield_now().await;
///     event.set();
///     task.await.unwrap();
/// });
/// ```
pub struct Event {
    is_set: Cell<bool>,
    /// Nobody is given anything but refused: there is nothing to pass on.
    waiters: Permits,
}

impl Event {
    /// An event that is not set.
    ///
    /// ```
    /// assert!(!riata::Event::new().is_set());
    /// ```
    pub const fn new() -> Self {
        Self {
            is_set: Cell::new(false),
            waiters: Permits::new(0),
        }
    }

    /// Sets the event: all who wait go on, even if it is cleared before their turn comes.
    ///
    /// ```
    /// let event = riata::Event::new();
    /// event.set();
    /// assert!(event.is_set());
    /// ```
    pub fn set(&self) {
        self.is_set.set(true);
        self.waiters.refuse_all();
    }

    /// Makes the event not set: who waits from now on waits for the next
    /// [`set`](Self::set).
    ///
    /// ```
    /// let event = riata::Event::new();
    /// event.set();
    /// event.clear();
    /// assert!(!event.is_set());
    /// ```
    pub fn clear(&self) {
        self.is_set.set(false);
    }

    /// Whether the event is set.
    ///
    /// ```
    /// assert!(!riata::Event::new().is_set());
    /// ```
    pub fn is_set(&self) -> bool {
        self.is_set.get()
    }

    /// Waits until the event is set; goes on at once if it is.
    ///
    /// ```
    /// riata::run(async {
    ///     let event = riata::Event::new();
    ///     event.set();
    ///     event.wait().await;
    /// });
    /// ```
    pub async fn wait(&self) {
        if !self.is_set() {
            // Being refused is how everybody is told at once.
            let _ = self.waiters.take().await;
        }
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("is_set", &self.is_set())
            .field("waiting", &self.waiters.waiting())
            .finish()
    }
}
