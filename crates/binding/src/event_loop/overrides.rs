//! Which methods a subclass or an instance overrides: they are called then, instead of the shortcuts past them.
//!
//! Looked up when the loop is made, when it starts to run, and when such an attribute is set or deleted.

use pyo3::intern;
use pyo3::prelude::*;

use super::EventLoop;
use crate::imports::imports;

/// The methods that have shortcuts.
const OVERRIDABLE: [&str; 7] = [
    "call_soon",
    "call_soon_threadsafe",
    "call_at",
    "call_later",
    "create_future",
    "create_task",
    "time",
];

/// The methods by which asyncio's `create_connection` connects.
const CONNECTING: [&str; 5] = [
    "_connect_sock",
    "_create_connection_transport",
    "_ensure_resolved",
    "_make_socket_transport",
    "sock_connect",
];

/// Which methods a subclass or an instance overrides: they are called then, instead of what they stand for.
#[derive(Clone, Copy, Default)]
pub struct Overrides {
    call_soon: bool,
    call_soon_threadsafe: bool,
    call_at: bool,
    call_later: bool,
    create_future: bool,
    create_task: bool,
    time: bool,
    /// One of those by which asyncio's `create_connection` connects.
    connecting: bool,
}

impl EventLoop {
    /// Whether `call_soon` is overridden.
    #[inline(always)]
    pub fn overrides_call_soon(&self, py: Python<'_>) -> bool {
        self.overrides.get(py).call_soon
    }

    /// Whether `call_soon_threadsafe` is overridden.
    pub fn overrides_call_soon_threadsafe(&self, py: Python<'_>) -> bool {
        self.overrides.get(py).call_soon_threadsafe
    }

    /// Whether a timer may be started without a handle: nothing that asyncio would call is overridden, and debug mode
    /// keeps no stacks.
    #[inline(always)]
    pub fn schedules_directly(&self, py: Python<'_>) -> bool {
        let overrides = self.overrides.get(py);
        !(overrides.call_later || overrides.call_at || overrides.time || self.debug.get(py))
    }

    /// Whether `call_later` asks the loop's `time` and `call_at`.
    #[inline(always)]
    pub fn overrides_deadlines(&self, py: Python<'_>) -> bool {
        let overrides = self.overrides.get(py);
        overrides.call_at || overrides.time
    }

    /// Whether the loop's time is the monotonic clock's, and `time` need not be asked.
    #[inline(always)]
    pub fn has_own_clock(&self, py: Python<'_>) -> bool {
        !self.overrides.get(py).time
    }

    /// Whether `create_future` makes one of ours, without a stack to keep.
    #[inline(always)]
    pub fn makes_native_futures(&self, py: Python<'_>) -> PyResult<bool> {
        let plain = !(self.overrides.get(py).create_future || self.debug.get(py));
        Ok(plain && imports(py)?.makes_futures(py)?)
    }

    /// Whether `create_task` makes one of ours.
    #[inline(always)]
    pub fn makes_native_tasks(&self, py: Python<'_>) -> PyResult<bool> {
        let plain = !self.overrides.get(py).create_task
            && self.task_factory.with(py, |factory| factory.is_none());
        Ok(plain && imports(py)?.makes_tasks(py)?)
    }

    /// Looks which methods are overridden, by the class or by the instance.
    pub(super) fn note_overrides(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let native = py.get_type::<Self>();
        // Compared as bound methods: a look at `__dict__` would make one, and attributes of an instance that has
        // none yet are found faster.
        let overridden = |name: &str| -> PyResult<bool> {
            let own = native.getattr(name)?.call_method1("__get__", (slf,))?;
            let found = slf.getattr(name)?;
            Ok(!found.get_type().is(own.get_type()) || !found.eq(own)?)
        };
        let overrides = Overrides {
            call_soon: overridden("call_soon")?,
            call_soon_threadsafe: overridden("call_soon_threadsafe")?,
            call_at: overridden("call_at")?,
            call_later: overridden("call_later")?,
            create_future: overridden("create_future")?,
            create_task: overridden("create_task")?,
            time: overridden("time")?,
            connecting: Self::overrides_connecting(slf)?,
        };
        slf.get().overrides.set(py, overrides);
        Ok(())
    }

    /// Whether a method is overridden that asyncio's `create_connection` calls: those that are Python's, in
    /// `riata.Loop`.
    fn overrides_connecting(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let class = py
            .import(intern!(py, "riata._loop"))?
            .getattr(intern!(py, "Loop"))?;
        if !slf.is_instance(&class)? {
            return Ok(true);
        }
        for name in CONNECTING {
            let found = slf.getattr(name)?;
            let function = found.getattr_opt(intern!(py, "__func__"))?;
            let own = class.getattr(name)?;
            if !function.is_some_and(|function| function.is(&own)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a connection may be made here: nothing that asyncio would call for it is overridden.
    pub fn connects_directly(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(!self.overrides.get(py).connecting && self.makes_native_futures(py)?)
    }
}

#[pymethods]
impl EventLoop {
    /// Look again which methods are overridden.
    #[pyo3(name = "_note_overrides")]
    fn note_overrides_py(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::note_overrides(slf)
    }

    fn __setattr__(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        set_attribute(slf, name, Some(value))
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        set_attribute(slf, name, None)
    }
}

/// `object.__setattr__`, then a look whether that overrode a method.
#[allow(unsafe_code)]
fn set_attribute(
    slf: &Bound<'_, EventLoop>,
    name: &Bound<'_, PyAny>,
    value: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = slf.py();
    let pointer = value.map_or(std::ptr::null_mut(), |value| value.as_ptr());
    // SAFETY: B4: live objects; a NULL value deletes, as the C API says.
    if unsafe { pyo3::ffi::PyObject_GenericSetAttr(slf.as_ptr(), name.as_ptr(), pointer) } < 0 {
        return Err(PyErr::fetch(py));
    }
    let name = name.str()?;
    let name = &*name.to_string_lossy();
    if OVERRIDABLE.contains(&name) || CONNECTING.contains(&name) {
        EventLoop::note_overrides(slf)?;
    }
    Ok(())
}
