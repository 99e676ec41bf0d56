//! Memory of ours that Python's `ssl` reads from and writes to: a part of it at a time, as a buffer.
//!
//! A loop keeps two. Who uses one takes it out and puts it back: whoever comes meanwhile (a callback of `ssl` can run
//! anything) gets a new one.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ops::Range;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use riata_engine::error::Result as EngineResult;

use crate::cell::GilCell;
use crate::event_loop::EventLoop;

/// How much a window holds, in bytes: as much as is received at once, asyncio's `max_size`.
pub const WINDOW_SIZE: usize = 256 * 1024;

/// How many windows a loop keeps: what has arrived is in one, and is decrypted into the other.
const KEPT: usize = 2;

/// Memory with a part that shows: an object with Python's buffer protocol.
#[pyclass(frozen, name = "Window", module = "riata._native")]
pub struct Window {
    memory: GilCell<Box<[u8]>>,
    /// Which part a buffer that is asked for shows.
    shown: GilCell<(usize, usize)>,
}

impl Window {
    fn create(py: Python<'_>) -> PyResult<Bound<'_, Self>> {
        Bound::new(
            py,
            Self {
                memory: GilCell::new(vec![0; WINDOW_SIZE].into_boxed_slice()),
                shown: GilCell::default(),
            },
        )
    }

    /// Shows `part` to those who ask for a buffer from now on.
    pub fn show(&self, py: Python<'_>, part: Range<usize>) {
        let end = part.end.min(WINDOW_SIZE);
        self.shown.set(py, (part.start.min(end), end));
    }

    /// Lets `fill` write from the start on, and shows what it wrote, as many bytes as it returns.
    ///
    /// # Errors
    /// Those of `fill`.
    pub fn fill(
        &self,
        py: Python<'_>,
        fill: impl FnOnce(&mut [MaybeUninit<u8>]) -> EngineResult<usize>,
    ) -> EngineResult<usize> {
        let filled = self.memory.with(py, |memory| {
            let memory = std::ptr::from_mut::<[u8]>(memory) as *mut [MaybeUninit<u8>];
            // SAFETY: B15: initialized memory, which `fill` (a system call) makes no less so.
            fill(unsafe { &mut *memory })
        })?;
        self.show(py, 0..filled);
        Ok(filled)
    }

    /// The first `length` bytes.
    pub fn copy<'py>(&self, py: Python<'py>, length: usize) -> Bound<'py, PyBytes> {
        self.read(py, length, |bytes| PyBytes::new(py, bytes))
    }

    /// Looks at the first `length` bytes; `look` calls nothing of Python's.
    pub fn read<R>(&self, py: Python<'_>, length: usize, look: impl FnOnce(&[u8]) -> R) -> R {
        self.memory
            .with(py, |memory| look(&memory[..length.min(WINDOW_SIZE)]))
    }
}

#[pymethods]
impl Window {
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let py = slf.py();
        let (start, end) = slf.get().shown.get(py);
        let memory = slf.get().memory.with(py, |memory| memory.as_mut_ptr());
        let length = isize::try_from(end - start)?;
        // SAFETY: B15: the part is within the memory, which lives as long as the object, and the view holds that. The
        // interpreter gives a view to fill.
        let filled = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                memory.add(start).cast(),
                length,
                0,
                flags,
            )
        };
        match filled {
            0 => Ok(()),
            _ => Err(PyErr::fetch(py)),
        }
    }
}

impl EventLoop {
    /// A window of the loop's, or a new one while they are in use.
    ///
    /// # Errors
    /// MemoryError.
    pub fn take_window<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Window>> {
        match self.windows.with(py, Vec::pop) {
            Some(window) => Ok(window.into_bound(py)),
            None => Window::create(py),
        }
    }

    /// Gives a window back.
    pub fn put_window(&self, window: Bound<'_, Window>) {
        let py = window.py();
        let left = self.windows.with(py, |windows| {
            if windows.len() < KEPT {
                windows.push(window.unbind());
                return None;
            }
            Some(window)
        });
        drop(left);
    }
}
