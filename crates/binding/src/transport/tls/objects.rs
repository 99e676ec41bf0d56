//! What of Python's `ssl` and asyncio is used, looked up once, and how `ssl`'s exceptions are taken.

use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// The objects.
pub struct Objects {
    /// `ssl.MemoryBIO`
    pub memory_bio: Py<PyAny>,
    /// `ssl.SSLError`
    pub ssl_error: Py<PyType>,
    /// `ssl.SSLWantReadError`
    want_read: Py<PyType>,
    /// `ssl.SSLSyscallError`
    syscall: Py<PyType>,
    /// `ssl.CertificateError`
    pub certificate_error: Py<PyType>,
    /// `ssl.SSLObject`
    ssl_object: Py<PyType>,
    /// Its `read` and `write`, which only hand on to what it holds.
    ssl_object_methods: [(&'static str, Py<PyAny>); 2],
    /// `asyncio.constants`, whose values programs change
    pub constants: Py<PyAny>,
    /// `asyncio.sslproto.SSLProtocol`
    pub protocol_class: Py<PyAny>,
    /// `asyncio.sslproto._SSLProtocolTransport`
    pub transport_class: Py<PyAny>,
    /// `asyncio.constants._SendfileMode.FALLBACK`
    pub sendfile_fallback: Py<PyAny>,
}

static OBJECTS: PyOnceLock<Objects> = PyOnceLock::new();

/// The objects.
///
/// # Errors
/// RuntimeError when this Python has no `ssl`.
#[inline]
pub fn objects(py: Python<'_>) -> PyResult<&'static Objects> {
    OBJECTS.get_or_try_init(py, || load(py))
}

fn load(py: Python<'_>) -> PyResult<Objects> {
    let ssl = py
        .import("ssl")
        .map_err(|_| PyRuntimeError::new_err("stdlib ssl module not available"))?;
    let class = |name: &str| -> PyResult<Py<PyType>> {
        Ok(ssl.getattr(name)?.cast_into::<PyType>()?.unbind())
    };
    let ssl_object = class("SSLObject")?;
    let method = |name: &'static str| -> PyResult<(&'static str, Py<PyAny>)> {
        Ok((name, ssl_object.getattr(py, name)?))
    };
    let ssl_object_methods = [method("read")?, method("write")?];
    let sslproto = py.import("asyncio.sslproto")?;
    let constants = py.import("asyncio.constants")?;
    Ok(Objects {
        memory_bio: ssl.getattr("MemoryBIO")?.unbind(),
        ssl_error: class("SSLError")?,
        want_read: class("SSLWantReadError")?,
        syscall: class("SSLSyscallError")?,
        certificate_error: class("CertificateError")?,
        ssl_object,
        ssl_object_methods,
        protocol_class: sslproto.getattr("SSLProtocol")?.unbind(),
        transport_class: sslproto.getattr("_SSLProtocolTransport")?.unbind(),
        sendfile_fallback: constants
            .getattr("_SendfileMode")?
            .getattr("FALLBACK")?
            .unbind(),
        constants: constants.into_any().unbind(),
    })
}

impl Objects {
    /// Where bytes are read from and written to: what `object` holds, if it is an `SSLObject` whose methods only hand on;
    /// else `object` itself.
    pub fn io_of<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = object.py();
        let class = object.get_type();
        if !class.is_subclass(self.ssl_object.bind(py))? {
            return Ok(object.clone());
        }
        for (name, method) in &self.ssl_object_methods {
            if !class.getattr(*name)?.is(method) {
                return Ok(object.clone());
            }
        }
        let inner = object.getattr_opt(intern!(py, "_sslobj"))?;
        Ok(inner.unwrap_or_else(|| object.clone()))
    }
}

/// What a call of `ssl` gave.
pub enum Answer<T> {
    /// What it returned.
    Done(T),
    /// It needs more from the peer.
    Again,
}

/// Takes "not now" out of what a call of `ssl` raised: asyncio's `SSLAgainErrors`.
///
/// # Errors
/// Everything else.
pub fn answer<'py>(
    py: Python<'py>,
    outcome: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Answer<Bound<'py, PyAny>>> {
    match outcome {
        Ok(value) => Ok(Answer::Done(value)),
        Err(error) => {
            let objects = objects(py)?;
            let again = error.is_instance(py, objects.want_read.bind(py))
                || error.is_instance(py, objects.syscall.bind(py));
            match again {
                true => Ok(Answer::Again),
                false => Err(error),
            }
        }
    }
}

/// Whether `error` ends a program, and is nobody's to handle.
pub fn is_interrupt(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py)
}

/// What asyncio's `sslproto` logs through: asked each time, as tests and programs replace it.
pub fn logger(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import(intern!(py, "asyncio.sslproto"))?
        .getattr(intern!(py, "logger"))
}
