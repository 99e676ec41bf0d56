//! A forked child that goes on with its parent's loop.
//!
//! Epoll instance, notifier and self-pipe are shared with the parent: what the child changed there would be changed for
//! the parent, and what is written there would wake the parent. The first method of the child that touches any of them
//! puts new ones in their places. The parent's are left alone.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use riata_engine::driver::Interest;
use riata_engine::error::Error;
use riata_engine::fork;

use super::watch::Watcher;
use super::{EventLoop, Kernel};
use crate::error::os_error;

impl EventLoop {
    /// Whether this process made the loop or has made it its own, and not its parent alone.
    #[inline]
    pub fn is_own(&self, py: Python<'_>) -> bool {
        self.generation.get(py) == fork::generation()
    }

    /// The poller and the remote queue, of this process; None once closed.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM, in a forked child that needs new ones.
    pub fn own_kernel(&self, py: Python<'_>) -> Result<Option<Arc<Kernel>>, Error> {
        if !self.is_own(py) {
            self.adopt(py)?;
        }
        Ok(self.kernel(py))
    }

    /// The same for all that is shared with the parent, before the loop runs.
    #[inline]
    pub fn adopt_all(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if !this.is_own(py) {
            this.adopt(py).map_err(os_error)?;
        }
        if this.shares_self_pipe.replace(py, false) {
            slf.call_method0(intern!(py, "_renew_self_pipe"))?;
        }
        Ok(())
    }

    #[cold]
    fn adopt(&self, py: Python<'_>) -> Result<(), Error> {
        let Some(old) = self.kernel(py) else {
            self.generation.set(py, fork::generation());
            return Ok(());
        };
        let new = Arc::new(Kernel::new()?);
        self.take_remote(py, &old);
        self.registry.with(py, |registry| {
            let notifier = registry.watchers(old.notifier()).next();
            registry.rebuild(&new.poller)?;
            // Only now: what is removed from the new instance is not removed from the parent's.
            if let Some(key) = notifier {
                registry.remove(&new.poller, key);
            }
            registry
                .add(
                    &new.poller,
                    new.notifier(),
                    Interest::READABLE,
                    Watcher::Remote,
                )
                .map(drop)
                .map_err(|rejected| rejected.error)
        })?;
        self.kernel.set(py, Some(new));
        self.shares_self_pipe.set(py, true);
        self.generation.set(py, fork::generation());
        Ok(())
    }
}
