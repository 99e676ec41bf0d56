//! Greenlets that wait are woken without the hub, where that makes no difference.
//!
//! Most of a hub's callbacks are `Waiter.switch`, which only switches to the greenlet that waits. When that greenlet
//! switches back, the hub has nothing left to do in that call, and makes the next one. So who switches to its hub looks
//! for what the hub would do next, and polls if that comes next. If it is such a call again, it switches straight to
//! that greenlet, or returns, if it is the one itself. Everything else is left to the hub, which finds the loop as if it
//! had done that much by itself: callbacks of other kinds, loops within loops, watchers of moments, asyncio's loops,
//! signals, forks, the look at the clock after so many callbacks, and all of it where switches are traced.

#![allow(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};
use riata_engine::fork;

use super::callback::Callback;
use super::greenlets::{self, Greenlets, Wake, greenlets};
use super::hub_loop::GreenLoop;
use super::turn::Moment;
use super::watcher::Watcher;
use crate::event_loop::guest::{World, leave_world};
use crate::event_loop::run::Patience;
use crate::event_loop::work::Work;

/// How far an iteration has come, where greenlets may go on with it.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Neither: they may not.
    #[default]
    Other,
    /// Callbacks are called.
    Callbacks,
    /// Watchers that have fired are told.
    Pending,
}

/// Whose `Waiter.switch` it is.
pub enum Source {
    /// One of `run_callback`
    Callback(Py<Callback>),
    /// A watcher's
    Watcher(Py<Watcher>),
}

impl Source {
    /// The call is over.
    fn end(self, py: Python<'_>) {
        match self {
            Self::Callback(callback) => callback.get().end(py),
            Self::Watcher(watcher) => Watcher::told(watcher.bind(py)),
        }
    }
}

/// A greenlet that leaves for its hub.
struct Leave<'py> {
    known: &'static Greenlets,
    next: Next<'py>,
    /// What the thread knew of asyncio there.
    world: Option<Box<World>>,
}

/// How many hubs are in such a call.
static WAKING: AtomicUsize = AtomicUsize::new(0);

/// The call that a hub's stack is in: it has switched to a greenlet that waited.
pub struct Waking {
    /// The hub's address. A reference would keep it alive: who holds the loop is its own stack.
    hub: usize,
    /// Who was woken last.
    greenlet: Py<PyAny>,
    /// None once it is over.
    source: Option<Source>,
}

impl Drop for Waking {
    fn drop(&mut self) {
        WAKING.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Waking {
    fn new(hub: &Bound<'_, PyAny>, greenlet: &Bound<'_, PyAny>, source: Source) -> Self {
        WAKING.fetch_add(1, Ordering::Relaxed);
        Self {
            hub: hub.as_ptr().addr(),
            greenlet: greenlet.clone().unbind(),
            source: Some(source),
        }
    }

    fn is_of(&self, hub: &Bound<'_, PyAny>) -> bool {
        self.hub == hub.as_ptr().addr()
    }

    /// Tells the hub of an error, as `Waiter.switch` does.
    #[cold]
    fn tell_hub(&self, event_loop: &Bound<'_, GreenLoop>, error: PyErr) {
        let py = event_loop.py();
        let hub = greenlets(py).and_then(|known| known.current(py));
        let switch = self.greenlet.getattr(py, intern!(py, "switch"));
        let told = hub.and_then(|hub| {
            let (switch, class) = (switch?, error.get_type(py));
            let traceback = error.traceback(py);
            hub.call_method1(
                intern!(py, "handle_error"),
                (switch, class, error.value(py), traceback),
            )
        });
        if let Err(another) = told {
            GreenLoop::handle(event_loop, None, another);
        }
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.greenlet)?;
        match &self.source {
            Some(Source::Callback(callback)) => visit.call(callback),
            Some(Source::Watcher(watcher)) => visit.call(watcher),
            None => Ok(()),
        }
    }
}

/// What a switch to a hub comes to.
enum Next<'py> {
    /// The greenlet itself is the one that is woken
    Value(Bound<'py, PyAny>),
    /// A switch
    Switch(Bound<'py, PyAny>, Bound<'py, PyTuple>),
}

impl GreenLoop {
    /// If `callback(*args)`, called now, is a switch to a greenlet and nothing else, makes it; whether it did.
    #[inline(always)]
    pub(super) fn wake_greenlet(
        slf: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        source: impl FnOnce() -> Source,
    ) -> bool {
        let Some(known) = greenlets::known(slf.py()) else {
            return false;
        };
        if !known.is_waiters(callback) {
            return false;
        }
        let Some(wake) = Self::begin_wake(slf, known, callback, args, source) else {
            return false;
        };
        let given = known.switch(&wake.greenlet, &wake.args);
        Self::finish_wake(slf, given);
        true
    }

