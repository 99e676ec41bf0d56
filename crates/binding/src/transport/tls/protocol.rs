//! The object between two transports: what it holds.

use std::collections::VecDeque;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict};
use pyo3::{PyTraverseError, PyVisit};
use riata_engine::stream::TlsRecords;

use super::app::TlsTransport;
use super::flow::Marks;
use super::lower::Lower;
use super::objects::objects;
use crate::cell::GilCell;
use crate::event_loop::EventLoop;
use crate::transport::stream::{Reception, reception_of};

/// How far the connection has come: asyncio's `SSLProtocolState`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Before, or over.
    Unwrapped,
    /// Shaking hands.
    Handshake,
    /// Data goes both ways.
    Wrapped,
    /// Closing: what waits is sent first.
    Flushing,
    /// Closing: `close_notify` goes both ways.
    Shutdown,
}

/// What the program's protocol was told: asyncio's `AppProtocolState`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Nothing.
    Nothing,
    /// `connection_made`
    Made,
    /// `eof_received`
    Eof,
    /// `connection_lost`
    Lost,
}

/// Everything that changes in a connection's life.
pub struct State {
    pub event_loop: Option<Py<EventLoop>>,
    /// None once lost.
    pub app_protocol: Option<Py<PyAny>>,
    /// How it takes bytes.
    pub reception: Reception,
    /// None once lost: the transport that the program has holds this object.
    pub app_transport: Option<Py<TlsTransport>>,
    /// The transport below; None before `connection_made` and once lost.
    pub lower: Option<Lower>,
    /// The context in which events are told, if the transport below is ours.
    pub context: Option<Py<PyAny>>,
    /// Who waits for the handshake.
    pub waiter: Option<Py<PyAny>>,
    /// What `get_extra_info` knows; what costs something is added when it is asked for.
    pub extra: Option<Py<PyDict>>,
    pub ssl_context: Option<Py<PyAny>>,
    /// The `SSLObject`.
    pub ssl_object: Option<Py<PyAny>>,
    /// Where bytes are read and written: what the `SSLObject` holds, or itself.
    pub io: Option<Py<PyAny>>,
    /// From the peer: a `MemoryBIO`.
    pub incoming: Option<Py<PyAny>>,
    /// To the peer: a `MemoryBIO`.
    pub outgoing: Option<Py<PyAny>>,
    /// What a transport that is not ours is lent to fill.
    pub lent: Option<Py<PyByteArray>>,
    pub server_side: bool,
    pub server_hostname: Option<Py<PyAny>>,
    /// In seconds, as the program gave them.
    pub handshake_timeout: Option<Py<PyAny>>,
    pub shutdown_timeout: Option<Py<PyAny>>,
    pub handshake_timer: Option<Py<PyAny>>,
    pub shutdown_timer: Option<Py<PyAny>>,
    /// When the handshake began, by the loop's clock; in debug mode.
    pub handshake_began: Option<f64>,
    pub phase: Phase,
    pub told: Told,
    /// asyncio's `_conn_lost`: nought, or one and the writes that came afterwards.
    pub lost_count: u32,
    /// The transport below has read an end of stream.
    pub eof_received: bool,
    /// By the program.
    pub app_reading_paused: bool,
    /// By the transport below: it has enough.
    pub lower_writing_paused: bool,
    /// What the peer has sent and nobody has read yet.
    pub reads: Marks,
    /// What the program has written and the transport below does not have yet.
    pub writes: Marks,
    /// Where what has arrived ends.
    pub records: TlsRecords,
    /// `ssl` holds the rest of a record for which there was no room.
    pub leftover: bool,
    /// What is to be encrypted.
    pub backlog: VecDeque<Py<PyBytes>>,
    /// How much of the first of these was encrypted already.
    pub backlog_done: usize,
    /// How much is to be encrypted in all.
    pub backlog_size: usize,
    /// On the loop's list of those with something to encrypt at the turn's end.
    pub enlisted: bool,
    /// Encrypting goes on further down the stack.
    pub encrypting: bool,
}

impl State {
    /// Whether data may still come from the peer.
    pub fn reads_data(&self) -> bool {
        matches!(self.phase, Phase::Wrapped | Phase::Flushing)
    }
}

/// TLS between a transport and a protocol: asyncio's `SSLProtocol`.
#[pyclass(frozen, weakref, dict, name = "TlsProtocol", module = "riata._native")]
pub struct TlsProtocol {
    pub(super) state: GilCell<State>,
}

