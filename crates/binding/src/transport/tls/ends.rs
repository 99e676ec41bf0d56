//! Ends: by an error, by `abort`, by the transport below. The program's protocol is told once, in a later step.

use pyo3::exceptions::{PyConnectionAbortedError, PyConnectionResetError, PyException, PyOSError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::objects::logger;
use super::protocol::{Phase, TlsProtocol, Told};
use crate::imports::{call_exception_handler, imports};
use crate::unwind;

impl TlsProtocol {
    /// Ends the connection for `exception`. An `OSError` is the network's doing and only debug mode tells of it; anything
    /// else goes to the exception handler: asyncio's `_fatal_error`.
    ///
    /// # Errors
    /// What the transport below raises.
    pub(super) fn fail(
        slf: &Bound<'_, Self>,
        exception: Option<&Bound<'_, PyAny>>,
        message: &str,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        Self::encrypt_last(slf);
        let lower = this.lower(py);
        if let Some(lower) = &lower {
            lower.force_close(py, exception.map(|exception| exception.clone().unbind()))?;
        }
        let event_loop = this.event_loop(py)?;
        if exception.is_some_and(|exception| exception.is_instance_of::<PyOSError>()) {
            if event_loop.get().debug(py) {
                let options = PyDict::new(py);
                options.set_item(intern!(py, "exc_info"), exception)?;
                let arguments = ("%r: %s", slf, message);
                logger(py)?.call_method(intern!(py, "debug"), arguments, Some(&options))?;
            }
            return Ok(());
        }
        let cancelled = imports(py)?.cancelled_error.bind(py);
        if let Some(exception) = exception
            && exception.is_instance(cancelled)?
        {
            return Ok(());
        }
        let report = PyDict::new(py);
        report.set_item(intern!(py, "message"), message)?;
        report.set_item(intern!(py, "exception"), exception)?;
        let transport = lower.map(|lower| lower.object(py));
        report.set_item(intern!(py, "transport"), transport)?;
        report.set_item(intern!(py, "protocol"), slf)?;
        call_exception_handler(event_loop.as_any(), &report)
    }

    /// Ends the connection at once: what the kernel has not taken is forgotten.
    ///
    /// # Errors
    /// What the transport below raises.
    pub(super) fn abort(slf: &Bound<'_, Self>, exception: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        Self::encrypt_last(slf);
        this.with(py, |state| state.phase = Phase::Unwrapped);
        match this.lower(py) {
            Some(lower) => lower.abort(py, exception),
            None => Ok(()),
        }
    }

    /// The handshake took too long.
    ///
    /// # Errors
    /// What the transport below raises.
    pub(super) fn check_handshake_timeout(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.with(py, |state| state.phase != Phase::Handshake) {
            return Ok(());
        }
        let timeout = this.part(py, |state| &state.handshake_timeout)?;
        let text = format!(
            "SSL handshake is taking longer than {} seconds: aborting the connection",
            timeout.str()?.to_string_lossy()
        );
        let error = PyConnectionAbortedError::new_err(text).into_value(py);
        let exception = error.into_bound(py).into_any();
        Self::fail(slf, Some(&exception), "Fatal error on transport")
    }

    /// The transport below has read an end of stream. Whether it is to stay open for now: the program has paused, and
    /// what has arrived waits for it.
    ///
    /// # Errors
    /// What the program's protocol raises that is no Exception; what the shutdown raises.
    pub(super) fn lower_ended(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        this.with(py, |state| state.eof_received = true);
        let outcome = Self::handle_end(slf);
        if let Err(error) = &outcome
            && error.is_instance_of::<PyException>(py)
            && let Some(lower) = this.lower(py)
        {
            lower.object(py).call_method0(intern!(py, "close"))?;
        }
        outcome
    }

    fn handle_end(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        if this.event_loop(py)?.get().debug(py) {
            logger(py)?.call_method1(intern!(py, "debug"), ("%r received EOF", slf))?;
        }
        let (phase, paused) = this.with(py, |state| {
            let before = state.phase;
            if before == Phase::Wrapped {
                state.phase = Phase::Flushing;
            }
            (before, state.app_reading_paused)
        });
        match phase {
            Phase::Unwrapped => {}
            Phase::Handshake => {
                Self::handshake_failed(slf, PyConnectionResetError::new_err(()))?;
            }
            Phase::Wrapped if paused => return Ok(true),
            Phase::Wrapped => Self::flush(slf)?,
            Phase::Flushing => {
                Self::encrypt_everything(slf)?;
                this.with(py, |state| state.phase = Phase::Shutdown);
                Self::shut_down(slf)?;
            }
            Phase::Shutdown => Self::shut_down(slf)?,
        }
        Ok(false)
    }

    /// Whether the transport below is lost.
    pub(super) fn is_lost(&self, py: Python<'_>) -> bool {
        self.with(py, |state| state.lower.is_none() && state.lost_count > 0)
    }

    /// The transport below is lost.
    ///
    /// # Errors
    /// RuntimeError when the loop is closed.
    pub(super) fn lower_lost(
        slf: &Bound<'_, Self>,
        exception: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let outgoing = this.part(py, |state| &state.outgoing)?;
        unwind::call_method(&outgoing, intern!(py, "read"), [])?;
        let (forgotten, transport, protocol, tell) = this.with(py, |state| {
            state.lost_count += 1;
            let told = matches!(state.told, Told::Made | Told::Eof);
            let tell = state.phase != Phase::Handshake && told;
            if tell {
                state.told = Told::Lost;
            }
            state.phase = Phase::Unwrapped;
            (state.enlisted, state.backlog_size, state.backlog_done) = (false, 0, 0);
            let forgotten = (std::mem::take(&mut state.backlog), state.lower.take());
            let transport = state.app_transport.take();
            (forgotten, transport, state.app_protocol.take(), tell)
        });
        if let Some(transport) = &transport {
            transport.get().end(py);
        }
        let event_loop = this.event_loop(py)?;
        let told = match protocol.as_ref().filter(|_| tell) {
            None => Ok(()),
            Some(protocol) => protocol
                .bind(py)
                .getattr(intern!(py, "connection_lost"))
                .and_then(|lost| {
                    let arguments = (lost, exception);
                    event_loop.call_method1(intern!(py, "call_soon"), arguments)
                })
                .map(drop),
        };
        drop((forgotten, transport, protocol));
        this.wake_waiter(py, exception)?;
        this.cancel_timer(py, |state| &mut state.shutdown_timer)?;
        this.cancel_timer(py, |state| &mut state.handshake_timer)?;
        told
    }
}
