//! `StreamReaderProtocol`: `asyncio.streams.StreamReaderProtocol`.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyDict, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};

use super::reader::StreamReader;
use crate::cell::GilCell;

/// The native half of `riata.StreamReaderProtocol`. asyncio's `__init__` sets its attributes.
#[pyclass(
    frozen,
    subclass,
    weakref,
    name = "StreamReaderProtocol",
    module = "riata._native"
)]
pub struct StreamReaderProtocol {
    /// A weak reference to the reader.
    reader: GilCell<Option<Py<PyAny>>>,
    /// A Python subclass has a `_drain_helper` of its own.
    pub overrides_drain: bool,
}

impl StreamReaderProtocol {
    fn reader<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(reference) = self.reader.cloned(py) else {
            return Ok(None);
        };
        let reader = reference.bind(py).call0()?;
        Ok((!reader.is_none()).then_some(reader))
    }
}

#[pymethods]
impl StreamReaderProtocol {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_options))]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let py = class.py();
        let asyncios = crate::imports::imports(py)?.flow_control_mixin.bind(py);
        let name = intern!(py, "_drain_helper");
        Ok(Self {
            reader: GilCell::new(None),
            overrides_drain: !class.getattr(name)?.is(asyncios.getattr(name)?),
        })
    }

    /// Hand data that have arrived to the reader, if there still is one.
    fn data_received(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = data.py();
        let Some(reader) = self.reader(py)? else {
            return Ok(());
        };
        match reader.cast::<StreamReader>() {
            Ok(native) if !native.get().overrides_feed => StreamReader::feed(native, data),
            _ => reader
                .call_method1(intern!(py, "feed_data"), (data,))
                .map(drop),
        }
    }

    #[getter]
    fn _stream_reader_wr(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.reader.cloned(py)
    }

    #[setter(_stream_reader_wr)]
    fn set_stream_reader_wr(&self, py: Python<'_>, reference: Option<Py<PyAny>>) {
        self.reader.set(py, reference);
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: called by the collector.
        visit.call(unsafe { self.reader.traverse() })
    }

    fn __clear__(&self) {
        Python::attach(|py| self.reader.set(py, None));
    }
}
