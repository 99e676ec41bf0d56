//! The handshake: from `connection_made` of the transport below to `connection_made` of the program's protocol.

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;

use super::lower::Lower;
use super::objects::{Answer, answer, logger, objects};
use super::protocol::{Phase, TlsProtocol, Told};
use crate::unwind;

impl TlsProtocol {
    /// There is a transport below: the handshake starts.
    ///
    /// # Errors
    /// What `ssl` raises that is not an SSLError; what the program's `connection_made` raises.
    pub(super) fn begin(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let lower = Lower::new(transport);
        let context = lower.context(py);
        let before = this.with(py, |state| {
            (
                state.lower.replace(lower),
                std::mem::replace(&mut state.context, context),
            )
        });
        drop(before);
        let event_loop = this.event_loop(py)?;
        let began = match event_loop.get().debug(py) {
            true => {
                let text = "%r starts SSL handshake";
                logger(py)?.call_method1(intern!(py, "debug"), (text, slf))?;
                Some(event_loop.call_method0(intern!(py, "time"))?.extract()?)
            }
            false => None,
        };
        this.with(py, |state| {
            state.handshake_began = began;
            state.phase = Phase::Handshake;
        });
        let timeout = this.part(py, |state| &state.handshake_timeout)?;
        let check = slf.getattr(intern!(py, "_check_handshake_timeout"))?;
        let timer = event_loop.call_method1(intern!(py, "call_later"), (timeout, check))?;
        this.with(py, |state| state.handshake_timer.replace(timer.unbind()));
        Self::shake_hands(slf)
    }

    /// Goes on with the handshake as far as what has arrived allows.
    ///
    /// # Errors
    /// As `begin`.
    pub(super) fn shake_hands(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let ssl_object = slf.get().part(py, |state| &state.ssl_object)?;
        let outcome = unwind::call_method(&ssl_object, intern!(py, "do_handshake"), []);
        match answer(py, outcome) {
            Ok(Answer::Again) => Self::process_outgoing(slf),
            Ok(Answer::Done(_)) => Self::handshake_done(slf),
            Err(error) if error.is_instance(py, objects(py)?.ssl_error.bind(py)) => {
                Self::handshake_failed(slf, error)
            }
            Err(error) => Err(error),
        }
    }

    /// Both sides agree.
    fn handshake_done(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.cancel_timer(py, |state| &mut state.handshake_timer)?;
        let (ssl_object, extra) = (
            this.part(py, |state| &state.ssl_object)?,
            this.part(py, |state| &state.extra)?,
        );
        // A callback of `ssl` may have ended the connection.
        if !this.with(py, |state| {
            let shaking = state.phase == Phase::Handshake;
            if shaking {
                state.phase = Phase::Wrapped;
            }
            shaking
        }) {
            return Ok(());
        }
        if let Some(began) = this.with(py, |state| state.handshake_began) {
            let now: f64 = this
                .event_loop(py)?
                .call_method0(intern!(py, "time"))?
                .extract()?;
            let text = "%r: SSL handshake took %.1f ms";
            logger(py)?.call_method1(intern!(py, "debug"), (text, slf, (now - began) * 1e3))?;
        }
        extra.set_item(intern!(py, "ssl_object"), ssl_object)?;
        let tell = this.with(py, |state| {
            let tell = state.told == Told::Nothing;
            if tell {
                state.told = Told::Made;
            }
            tell
        });
        if tell && let Some(protocol) = this.app_protocol(py) {
            let transport = Self::app_transport(slf)?;
            unwind::call_method(
                &protocol,
                intern!(py, "connection_made"),
                [transport.as_any()],
            )?;
        }
        this.wake_waiter(py, None)?;
        Self::read_app_data(slf)?;
        // asyncio's own words to the peer wait until the program reads; the peer may wait for them.
        Self::process_outgoing(slf)
    }

    /// There is no agreement: `error` says why.
    pub(super) fn handshake_failed(slf: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.cancel_timer(py, |state| &mut state.handshake_timer)?;
        if !error.is_instance_of::<PyException>(py) {
            return Err(error);
        }
        this.with(py, |state| state.phase = Phase::Unwrapped);
        let certificate = error.is_instance(py, objects(py)?.certificate_error.bind(py));
        let message = match certificate {
            true => "SSL handshake failed on verifying the certificate",
            false => "SSL handshake failed",
        };
        let exception = error.into_value(py).into_bound(py).into_any();
        Self::fail(slf, Some(&exception), message)?;
        this.wake_waiter(py, Some(&exception))
    }

    /// Tells who waits for the handshake.
    pub(super) fn wake_waiter(
        &self,
        py: Python<'_>,
        exception: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let Some(waiter) = self.with(py, |state| state.waiter.take()) else {
            return Ok(());
        };
        let waiter = waiter.bind(py);
        if waiter.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
            return Ok(());
        }
        match exception {
            Some(exception) => waiter.call_method1(intern!(py, "set_exception"), (exception,)),
            None => waiter.call_method1(intern!(py, "set_result"), (py.None(),)),
        }
        .map(drop)
    }
}