    #[inline(never)]
    fn begin_wake<'py>(
        slf: &Bound<'py, Self>,
        known: &Greenlets,
        callback: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        source: impl FnOnce() -> Source,
    ) -> Option<Wake<'py>> {
        let py = slf.py();
        let hub = known.current(py).ok()?;
        let wake = known.wake(callback, args, &hub)?;
        let waking = Waking::new(&hub, &wake.greenlet, source());
        slf.get().waking.set(py, Some(waking));
        Some(wake)
    }

    /// The hub is back; nothing was given when a greenlet that was woken has ended by an error, or could not be switched
    /// to.
    #[inline(never)]
    fn finish_wake(slf: &Bound<'_, Self>, given: Option<Bound<'_, PyAny>>) {
        let py = slf.py();
        let error = given.is_none().then(|| PyErr::fetch(py));
        let Some(mut waking) = slf.get().waking.take(py) else {
            return;
        };
        if let Some(error) = error {
            waking.tell_hub(slf, error);
        }
        if let Some(source) = waking.source.take() {
            source.end(py);
        }
    }

    /// Whom the hub would wake next, the loop being polled if that comes first; None when something else comes first.
    fn next_wake<'py>(
        slf: &Bound<'py, Self>,
        hub: &Bound<'py, PyAny>,
        known: &Greenlets,
    ) -> Option<Wake<'py>> {
        let py = slf.py();
        let this = slf.get();
        let over = this.waking.with(py, |waking| match waking {
            Some(waking) if waking.is_of(hub) => Some(waking.source.take()),
            _ => None,
        })?;
        if let Some(source) = over {
            source.end(py); // may call Python
        }
        if known.is_traced(py) {
            return None;
        }
        let (source, wake) = loop {
            if this.ends(py) {
                return None;
            }
            match this.phase.get(py) {
                Phase::Other => return None,
                Phase::Callbacks => {
                    if let Some(found) = this.next_callback(hub, known)? {
                        break found;
                    }
                    if !Self::poll_for_hub(slf) {
                        return None;
                    }
                }
                Phase::Pending => {
                    if let Some(found) = this.next_pending(hub, known)? {
                        break found;
                    }
                    if !this.is_simple(py) || this.count_alive(py) <= 0 {
                        return None;
                    }
                    this.begin_callbacks(py);
                }
            }
        };
        let greenlet = wake.greenlet.clone().unbind();
        let (greenlet, source) = this.waking.with(py, |waking| match waking {
            Some(waking) if waking.is_of(hub) => (
                Some(std::mem::replace(&mut waking.greenlet, greenlet)),
                waking.source.replace(source),
            ),
            _ => (Some(greenlet), Some(source)), // not so: nothing since has called Python
        });
        drop((greenlet, source));
        Some(wake)
    }

    /// The next callback; the outer None when it is the hub's to call, the inner one when there is none.
    #[allow(clippy::type_complexity)]
    fn next_callback<'py>(
        &self,
        hub: &Bound<'py, PyAny>,
        known: &Greenlets,
    ) -> Option<Option<(Source, Wake<'py>)>> {
        let py = hub.py();
        let ready = &self.core(py).get().ready;
        let first = ready.with(py, |ready| match ready.first() {
            None => Some(None),
            Some(Work::Green(callback)) => Some(Some(callback.clone_ref(py))),
            Some(_) => None,
        })?;
        let Some(first) = first else {
            return Some(None);
        };
        let left = self.left.get(py);
        if left <= 1 {
            return None; // the hub looks at the clock
        }
        let wake = first.get().wake(hub, known)?;
        let popped = ready.with(py, |ready| {
            ready.begin_batch();
            ready.pop_batch()
        });
        drop(popped);
        self.left.set(py, left - 1);
        Some(Some((Source::Callback(first), wake)))
    }

    /// The next watcher that has fired, likewise.
    #[allow(clippy::type_complexity)]
    fn next_pending<'py>(
        &self,
        hub: &Bound<'py, PyAny>,
        known: &Greenlets,
    ) -> Option<Option<(Source, Wake<'py>)>> {
        let py = hub.py();
        loop {
            let Some(first) = self.first_pending(py) else {
                return Some(None);
            };
            let is_pending = first.get().is_pending(py);
            let wake = match is_pending {
                true => Some(first.get().wake(hub, known)?),
                false => None, // stopped meanwhile
            };
            drop(self.pop_pending(py));
            if let Some(wake) = wake {
                return Some(Some((Source::Watcher(first), wake)));
            }
        }
    }

    /// Whether an iteration has nothing in it but callbacks, watchers that fire, and the poll.
    fn is_simple(&self, py: Python<'_>) -> bool {
        !self.has_turn(py, Moment::Prepare)
            && !self.has_turn(py, Moment::Check)
            && !self.has_turn(py, Moment::Idle)
            && self.always_ready.with(py, |always| always.is_empty())
            && self.guests.with(py, |guests| guests.is_empty())
            && self.continuous.get(py)
            && self.depth.get(py) == 1
            && !self.forked.get(py)
            && self.generation.get(py) == fork::generation()
    }

    /// Polls in the hub's place; false when the hub is to do so, or to go on from there.
    #[inline(never)]
    fn poll_for_hub(slf: &Bound<'_, Self>) -> bool {
        let py = slf.py();
        let this = slf.get();
        this.end_callbacks(py);
        if !this.is_simple(py) || this.has_pending(py, 0) {
            return false;
        }
        let patience = this.patience(py, false);
        // Signals end the poll, and have their handlers called in the hub.
        if patience != Patience::None && !this.armed.get(py) {
            return false;
        }
        let Ok(Some(kernel)) = this.core(py).get().own_kernel(py) else {
            return false;
        };
        this.remove_stopped(py);
        Self::wait(slf, &kernel, patience);
        Self::after_poll(slf, patience);
        this.iteration.with(py, |iteration| *iteration += 1);
        this.phase.set(py, Phase::Pending);
        let rang = this.wakeup(py).is_some_and(|wakeup| wakeup.rang());
        !rang
            && (this.has_pending(py, 0)
                || this
                    .core(py)
                    .get()
                    .ready
                    .with(py, |ready| !ready.is_empty()))
    }
}

