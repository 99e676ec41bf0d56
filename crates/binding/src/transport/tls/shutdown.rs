//! Closing: what waits is sent, then `close_notify` goes both ways, then the transport below is closed.

use pyo3::intern;
use pyo3::prelude::*;

use super::objects::{Answer, answer, objects};
use super::protocol::{Phase, State, TlsProtocol};
use crate::imports::imports;
use crate::unwind;
use crate::version::version;

impl TlsProtocol {
    /// The program closes, or the peer has: a handshake is broken off, data is still sent.
    ///
    /// # Errors
    /// What the transport below raises, and the program's protocol that is no Exception.
    pub(super) fn start_shutdown(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let (phase, transport) = this.with(py, |state| {
            let transport = state.app_transport.as_ref();
            (
                state.phase,
                transport.map(|transport| transport.clone_ref(py)),
            )
        });
        if !matches!(phase, Phase::Handshake | Phase::Wrapped) {
            return Ok(());
        }
        if let Some(transport) = transport {
            transport.get().mark_closed(py);
        }
        if phase == Phase::Handshake {
            return Self::abort(slf, None);
        }
        this.with(py, |state| state.phase = Phase::Flushing);
        Self::start_shutdown_timer(slf)?;
        Self::flush(slf)
    }

    fn start_shutdown_timer(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let timeout = this.part(py, |state| &state.shutdown_timeout)?;
        let check = slf.getattr(intern!(py, "_check_shutdown_timeout"))?;
        let timer = this
            .event_loop(py)?
            .call_method1(intern!(py, "call_later"), (timeout, check))?;
        let before = this.with(py, |state| state.shutdown_timer.replace(timer.unbind()));
        drop(before);
        Ok(())
    }

    /// Gives the program what has arrived, sends what waits, and goes on to `close_notify`.
    ///
    /// # Errors
    /// As `start_shutdown`.
    pub(super) fn flush(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        Self::read_app_data(slf)?;
        // Reading may have ended the connection, or come here already.
        let goes_on = slf.get().with(py, |state| {
            state.enlisted = false;
            state.phase == Phase::Flushing
        });
        if !goes_on {
            return Ok(());
        }
        Self::encrypt_everything(slf)?;
        slf.get().with(py, |state| {
            if state.phase == Phase::Flushing {
                state.phase = Phase::Shutdown;
            }
        });
        Self::shut_down(slf)
    }

    /// Goes on with `close_notify` as far as what has arrived allows.
    ///
    /// # Errors
    /// As `start_shutdown`.
    pub(super) fn shut_down(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let (phase, ended) = this.with(py, |state| (state.phase, state.eof_received));
        if phase != Phase::Shutdown {
            return Ok(());
        }
        if !ended {
            let ssl_object = this.part(py, |state| &state.ssl_object)?;
            let outcome = unwind::call_method(&ssl_object, intern!(py, "unwrap"), []);
            match answer(py, outcome) {
                Ok(Answer::Again) => return Self::process_outgoing(slf),
                Ok(Answer::Done(_)) => {}
                Err(error) if error.is_instance(py, objects(py)?.ssl_error.bind(py)) => {
                    return Self::shutdown_failed(slf, error);
                }
                Err(error) => return Err(error),
            }
        }
        Self::process_outgoing(slf)?;
        Self::tell_eof(slf)?;
        Self::shutdown_done(slf)
    }

    fn shutdown_failed(slf: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        let py = slf.py();
        slf.get()
            .cancel_timer(py, |state| &mut state.shutdown_timer)?;
        let exception = error.into_value(py).into_bound(py).into_any();
        Self::fail(slf, Some(&exception), "Fatal error on transport")
    }

    /// Both sides have said so: the transport below is closed in a later step.
    fn shutdown_done(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        match version(py)?.tls_shutdown_timeout_covers_close {
            false => this.cancel_timer(py, |state| &mut state.shutdown_timer)?,
            // A peer that does not read can delay the close below for ever.
            true if this.with(py, |state| state.shutdown_timer.is_none()) => {
                Self::start_shutdown_timer(slf)?;
            }
            true => {}
        }
        let Some(lower) = this.lower(py) else {
            return Ok(());
        };
        let close = lower.object(py).getattr(intern!(py, "close"))?;
        this.event_loop(py)?
            .call_method1(intern!(py, "call_soon"), (close,))
            .map(drop)
    }

    /// The peer took too long to say so.
    ///
    /// # Errors
    /// What the transport below raises.
    pub(super) fn check_shutdown_timeout(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let waits = this.with(py, |state| {
            matches!(state.phase, Phase::Flushing | Phase::Shutdown)
        });
        let Some(lower) = this.lower(py).filter(|_| waits) else {
            return Ok(());
        };
        let class = imports(py)?.timeout_error.bind(py);
        let exception = class.call1(("SSL shutdown timed out",))?;
        lower.force_close(py, Some(exception.unbind()))
    }

    /// Stops a timer, if it runs.
    pub(super) fn cancel_timer(
        &self,
        py: Python<'_>,
        place: impl FnOnce(&mut State) -> &mut Option<Py<PyAny>>,
    ) -> PyResult<()> {
        match self.with(py, |state| place(state).take()) {
            Some(timer) => timer.call_method0(py, intern!(py, "cancel")).map(drop),
            None => Ok(()),
        }
    }
}
