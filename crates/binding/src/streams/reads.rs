//! The coroutines of `StreamReader`.

use std::cell::{Cell, RefCell};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::reader::StreamReader;
use crate::combine::place::Place;
use crate::combine::waits::{Outcome, Waits};
use crate::imports::imports;

/// What each of them does after waiting.
fn again<W: Waits<Owner = StreamReader>>(
    method: &W,
    owner: &Bound<'_, StreamReader>,
    outcome: PyResult<Py<PyAny>>,
) -> PyResult<Outcome> {
    owner.get().stop_waiting(owner.py());
    outcome?;
    method.begin(owner)
}

fn done(bytes: Bound<'_, PyBytes>) -> Outcome {
    Outcome::Return(bytes.into_any().unbind())
}

fn incomplete(partial: Bound<'_, PyBytes>, expected: Option<usize>) -> PyErr {
    let py = partial.py();
    let made = imports(py).and_then(|imports| {
        imports
            .incomplete_read_error
            .bind(py)
            .call1((partial, expected))
    });
    made.map_or_else(|error| error, PyErr::from_value)
}

/// `StreamReader.read`
pub struct Read {
    /// How many at most; negative for all until the end.
    count: i64,
    /// It has been looked whether an exception was set: that is done once.
    begun: Cell<bool>,
    blocks: RefCell<Vec<Py<PyBytes>>>,
}

impl Read {
    /// A call for so many bytes; all until the end if negative.
    pub fn of(count: i64) -> Self {
        Self {
            count,
            begun: Cell::new(false),
            blocks: RefCell::new(Vec::new()),
        }
    }
}

impl Waits for Read {
    type Owner = StreamReader;

    #[inline]
    fn begin(&self, owner: &Bound<'_, StreamReader>) -> PyResult<Outcome> {
        let py = owner.py();
        let this = owner.get();
        if !self.begun.replace(true) {
            this.check(py)?;
            if self.count == 0 {
                return Ok(done(PyBytes::new(py, b"")));
            }
        }
        if self.count >= 0 {
            if this.buffer.len(py) == 0 && !this.ended.get(py) {
                return StreamReader::wait(owner, "read").map(Outcome::Wait);
            }
            let taken = this
                .buffer
                .take(py, usize::try_from(self.count).unwrap_or(0))?;
            this._maybe_resume_transport(py)?;
            return Ok(done(taken));
        }
        // Block by block, as asyncio does: each looks for an exception.
        loop {
            this.check(py)?;
            if this.buffer.len(py) == 0 {
                if !this.ended.get(py) {
                    return StreamReader::wait(owner, "read").map(Outcome::Wait);
                }
                let blocks = PyList::new(py, self.blocks.take())?;
                let joined = PyBytes::new(py, b"").call_method1(intern!(py, "join"), (blocks,))?;
                return Ok(Outcome::Return(joined.unbind()));
            }
            let block = this.buffer.take(py, this.limit(py))?;
            this._maybe_resume_transport(py)?;
            self.blocks.borrow_mut().push(block.unbind());
        }
    }

    fn resumed(
        &self,
        owner: &Bound<'_, StreamReader>,
        _place: &Place,
        outcome: PyResult<Py<PyAny>>,
    ) -> PyResult<Outcome> {
        let py = owner.py();
        owner.get().stop_waiting(py);
        outcome?;
        if self.count < 0 {
            return self.begin(owner);
        }
        // Whatever there is now, be it nothing.
        let taken = owner
            .get()
            .buffer
            .take(py, usize::try_from(self.count).unwrap_or(0))?;
        owner.get()._maybe_resume_transport(py)?;
        Ok(done(taken))
    }
}

/// `StreamReader.readexactly`
pub struct ReadExactly {
    count: i64,
    begun: Cell<bool>,
}

impl ReadExactly {
    /// A call for exactly so many bytes.
    pub fn of(count: i64) -> Self {
        Self {
            count,
            begun: Cell::new(false),
        }
    }
}

impl Waits for ReadExactly {
    type Owner = StreamReader;

