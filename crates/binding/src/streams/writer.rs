//! `StreamWriter`: `asyncio.streams.StreamWriter`.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::method::Step;
use super::protocol::StreamReaderProtocol;
use super::reader::StreamReader;
use crate::cell::GilCell;
use crate::combine::body::{Body, Stepped};
use crate::combine::delegate::Delegate;
use crate::future::Sent;
use crate::transport::StreamTransport;

/// The native half of `riata.StreamWriter`. asyncio's `__init__` sets its attributes.
#[pyclass(
    frozen,
    subclass,
    weakref,
    name = "StreamWriter",
    module = "riata._native"
)]
pub struct StreamWriter {
    transport: GilCell<Option<Py<PyAny>>>,
    protocol: GilCell<Option<Py<PyAny>>>,
    reader: GilCell<Option<Py<PyAny>>>,
}

/// `StreamWriter.drain`
pub enum Drain {
    /// Not begun.
    Created(Py<StreamWriter>),
    /// The connection is closing: a turn, in which the protocol hears of it.
    Yielded(Py<StreamWriter>),
    /// Waiting until the protocol may go on.
    Helping(Delegate),
}

impl Drain {
    /// One step.
    pub fn step(self, py: Python<'_>, thrown: Option<PyErr>) -> Stepped {
        match (self, thrown) {
            (Self::Helping(helping), thrown) => Self::help(py, helping, thrown),
            (_, Some(error)) => Stepped::Raise(error),
            (Self::Created(writer), None) => match Self::check(writer.bind(py)) {
                Err(error) => Stepped::Raise(error),
                Ok(true) => {
                    Stepped::Yield(Body::Stream(Step::Drain(Self::Yielded(writer))), py.None())
                }
                Ok(false) => Self::wait(writer.bind(py)),
            },
            (Self::Yielded(writer), None) => Self::wait(writer.bind(py)),
        }
    }

    /// Whether the connection is closing.
    ///
    /// # Errors
    /// What the reader was told that went wrong.
    fn check(writer: &Bound<'_, StreamWriter>) -> PyResult<bool> {
        let py = writer.py();
        if let Some(reader) = writer.get().reader.cloned(py) {
            match reader.bind(py).cast::<StreamReader>() {
                Ok(reader) => reader.get().check(py)?,
                Err(_) => {
                    let exception = reader.bind(py).call_method0(intern!(py, "exception"))?;
                    if !exception.is_none() {
                        return Err(PyErr::from_value(exception));
                    }
                }
            }
        }
        let transport = writer.get().transport.cloned(py);
        transport
            .into_pyobject(py)?
            .call_method0(intern!(py, "is_closing"))?
            .is_truthy()
    }

    fn wait(writer: &Bound<'_, StreamWriter>) -> Stepped {
        let py = writer.py();
        match Self::helping(writer) {
            Ok(None) => Stepped::Return(py.None()),
            Ok(Some(helping)) => Self::help(py, helping, None),
            Err(error) => Stepped::Raise(error),
        }
    }

    /// What is to be waited for, if anything.
    fn helping(writer: &Bound<'_, StreamWriter>) -> PyResult<Option<Delegate>> {
        let py = writer.py();
        let protocol = writer.get().protocol.cloned(py).into_pyobject(py)?;
        // Nothing, nearly always: asked without a coroutine.
        if let Ok(native) = protocol.cast::<StreamReaderProtocol>()
            && !native.get().overrides_drain
            && !protocol
                .getattr(intern!(py, "_connection_lost"))?
                .is_truthy()?
            && !protocol.getattr(intern!(py, "_paused"))?.is_truthy()?
        {
            return Ok(None);
        }
        let helping = protocol.call_method0(intern!(py, "_drain_helper"))?;
        Delegate::new(&helping).map(Some)
    }

    fn help(py: Python<'_>, helping: Delegate, thrown: Option<PyErr>) -> Stepped {
        let sent = match thrown {
            None => helping.send(py),
            Some(error) => helping.throw(py, error),
        };
        match sent {
            Ok(Sent::Yield(awaited)) => {
                Stepped::Yield(Body::Stream(Step::Drain(Self::Helping(helping))), awaited)
            }
            Ok(Sent::Return(_)) => Stepped::Return(py.None()),
            Err(error) => Stepped::Raise(error),
        }
    }

    /// What it awaits.
    pub fn awaited(&self, py: Python<'_>) -> Option<Delegate> {
        match self {
            Self::Helping(helping) => Some(helping.clone_ref(py)),
            _ => None,
        }
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Created(writer) | Self::Yielded(writer) => visit.call(writer),
            Self::Helping(helping) => helping.traverse(visit),
        }
    }
}

#[pymethods]
impl StreamWriter {
    #[new]
    #[pyo3(signature = (*_args, **_options))]
    fn new(_args: &Bound<'_, PyTuple>, _options: Option<&Bound<'_, PyDict>>) -> Self {
        Self {
            transport: GilCell::new(None),
            protocol: GilCell::new(None),
            reader: GilCell::new(None),
        }
    }

    /// Write bytes: they are sent at the end of the loop's turn, in order. `drain` waits while there are too many.
    fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = data.py();
        let transport = self.transport.cloned(py).into_pyobject(py)?;
        match transport.cast_exact::<StreamTransport>() {
            Ok(native) => StreamTransport::write(native, data),
            Err(_) => transport
                .call_method1(intern!(py, "write"), (data,))
                .map(drop),
        }
    }

    #[getter]
    fn _transport(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.transport.cloned(py)
    }

    #[setter(_transport)]
    fn set_transport(&self, py: Python<'_>, transport: Option<Py<PyAny>>) {
        self.transport.set(py, transport);
    }

    #[getter]
    fn _protocol(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.protocol.cloned(py)
    }

    #[setter(_protocol)]
    fn set_protocol(&self, py: Python<'_>, protocol: Option<Py<PyAny>>) {
        self.protocol.set(py, protocol);
    }

    #[getter]
    fn _reader(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.reader.cloned(py)
    }

    #[setter(_reader)]
    fn set_reader(&self, py: Python<'_>, reader: Option<Py<PyAny>>) {
        self.reader.set(py, reader);
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: called by the collector.
        unsafe {
            visit.call(self.transport.traverse())?;
            visit.call(self.protocol.traverse())?;
            visit.call(self.reader.traverse())
        }
    }

    fn __clear__(&self) {
        Python::attach(|py| {
            self.transport.set(py, None);
            self.protocol.set(py, None);
            self.reader.set(py, None);
        });
    }
}
