//! greenlet's C API, and what is known of gevent's `Waiter`.
//!
//! greenlet's module is met at run time alone: its functions are found through the capsule that it offers.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCFunction, PyTuple, PyType};

use super::placeholder;
use crate::cell::GilCell;
use crate::unwind;

/// `PyGreenlet_Switch(greenlet, args, kwargs)`.
pub type Switch = unsafe extern "C-unwind" fn(
    *mut ffi::PyObject,
    *mut ffi::PyObject,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

/// `PyGreenlet_GetCurrent()`.
type Current = unsafe extern "C" fn() -> *mut ffi::PyObject;

/// `PyGreenlet_ACTIVE(greenlet)`.
type Active = unsafe extern "C" fn(*mut ffi::PyObject) -> c_int;

/// The head of a greenlet: `greenlet.h`.
#[repr(C)]
struct Layout {
    head: ffi::PyObject,
    weak_references: *mut ffi::PyObject,
    dict: *mut ffi::PyObject,
}

/// Where they are in greenlet's table: `greenlet.h`.
const CURRENT: usize = 4;
const SWITCH: usize = 6;
const ACTIVE: usize = 10;

unsafe extern "C" {
    // Include/cpython/classobject.h
    static mut PyMethod_Type: ffi::PyTypeObject;
    fn PyMethod_Function(method: *mut ffi::PyObject) -> *mut ffi::PyObject;
    fn PyMethod_Self(method: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

/// What is known of greenlet, and of gevent's waiters.
pub struct Greenlets {
    current: Current,
    switch: Switch,
    active: Active,
    /// `Waiter.switch`, as it stands in its class.
    waiter_switch: Py<PyAny>,
    /// What is behind `greenlet.switch`.
    switch_method: Option<ffi::PyCFunction>,
    /// Classes whose greenlets have it, unless one has a `switch` of its own.
    plain: GilCell<Vec<Py<PyType>>>,
    /// `greenlet.gettrace`.
    trace: Py<PyAny>,
    /// asyncio runs in greenlets: who leaves one puts away what the thread knows of it.
    keeps_worlds: GilCell<bool>,
}

static GREENLETS: PyOnceLock<Greenlets> = PyOnceLock::new();

/// Finds greenlet's functions; `waiter_switch` is what waiters wake their greenlet by.
///
/// # Errors
/// ImportError, AttributeError: it is not greenlet that was found.
pub fn find(py: Python<'_>, waiter_switch: Py<PyAny>) -> PyResult<()> {
    GREENLETS.get_or_try_init(py, || {
        let module = py.import("greenlet")?;
        let trace = module.getattr("gettrace")?.unbind();
        let switch_method = method(&module.getattr("getcurrent")?.call0()?);
        // SAFETY: B21: the capsule's table, which lives as long as the process, and functions of these types.
        let (current, switch, active) = unsafe {
            let table = ffi::PyCapsule_Import(c"greenlet._C_API".as_ptr(), 0)
                .cast::<*const c_void>()
                .cast_const();
            if table.is_null() {
                return Err(PyErr::fetch(py));
            }
            let function = |place: usize| *table.add(place);
            (
                std::mem::transmute::<*const c_void, Current>(function(CURRENT)),
                std::mem::transmute::<*const c_void, Switch>(function(SWITCH)),
                std::mem::transmute::<*const c_void, Active>(function(ACTIVE)),
            )
        };
        PyResult::Ok(Greenlets {
            current,
            switch,
            active,
            waiter_switch,
            switch_method,
            plain: GilCell::default(),
            trace,
            keeps_worlds: GilCell::new(false),
        })
    })?;
    Ok(())
}

/// What is behind `greenlet.switch`; None for what is no function in C, with that greenlet for its first argument.
fn method(greenlet: &Bound<'_, PyAny>) -> Option<ffi::PyCFunction> {
    let switch = greenlet.getattr(intern!(greenlet.py(), "switch")).ok()?;
    let switch = switch.cast_into::<PyCFunction>().ok()?;
    // SAFETY: B21: the type is checked before the fields are read.
    unsafe {
        let own = ffi::PyCFunction_GetSelf(switch.as_ptr()) == greenlet.as_ptr();
        own.then(|| ffi::PyCFunction_GetFunction(switch.as_ptr()))?
    }
}

/// Whether there is a `switch` in the greenlet's own dictionary.
fn has_own_switch(greenlet: &Bound<'_, PyAny>) -> bool {
    // SAFETY: B21: it is a greenlet, and its dictionary lives as long as nothing is called.
    unsafe {
        let dict = (*greenlet.as_ptr().cast::<Layout>()).dict;
        if dict.is_null() {
            return false;
        }
        let found = ffi::PyDict_Contains(dict, intern!(greenlet.py(), "switch").as_ptr());
        if found < 0 {
            drop(PyErr::take(greenlet.py()));
        }
        found != 0
    }
}

/// Whether a class's methods stay what they are.
fn is_immutable(class: &Bound<'_, PyType>) -> bool {
    // SAFETY: B4: a live type.
    let flags = unsafe { ffi::PyType_GetFlags(class.as_type_ptr()) };
    flags & ffi::Py_TPFLAGS_HEAPTYPE == 0 || flags & ffi::Py_TPFLAGS_IMMUTABLETYPE != 0
}

/// What `find` has found.
pub fn known(py: Python<'_>) -> Option<&'static Greenlets> {
    GREENLETS.get(py)
}

/// The same, for those who are called only after that.
///
/// # Errors
/// RuntimeError: it was not.
pub fn greenlets(py: Python<'_>) -> PyResult<&'static Greenlets> {
    known(py).ok_or_else(|| PyRuntimeError::new_err("greenlet was not looked for yet"))
}

/// A greenlet that waits for a `Waiter`, and what it is to be given: the arguments of `Waiter.switch`.
pub struct Wake<'py> {
    /// Who waits; it has begun and has not ended.
    pub greenlet: Bound<'py, PyAny>,
    /// One value.
    pub args: Bound<'py, PyTuple>,
}

impl Greenlets {
    /// The greenlet that runs.
    ///
    /// # Errors
    /// RuntimeError while the process ends.
    pub fn current<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: B21: a new reference, or NULL with an exception set.
        unsafe { Bound::from_owned_ptr_or_err(py, (self.current)()) }
    }

    /// Switches to a greenlet: `greenlet.switch(*args)`.
    ///
    /// # Errors
    /// What is thrown into the calling greenlet when it is switched to again, and greenlet's own.
    #[inline(always)]
    pub fn switch<'py>(
        &self,
        greenlet: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
    ) -> Option<Bound<'py, PyAny>> {
        // SAFETY: B21: both live across the call; a new reference, or NULL with an exception set.
        unsafe {
            let given = unwind::switch(self.switch, greenlet.as_ptr(), args.as_ptr());
            Bound::from_owned_ptr_or_opt(greenlet.py(), given)
        }
    }

    /// Whether somebody is told of each switch, by `greenlet.settrace`.
    pub fn is_traced(&self, py: Python<'_>) -> bool {
        let trace = self.trace.bind(py).call0();
        trace.map_or(true, |trace| !trace.is_none())
    }

    /// Whether who leaves a greenlet puts away what the thread knows of asyncio.
    pub fn keeps_worlds(&self, py: Python<'_>) -> bool {
        self.keeps_worlds.get(py)
    }

    /// From now on it is put away.
    pub fn keep_worlds(&self, py: Python<'_>) {
        self.keeps_worlds.set(py, true);
    }

    /// Whether `callback` is a waiter's `switch`.
    #[inline]
    pub fn is_waiters(&self, callback: &Bound<'_, PyAny>) -> bool {
        // SAFETY: B21: the type is checked before the field is read.
        unsafe {
            ffi::Py_TYPE(callback.as_ptr()) == &raw mut PyMethod_Type
                && PyMethod_Function(callback.as_ptr()) == self.waiter_switch.as_ptr()
        }
    }

    /// Whether `greenlet.switch` is greenlet's own. Subclasses have it do more, those of gevent's backdoor among them.
    fn has_plain_switch(&self, greenlet: &Bound<'_, PyAny>) -> bool {
        let py = greenlet.py();
        let class = greenlet.get_type_ptr();
        if self.plain.with(py, |plain| {
            plain.iter().any(|known| known.as_ptr().cast() == class)
        }) {
            return !has_own_switch(greenlet);
        }
        let plain = match (method(greenlet), self.switch_method) {
            (Some(found), Some(known)) => std::ptr::fn_addr_eq(found, known),
            _ => false,
        };
        let class = greenlet.get_type();
        if plain && !has_own_switch(greenlet) && is_immutable(&class) {
            let class = class.unbind();
            self.plain.with(py, |plain| plain.push(class));
        }
        plain
    }

    /// What `callback(*args)` comes to when it is called in `hub`, if that is a switch to a greenlet and nothing else.
    #[inline(never)]
    pub fn wake<'py>(
        &self,
        callback: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        hub: &Bound<'py, PyAny>,
    ) -> Option<Wake<'py>> {
        let py = callback.py();
        if !self.is_waiters(callback) {
            return None;
        }
        // SAFETY: B21: it is a method; what it is bound to lives as long as it does.
        let waiter = unsafe { Borrowed::from_ptr(py, PyMethod_Self(callback.as_ptr())) };
        let values = args.as_slice();
        if values.len() != 1 || values[0].is(placeholder(py).ok()?) {
            return None;
        }
        let greenlet = waiter.getattr(intern!(py, "greenlet")).ok()?;
        if greenlet.is_none() || !waiter.getattr(intern!(py, "hub")).ok()?.is(hub) {
            return None;
        }
        // SAFETY: B21: any object is allowed; what is no greenlet is an error, which is cleared.
        match unsafe { (self.active)(greenlet.as_ptr()) } {
            1 => self.has_plain_switch(&greenlet).then(|| Wake {
                greenlet,
                args: args.clone(),
            }),
            0 => None,
            _ => {
                drop(PyErr::take(py));
                None
            }
        }
    }
}
