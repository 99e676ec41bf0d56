//! The transport below: a socket's, another TLS transport, or somebody else's.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3::{PyTraverseError, PyVisit};

use super::app::TlsTransport;
use crate::transport::StreamTransport;
use crate::version::version;

/// A transport that carries TLS.
pub enum Lower {
    /// A socket's.
    Stream(Py<StreamTransport>),
    /// TLS in TLS.
    Tls(Py<TlsTransport>),
    /// Not ours.
    Other(Py<PyAny>),
}

impl Lower {
    /// `transport`, as what it is.
    pub fn new(transport: &Bound<'_, PyAny>) -> Self {
        if let Ok(stream) = transport.cast::<StreamTransport>() {
            Self::Stream(stream.clone().unbind())
        } else if let Ok(tls) = transport.cast::<TlsTransport>() {
            Self::Tls(tls.clone().unbind())
        } else {
            Self::Other(transport.clone().unbind())
        }
    }

    /// Another reference to the same.
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Stream(stream) => Self::Stream(stream.clone_ref(py)),
            Self::Tls(tls) => Self::Tls(tls.clone_ref(py)),
            Self::Other(other) => Self::Other(other.clone_ref(py)),
        }
    }

    /// As Python sees it.
    pub fn object<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match self {
            Self::Stream(stream) => stream.bind(py).clone().into_any(),
            Self::Tls(tls) => tls.bind(py).clone().into_any(),
            Self::Other(other) => other.bind(py).clone(),
        }
    }

    /// The context in which it tells of events; None when it is not ours.
    pub fn context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match self {
            Self::Stream(stream) => stream.get().context(py),
            Self::Tls(tls) => tls.get().protocol(py)?.get().context(py),
            Self::Other(_) => None,
        }
    }

    /// Writes `chunks`, none of them empty.
    ///
    /// # Errors
    /// What its `write` raises.
    pub fn write(&self, py: Python<'_>, chunks: Vec<Bound<'_, PyBytes>>) -> PyResult<()> {
        match self {
            Self::Stream(stream) => StreamTransport::write_chunks(stream.bind(py), chunks),
            Self::Tls(tls) => TlsTransport::write_chunks(tls.bind(py), chunks),
            Self::Other(other) => {
                let joined = match <[_; 1]>::try_from(chunks) {
                    Ok([only]) => only.into_any(),
                    Err(chunks) => {
                        PyBytes::new(py, b"").call_method1(intern!(py, "join"), (chunks,))?
                    }
                };
                other
                    .bind(py)
                    .call_method1(intern!(py, "write"), (joined,))
                    .map(drop)
            }
        }
    }

    /// Ends it at once.
    ///
    /// # Errors
    /// What its `_force_close` raises.
    pub fn force_close(&self, py: Python<'_>, exception: Option<Py<PyAny>>) -> PyResult<()> {
        self.object(py)
            .call_method1(intern!(py, "_force_close"), (exception,))
            .map(drop)
    }

    /// Ends it at once because the program wants that: with the reason, where this Python's asyncio hands it on.
    ///
    /// # Errors
    /// What its `abort` or `_force_close` raises.
    pub fn abort(&self, py: Python<'_>, exception: Option<Py<PyAny>>) -> PyResult<()> {
        match version(py)?.tls_abort_tells {
            true => self.force_close(py, exception),
            false => self.object(py).call_method0(intern!(py, "abort")).map(drop),
        }
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Stream(stream) => visit.call(stream),
            Self::Tls(tls) => visit.call(tls),
            Self::Other(other) => visit.call(other),
        }
    }
}