    fn begin(&self, owner: &Bound<'_, StreamReader>) -> PyResult<Outcome> {
        let py = owner.py();
        let this = owner.get();
        let Ok(count) = usize::try_from(self.count) else {
            let text = "readexactly size can not be less than zero";
            return Err(PyValueError::new_err(text));
        };
        if !self.begun.replace(true) {
            this.check(py)?;
            if count == 0 {
                return Ok(done(PyBytes::new(py, b"")));
            }
        }
        if this.buffer.len(py) < count {
            if this.ended.get(py) {
                let partial = this.buffer.take(py, usize::MAX)?;
                return Err(incomplete(partial, Some(count)));
            }
            return StreamReader::wait(owner, "readexactly").map(Outcome::Wait);
        }
        let taken = this.buffer.take(py, count)?;
        this._maybe_resume_transport(py)?;
        Ok(done(taken))
    }

    fn resumed(
        &self,
        owner: &Bound<'_, StreamReader>,
        _place: &Place,
        outcome: PyResult<Py<PyAny>>,
    ) -> PyResult<Outcome> {
        again(self, owner, outcome)
    }
}

/// The separators, the shortest first, with the lengths of the shortest and of the longest.
type Separators = (Vec<Py<PyAny>>, usize, usize);

/// `StreamReader.readuntil`
pub struct ReadUntil {
    given: Py<PyAny>,
    /// Looked at once.
    separators: RefCell<Option<Separators>>,
    /// Up to here there is none.
    offset: Cell<usize>,
}

impl ReadUntil {
    /// A call for bytes up to a separator, or the first of several.
    pub fn of(separator: Py<PyAny>) -> Self {
        Self {
            given: separator,
            separators: RefCell::new(None),
            offset: Cell::new(0),
        }
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.given)
    }

    fn prepare(&self, owner: &Bound<'_, StreamReader>) -> PyResult<()> {
        let py = owner.py();
        let given = self.given.bind(py);
        let mut found: Vec<(usize, Py<PyAny>)> = Vec::new();
        match given.cast::<PyTuple>() {
            Ok(several) => {
                for separator in several {
                    found.push((separator.len()?, separator.unbind()));
                }
            }
            Err(_) => found.push((given.len()?, given.clone().unbind())),
        }
        found.sort_by_key(|(length, _)| *length);
        let (Some((shortest, _)), Some((longest, _))) = (found.first(), found.last()) else {
            let text = "Separator should contain at least one element";
            return Err(PyValueError::new_err(text));
        };
        let (shortest, longest) = (*shortest, *longest);
        if shortest == 0 {
            let text = "Separator should be at least one-byte string";
            return Err(PyValueError::new_err(text));
        }
        owner.get().check(py)?;
        let separators = found.into_iter().map(|(_, separator)| separator).collect();
        self.separators
            .replace(Some((separators, shortest, longest)));
        Ok(())
    }

    /// Where the match that ends first begins and ends, in the buffer.
    fn find(&self, owner: &Bound<'_, StreamReader>) -> PyResult<Option<(usize, usize)>> {
        let py = owner.py();
        let mut found: Option<(usize, usize)> = None;
        let mut index = 0;
        while let Some(separator) = self.separators.borrow().as_ref().and_then(|separators| {
            separators
                .0
                .get(index)
                .map(|separator| separator.clone_ref(py))
        }) {
            index += 1;
            let separator = separator.bind(py);
            if let Some(start) = owner.get().buffer.find(separator, self.offset.get())? {
                let end = start + separator.len()?;
                if found.is_none_or(|(_, before)| end < before) {
                    found = Some((start, end));
                }
            }
        }
        Ok(found)
    }

    fn attempt(&self, owner: &Bound<'_, StreamReader>) -> PyResult<Outcome> {
        let py = owner.py();
        let this = owner.get();
        if self.separators.borrow().is_none() {
            self.prepare(owner)?;
        }
        let Some((shortest, longest)) = self
            .separators
            .borrow()
            .as_ref()
            .map(|(_, shortest, longest)| (*shortest, *longest))
        else {
            return Err(PyTypeError::new_err("no separator"));
        };
        let length = this.buffer.len(py);
        if length.saturating_sub(self.offset.get()) >= shortest {
            if let Some((start, end)) = self.find(owner)? {
                if start > this.limit(py) {
                    let text = "Separator is found, but chunk is longer than limit";
                    return Err(overrun(py, text, start)?);
                }
                let taken = this.buffer.take(py, end)?;
                this._maybe_resume_transport(py)?;
                return Ok(done(taken));
            }
            // The end of what there is may be the beginning of a separator.
            self.offset.set((length + 1).saturating_sub(longest));
            if self.offset.get() > this.limit(py) {
                let text = "Separator is not found, and chunk exceed the limit";
                return Err(overrun(py, text, self.offset.get())?);
            }
        }
        if this.ended.get(py) {
            return Err(incomplete(this.buffer.take(py, usize::MAX)?, None));
        }
        StreamReader::wait(owner, "readuntil").map(Outcome::Wait)
    }
}