/// Whom `hub` would wake next; None when something else comes first.
fn next_wake<'py>(hub: &Bound<'py, PyAny>, known: &Greenlets) -> PyResult<Option<Wake<'py>>> {
    if WAKING.load(Ordering::Relaxed) == 0 {
        return Ok(None);
    }
    let event_loop = hub.getattr(intern!(hub.py(), "loop"))?;
    Ok(match event_loop.cast::<GreenLoop>() {
        Ok(event_loop) => GreenLoop::next_wake(event_loop, hub, known),
        Err(_) => None,
    })
}

/// Finds out where to switch, when the calling greenlet leaves for `hub`.
fn prepare<'py>(hub: &Bound<'py, PyAny>, known: &Greenlets) -> PyResult<Next<'py>> {
    let py = hub.py();
    let current = known.current(py)?;
    if let Some(hook) = current.getattr_opt(intern!(py, "switch_out"))? {
        hook.call0()?;
    }
    Ok(match next_wake(hub, known)? {
        None => Next::Switch(hub.clone(), PyTuple::empty(py)),
        Some(wake) if wake.greenlet.is(&current) => Next::Value(wake.args.get_item(0)?),
        Some(wake) => Next::Switch(wake.greenlet, wake.args),
    })
}

/// The same, with what the thread knows of asyncio put away. None with an exception set.
#[inline(never)]
fn leave<'py>(hub: &Bound<'py, PyAny>) -> Option<Leave<'py>> {
    let py = hub.py();
    let left = || {
        let known = greenlets(py)?;
        let world = match known.keeps_worlds(py) {
            true => leave_world(py)?.map(Box::new),
            false => None,
        };
        match prepare(hub, known) {
            Ok(next) => Ok(Leave { known, next, world }),
            Err(error) => {
                if let Some(world) = world {
                    world.enter(py)?;
                }
                Err(error)
            }
        }
    };
    let panicked = |_| {
        Err(PyRuntimeError::new_err(
            "riata panicked; the message is on stderr",
        ))
    };
    catch_unwind(AssertUnwindSafe(left))
        .unwrap_or_else(panicked)
        .map_err(|error| error.restore(py))
        .ok()
}

