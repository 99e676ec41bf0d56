//! Bytes that have arrived and have not been read.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};
use pyo3::{PyTraverseError, PyVisit};

use crate::cell::GilCell;
use crate::part::slice;

/// The bytes. One chunk is kept as it came, and given out whole if it is asked for so; more are joined in a `bytearray`,
/// and so is what Python looks at as `_buffer`.
pub struct Buffer(GilCell<Held>);

enum Held {
    Nothing,
    /// From the offset on.
    Chunk(Py<PyBytes>, usize),
    Joined(Py<PyByteArray>),
}

enum Look<'py> {
    Nothing,
    Chunk(Bound<'py, PyBytes>, usize),
    Joined(Bound<'py, PyByteArray>),
}

impl Default for Buffer {
    fn default() -> Self {
        Self(GilCell::new(Held::Nothing))
    }
}

fn length(chunk: &Bound<'_, PyBytes>, start: usize) -> usize {
    chunk.as_bytes().len() - start
}

impl Buffer {
    fn look<'py>(&self, py: Python<'py>) -> Look<'py> {
        self.0.with(py, |held| match held {
            Held::Nothing => Look::Nothing,
            Held::Chunk(chunk, start) => Look::Chunk(chunk.bind(py).clone(), *start),
            Held::Joined(joined) => Look::Joined(joined.bind(py).clone()),
        })
    }

    fn hold(&self, py: Python<'_>, held: Held) {
        drop(self.0.replace(py, held));
    }

    /// How many bytes there are.
    #[inline]
    pub fn len(&self, py: Python<'_>) -> usize {
        match self.look(py) {
            Look::Nothing => 0,
            Look::Chunk(chunk, start) => length(&chunk, start),
            Look::Joined(joined) => joined.len(),
        }
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// TypeError for what is not bytes-like, BufferError while somebody looks at `_buffer` through a memoryview; so for
    /// all that follow.
    pub fn extend(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = data.py();
        if matches!(self.look(py), Look::Nothing)
            && let Ok(chunk) = data.cast_exact::<PyBytes>()
        {
            self.hold(py, Held::Chunk(chunk.clone().unbind(), 0));
            return Ok(());
        }
        self.show(py)?
            .call_method1(intern!(py, "extend"), (data,))
            .map(drop)
    }

    /// Takes the first `most` bytes out, or all there are.
    pub fn take<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Bound<'py, PyBytes>> {
        match self.look(py) {
            Look::Nothing => Ok(PyBytes::new(py, b"")),
            Look::Chunk(chunk, start) => {
                let end = chunk.as_bytes().len().min(start.saturating_add(most));
                let left = match end < chunk.as_bytes().len() {
                    true => Held::Chunk(chunk.clone().unbind(), end),
                    false => Held::Nothing,
                };
                let whole = start == 0 && matches!(left, Held::Nothing);
                self.hold(py, left);
                match whole {
                    true => Ok(chunk),
                    false => Ok(PyBytes::new(py, &chunk.as_bytes()[start..end])),
                }
            }
            Look::Joined(joined) => {
                let end = most.min(joined.len());
                let taken = PyBytes::new(py, &joined.to_vec()[..end]);
                self.discard(py, end)?;
                Ok(taken)
            }
        }
    }

    /// Drops the first `count` bytes.
    pub fn discard(&self, py: Python<'_>, count: usize) -> PyResult<()> {
        match self.look(py) {
            Look::Nothing => Ok(()),
            Look::Chunk(chunk, start) => {
                let left = match count < length(&chunk, start) {
                    true => Held::Chunk(chunk.unbind(), start + count),
                    false => Held::Nothing,
                };
                self.hold(py, left);
                Ok(())
            }
            Look::Joined(joined) => joined.del_item(slice(py, 0, Some(count))?),
        }
    }

    /// Where `separator` first is, from `offset` on.
    pub fn find(&self, separator: &Bound<'_, PyAny>, offset: usize) -> PyResult<Option<usize>> {
        let py = separator.py();
        let (bytes, start) = match self.look(py) {
            Look::Nothing => return Ok(None),
            Look::Chunk(chunk, start) => (chunk.into_any(), start),
            Look::Joined(joined) => (joined.into_any(), 0),
        };
        let found: isize = bytes
            .call_method1(intern!(py, "find"), (separator, start + offset))?
            .extract()?;
        Ok(usize::try_from(found).ok().map(|found| found - start))
    }

    /// As a `bytearray`, which it is from now on.
    pub fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyByteArray>> {
        let joined = match self.look(py) {
            Look::Joined(joined) => return Ok(joined),
            Look::Nothing => PyByteArray::new(py, b""),
            Look::Chunk(chunk, start) => PyByteArray::new(py, &chunk.as_bytes()[start..]),
        };
        self.hold(py, Held::Joined(joined.clone().unbind()));
        Ok(joined)
    }

    /// What Python puts in its place.
    ///
    /// # Errors
    /// TypeError for what is not a bytearray.
    pub fn set(&self, buffer: &Bound<'_, PyAny>) -> PyResult<()> {
        let joined = buffer.cast::<PyByteArray>()?;
        let held = match joined.is_empty() {
            true => Held::Nothing,
            false => Held::Joined(joined.clone().unbind()),
        };
        self.hold(buffer.py(), held);
        Ok(())
    }

    /// Drops all.
    pub fn clear(&self, py: Python<'_>) {
        self.hold(py, Held::Nothing);
    }

    /// Shows the collector what is inside.
    ///
    /// # Safety
    /// Called from `__traverse__`.
    #[allow(unsafe_code)]
    pub unsafe fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: called by the collector.
        match unsafe { self.0.traverse() } {
            Held::Nothing => Ok(()),
            Held::Chunk(chunk, _) => visit.call(chunk),
            Held::Joined(joined) => visit.call(joined),
        }
    }
}