/// A number of seconds, or asyncio's own if there is none.
fn timeout<'py>(
    given: Option<Bound<'py, PyAny>>,
    name: &str,
    default: &str,
    py: Python<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(given) = given.filter(|given| !given.is_none()) else {
        return objects(py)?.constants.bind(py).getattr(default);
    };
    match given.le(0)? {
        true => Err(PyValueError::new_err(format!(
            "{name} should be a positive number, got {}",
            given.str()?.to_string_lossy()
        ))),
        false => Ok(given),
    }
}

/// A watermark of `asyncio.constants`, which counts in KiB.
pub(super) fn kibibytes(py: Python<'_>, name: &str) -> PyResult<i64> {
    let kibibytes: i64 = objects(py)?.constants.bind(py).getattr(name)?.extract()?;
    Ok(kibibytes.saturating_mul(1024))
}

impl TlsProtocol {
    /// Opens the state for a moment: see `GilCell::with`.
    #[inline(always)]
    pub(super) fn with<R>(&self, py: Python<'_>, f: impl FnOnce(&mut State) -> R) -> R {
        self.state.with(py, f)
    }

    /// What is in a place of the state.
    ///
    /// # Errors
    /// RuntimeError when nothing is, which the collector alone brings about.
    pub(super) fn part<'py, T>(
        &self,
        py: Python<'py>,
        place: impl FnOnce(&State) -> &Option<Py<T>>,
    ) -> PyResult<Bound<'py, T>> {
        self.with(py, |state| {
            place(state).as_ref().map(|part| part.bind(py).clone())
        })
        .ok_or_else(|| PyRuntimeError::new_err("the connection was collected"))
    }

    /// The loop.
    ///
    /// # Errors
    /// As `part`.
    pub(super) fn event_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, EventLoop>> {
        self.part(py, |state| &state.event_loop)
    }

    /// The program's protocol, until the connection is lost.
    pub(super) fn app_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.with(py, |state| {
            let protocol = state.app_protocol.as_ref()?;
            Some(protocol.bind(py).clone())
        })
    }

    /// The transport below, while there is one.
    pub(super) fn lower(&self, py: Python<'_>) -> Option<Lower> {
        self.with(py, |state| {
            state.lower.as_ref().map(|lower| lower.clone_ref(py))
        })
    }

    /// The context in which events are told.
    pub(super) fn context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.with(py, |state| {
            state.context.as_ref().map(|context| context.clone_ref(py))
        })
    }

    /// Sets the protocol that gets what arrives from now on.
    pub(super) fn set_app_protocol(&self, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        let reception = reception_of(protocol)?;
        let before = self.with(protocol.py(), |state| {
            state.reception = reception;
            state.app_protocol.replace(protocol.clone().unbind())
        });
        drop(before);
        Ok(())
    }

    /// Takes `object` for the `SSLObject`.
    pub(super) fn set_ssl_object(&self, object: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = object.py();
        let io = objects(py)?.io_of(object)?.unbind();
        let before = self.with(py, |state| {
            let io = state.io.replace(io);
            (state.ssl_object.replace(object.clone().unbind()), io)
        });
        drop(before);
        Ok(())
    }

    /// Shows the collector what is inside.
    #[allow(unsafe_code)]
    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: called by the collector.
        let state = unsafe { self.state.traverse() };
        if let Some(lower) = &state.lower {
            lower.traverse(visit)?;
        }
        visit.call(&state.event_loop)?;
        visit.call(&state.app_transport)?;
        visit.call(&state.extra)?;
        for part in [
            &state.app_protocol,
            &state.context,
            &state.waiter,
            &state.ssl_context,
            &state.ssl_object,
            &state.io,
            &state.incoming,
            &state.outgoing,
            &state.server_hostname,
            &state.handshake_timeout,
            &state.shutdown_timeout,
            &state.handshake_timer,
            &state.shutdown_timer,
        ] {
            visit.call(part)?;
        }
        Ok(())
    }

    /// Breaks the cycles it is in.
    pub(super) fn clear(&self, py: Python<'_>) {
        let cleared = self.with(py, |state| {
            (
                (state.event_loop.take(), state.app_transport.take()),
                (state.lower.take(), state.extra.take()),
                [
                    state.app_protocol.take(),
                    state.context.take(),
                    state.waiter.take(),
                    state.ssl_context.take(),
                    state.ssl_object.take(),
                    state.io.take(),
                    state.incoming.take(),
                    state.outgoing.take(),
                    state.server_hostname.take(),
                    state.handshake_timer.take(),
                    state.shutdown_timer.take(),
                ],
                std::mem::take(&mut state.backlog),
            )
        });
        drop(cleared);
    }
}