/// The thread knows again what was put away; what the greenlet was given, or NULL with an exception set, is passed on.
#[inline(never)]
fn come_back(py: Python<'_>, world: World, given: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: B21: what the switch has returned.
    let given = unsafe { Bound::from_owned_ptr_or_opt(py, given) }.ok_or_else(|| PyErr::fetch(py));
    match world.enter(py).and(given) {
        Ok(given) => given.into_ptr(),
        Err(error) => {
            error.restore(py);
            std::ptr::null_mut()
        }
    }
}

/// What `Hub.switch` does: it switches to the hub, or straight to whom the hub would wake. Its frame is copied with each
/// greenlet that waits: what is not needed meanwhile is elsewhere.
unsafe extern "C" fn hub_switch(
    hub: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: B6: called by the interpreter, with the GIL and a hub.
    unsafe {
        Python::attach_unchecked(|py| {
            let Some(leave) = leave(&Borrowed::from_ptr(py, hub)) else {
                return std::ptr::null_mut();
            };
            let given = match leave.next {
                Next::Value(value) => value.into_ptr(),
                Next::Switch(greenlet, args) => leave
                    .known
                    .switch(&greenlet, &args)
                    .map_or(std::ptr::null_mut(), Bound::into_ptr),
            };
            match leave.world {
                None => given,
                Some(world) => come_back(py, *world, given),
            }
        })
    }
}

static mut SWITCH: ffi::PyMethodDef = ffi::PyMethodDef {
    ml_name: c"switch".as_ptr(),
    ml_meth: ffi::PyMethodDefPointer {
        PyCFunction: hub_switch,
    },
    ml_flags: ffi::METH_NOARGS,
    ml_doc: c"switch($self)\n--\n\nSwitch to the hub, until somebody switches back; returns what they give."
        .as_ptr(),
};

/// Has greenlets that wait be woken without the hub. `waiter_switch` is what waiters wake their greenlet by.
///
/// # Errors
/// ImportError, where there is no greenlet.
#[pyfunction(name = "_set_hub_switch")]
pub fn set_hub_switch(hub_class: &Bound<'_, PyType>, waiter_switch: Py<PyAny>) -> PyResult<()> {
    let py = hub_class.py();
    greenlets::find(py, waiter_switch)?;
    // SAFETY: B6: the definition is static, and only read; the descriptor checks `self`.
    let method = unsafe {
        let method = ffi::PyDescr_NewMethod(hub_class.as_type_ptr(), &raw mut SWITCH);
        Bound::from_owned_ptr_or_err(py, method)?
    };
    hub_class.setattr(intern!(py, "switch"), method)
}

/// From now on a greenlet that switches to its hub leaves what it knows of asyncio, and has it again after.
///
/// # Errors
/// RuntimeError: there is no `Hub.switch` of ours.
#[pyfunction(name = "_keep_worlds")]
pub fn keep_worlds(py: Python<'_>) -> PyResult<()> {
    greenlets(py)?.keep_worlds(py);
    Ok(())
}