fn overrun(py: Python<'_>, text: &str, consumed: usize) -> PyResult<PyErr> {
    let class = imports(py)?.limit_overrun_error.bind(py);
    class.call1((text, consumed)).map(PyErr::from_value)
}

impl Waits for ReadUntil {
    type Owner = StreamReader;

    fn begin(&self, owner: &Bound<'_, StreamReader>) -> PyResult<Outcome> {
        self.attempt(owner)
    }

    fn resumed(
        &self,
        owner: &Bound<'_, StreamReader>,
        _place: &Place,
        outcome: PyResult<Py<PyAny>>,
    ) -> PyResult<Outcome> {
        again(self, owner, outcome)
    }
}

/// `StreamReader.readline`
pub struct ReadLine(ReadUntil);

impl ReadLine {
    /// A call.
    pub fn of(py: Python<'_>) -> Self {
        Self(ReadUntil::of(PyBytes::new(py, b"\n").into_any().unbind()))
    }

    fn as_line(owner: &Bound<'_, StreamReader>, outcome: PyResult<Outcome>) -> PyResult<Outcome> {
        let py = owner.py();
        let this = owner.get();
        let error = match outcome {
            Err(error) => error,
            outcome => return outcome,
        };
        let imports = imports(py)?;
        if error.is_instance(py, imports.incomplete_read_error.bind(py)) {
            let partial = error.value(py).getattr(intern!(py, "partial"))?;
            return Ok(Outcome::Return(partial.unbind()));
        }
        if !error.is_instance(py, imports.limit_overrun_error.bind(py)) {
            return Err(error);
        }
        let consumed: usize = error
            .value(py)
            .getattr(intern!(py, "consumed"))?
            .extract()?;
        let newline = PyBytes::new(py, b"\n");
        match this.buffer.find(newline.as_any(), consumed)? {
            Some(at) if at == consumed => this.buffer.discard(py, consumed + 1)?,
            _ => this.buffer.clear(py),
        }
        this._maybe_resume_transport(py)?;
        let text = error.value(py).getattr(intern!(py, "args"))?.get_item(0)?;
        let raised = PyValueError::new_err(text.unbind());
        raised.set_context(py, Some(error));
        Err(raised)
    }
}

impl Waits for ReadLine {
    type Owner = StreamReader;

    fn begin(&self, owner: &Bound<'_, StreamReader>) -> PyResult<Outcome> {
        Self::as_line(owner, self.0.begin(owner))
    }

    fn resumed(
        &self,
        owner: &Bound<'_, StreamReader>,
        place: &Place,
        outcome: PyResult<Py<PyAny>>,
    ) -> PyResult<Outcome> {
        Self::as_line(owner, self.0.resumed(owner, place, outcome))
    }
}

/// `StreamReader._wait_for_data`
pub struct WaitForData(pub String);

impl Waits for WaitForData {
    type Owner = StreamReader;

    fn begin(&self, owner: &Bound<'_, StreamReader>) -> PyResult<Outcome> {
        StreamReader::wait(owner, &self.0).map(Outcome::Wait)
    }

    fn resumed(
        &self,
        owner: &Bound<'_, StreamReader>,
        _place: &Place,
        outcome: PyResult<Py<PyAny>>,
    ) -> PyResult<Outcome> {
        owner.get().stop_waiting(owner.py());
        outcome.map(Outcome::Return)
    }
}