/// What a connection is made of.
pub(super) struct Origin<'py> {
    pub event_loop: Bound<'py, EventLoop>,
    pub app_protocol: Bound<'py, PyAny>,
    pub ssl_context: Option<Bound<'py, PyAny>>,
    pub waiter: Option<Bound<'py, PyAny>>,
    pub server_side: bool,
    pub server_hostname: Option<Bound<'py, PyAny>>,
    pub call_connection_made: bool,
    pub handshake_timeout: Option<Bound<'py, PyAny>>,
    pub shutdown_timeout: Option<Bound<'py, PyAny>>,
}

impl State {
    /// The state before anything has happened: everything is checked and made in asyncio's order.
    pub(super) fn new(origin: Origin<'_>) -> PyResult<Self> {
        let py = origin.event_loop.py();
        let objects = objects(py)?;
        let handshake_timeout = timeout(
            origin.handshake_timeout,
            "ssl_handshake_timeout",
            "SSL_HANDSHAKE_TIMEOUT",
            py,
        )?;
        let shutdown_timeout = timeout(
            origin.shutdown_timeout,
            "ssl_shutdown_timeout",
            "SSL_SHUTDOWN_TIMEOUT",
            py,
        )?;
        let server_side = origin.server_side;
        let ssl_context = match origin.ssl_context {
            Some(context) if context.is_truthy()? => context,
            _ => py.import(intern!(py, "asyncio.sslproto"))?.call_method1(
                intern!(py, "_create_transport_context"),
                (server_side, &origin.server_hostname),
            )?,
        };
        let server_hostname = match origin.server_hostname {
            Some(name) if !server_side && name.is_truthy()? => Some(name),
            _ => None,
        };
        let extra = PyDict::new(py);
        extra.set_item(intern!(py, "sslcontext"), &ssl_context)?;
        let reception = reception_of(&origin.app_protocol)?;
        let (incoming, outgoing) = (
            objects.memory_bio.bind(py).call0()?,
            objects.memory_bio.bind(py).call0()?,
        );
        let options = PyDict::new(py);
        options.set_item(intern!(py, "server_side"), server_side)?;
        options.set_item(intern!(py, "server_hostname"), &server_hostname)?;
        let ssl_object = ssl_context.call_method(
            intern!(py, "wrap_bio"),
            (&incoming, &outgoing),
            Some(&options),
        )?;
        let io = objects.io_of(&ssl_object)?;
        Ok(Self {
            event_loop: Some(origin.event_loop.unbind()),
            app_protocol: Some(origin.app_protocol.unbind()),
            reception,
            app_transport: None,
            lower: None,
            context: None,
            waiter: origin.waiter.map(Bound::unbind),
            extra: Some(extra.unbind()),
            ssl_context: Some(ssl_context.unbind()),
            ssl_object: Some(ssl_object.unbind()),
            io: Some(io.unbind()),
            incoming: Some(incoming.unbind()),
            outgoing: Some(outgoing.unbind()),
            lent: None,
            server_side,
            server_hostname: server_hostname.map(Bound::unbind),
            handshake_timeout: Some(handshake_timeout.unbind()),
            shutdown_timeout: Some(shutdown_timeout.unbind()),
            handshake_timer: None,
            shutdown_timer: None,
            handshake_began: None,
            phase: Phase::Unwrapped,
            told: match origin.call_connection_made {
                true => Told::Nothing,
                false => Told::Made,
            },
            lost_count: 0,
            eof_received: false,
            app_reading_paused: false,
            lower_writing_paused: false,
            reads: Marks::new(kibibytes(py, "FLOW_CONTROL_HIGH_WATER_SSL_READ")?),
            writes: Marks::new(kibibytes(py, "FLOW_CONTROL_HIGH_WATER_SSL_WRITE")?),
            records: TlsRecords::new(),
            leftover: false,
            backlog: VecDeque::new(),
            backlog_done: 0,
            backlog_size: 0,
            enlisted: false,
            encrypting: false,
        })
    }
}
