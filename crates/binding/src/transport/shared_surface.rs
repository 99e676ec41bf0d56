//! The methods and private attributes that pipe and datagram transports have in common, as Python sees them.

/// What every `Endpoint` has.
macro_rules! endpoint_surface {
    ($class:ident) => {
        #[pymethods]
        impl $class {
            /// Return True if the transport is closing or closed.
            #[pyo3(name = "is_closing")]
            fn is_closing_py(&self, py: Python<'_>) -> bool {
                self.is_closing(py)
            }

            /// Get optional transport information: "pipe", or "socket", "sockname", "peername".
            #[pyo3(signature = (name, default = None))]
            fn get_extra_info<'py>(
                &self,
                name: &Bound<'py, PyAny>,
                default: Option<Bound<'py, PyAny>>,
            ) -> PyResult<Option<Bound<'py, PyAny>>> {
                self.extra_info(name, default)
            }

            /// Return the current protocol.
            fn get_protocol(&self, py: Python<'_>) -> Option<Py<PyAny>> {
                self.protocol(py).map(Bound::unbind)
            }

            /// Set a new protocol: it gets what arrives from now on.
            fn set_protocol(&self, protocol: &Bound<'_, PyAny>) {
                self.replace_protocol(protocol);
            }

            #[getter]
            fn _extra(&self, py: Python<'_>) -> Option<Py<pyo3::types::PyDict>> {
                self.core(py, |core| {
                    core.extra.as_ref().map(|extra| extra.clone_ref(py))
                })
            }

            #[getter]
            fn _loop(&self, py: Python<'_>) -> Option<Py<crate::event_loop::EventLoop>> {
                self.event_loop(py).map(Bound::unbind)
            }

            #[getter]
            fn _protocol(&self, py: Python<'_>) -> Option<Py<PyAny>> {
                self.protocol(py).map(Bound::unbind)
            }

            #[getter]
            fn _closing(&self, py: Python<'_>) -> bool {
                self.is_closing(py)
            }

            /// Begin to watch: connection_made was called.
            fn _start(slf: &Bound<'_, Self>) -> PyResult<()> {
                Self::start(slf)
            }

            /// Draw the consequences of what a poll reported, as epoll's event bits.
            fn _ready(slf: &Bound<'_, Self>, events: u32) -> PyResult<()> {
                Self::respond(slf, riata_engine::driver::Readiness::from_bits(events))
            }

            /// Call connection_lost(exc), and close the descriptor.
            #[pyo3(signature = (exc))]
            fn _call_connection_lost(
                slf: &Bound<'_, Self>,
                exc: Option<Bound<'_, PyAny>>,
            ) -> PyResult<()> {
                Self::lost(slf, exc)
            }
        }
    };
}

/// What both ends of a pipe have.
macro_rules! pipe_surface {
    ($class:ident) => {
        $crate::transport::shared_surface::endpoint_surface!($class);

        #[pymethods]
        impl $class {
            #[getter]
            fn _pipe(&self, py: Python<'_>) -> Option<Py<PyAny>> {
                self.core(py, |core| {
                    core.owner.as_ref().map(|pipe| pipe.clone_ref(py))
                })
            }

            /// None disowns the pipe: it is closed elsewhere.
            #[setter(_pipe)]
            fn set_pipe(&self, py: Python<'_>, pipe: Option<Py<PyAny>>) {
                let before = self.core(py, |core| std::mem::replace(&mut core.owner, pipe));
                drop(before);
            }

            #[getter]
            fn _fileno(&self, py: Python<'_>) -> i32 {
                self.core(py, |core| core.fd)
            }

            fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
                if $crate::unwritten::is_unwritten(self) {
                    return Ok(());
                }
                // SAFETY: B3: called by the collector.
                unsafe { self.state.traverse() }.core.traverse(&visit)
            }

            fn __clear__(&self) {
                Python::attach(|py| self.clear(py));
            }
        }
    };
}

/// What those have that receive; their state has `paused`.
macro_rules! receiving_surface {
    ($class:ident) => {
        #[pymethods]
        impl $class {
            /// Return True if the transport is receiving.
            fn is_reading(&self, py: Python<'_>) -> bool {
                self.state.with(py, |state| {
                    !state.paused && !state.core.lifecycle.is_closing()
                })
            }

            /// Pause the receiving end: the protocol is told of nothing until resume_reading().
            fn pause_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
                let py = slf.py();
                if !slf.get().is_reading(py) {
                    return Ok(());
                }
                slf.get().state.with(py, |state| state.paused = true);
                Self::hold(slf);
                log(slf, intern!(py, "debug"), "%r pauses reading")
            }

            #[getter]
            fn _paused(&self, py: Python<'_>) -> bool {
                self.state.with(py, |state| state.paused)
            }
        }
    };
}

/// What those have that write; their state has `watermarks`.
macro_rules! sending_surface {
    ($class:ident) => {
        #[pymethods]
        impl $class {
            /// Close the transport at once: what the kernel has not taken is lost.
            fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
                Self::abandon(slf, None)
            }

            /// Set the high- and low-water limits for write flow control, in bytes; high >= low >= 0.
            ///
            /// Raises ValueError for others.
            #[pyo3(signature = (high = None, low = None))]
            fn set_write_buffer_limits(
                slf: &Bound<'_, Self>,
                high: Option<&Bound<'_, PyAny>>,
                low: Option<&Bound<'_, PyAny>>,
            ) -> PyResult<()> {
                let (high, low) = (high.map(limit).transpose()?, low.map(limit).transpose()?);
                slf.get()
                    .state
                    .with(slf.py(), |state| state.watermarks.set(high, low))
                    .map_err(|error| pyo3::exceptions::PyValueError::new_err(error.to_string()))?;
                Self::pause_if_full(slf)
            }

            /// Return the (low, high) watermarks, in bytes.
            fn get_write_buffer_limits(&self, py: Python<'_>) -> (i64, i64) {
                self.state.with(py, |state| state.watermarks.limits())
            }

            #[getter]
            fn _protocol_paused(&self, py: Python<'_>) -> bool {
                self.state.with(py, |state| state.watermarks.is_paused())
            }
        }
    };
}

pub(super) use {endpoint_surface, pipe_surface, receiving_surface, sending_surface};
