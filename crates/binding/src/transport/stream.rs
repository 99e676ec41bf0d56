//! The transport object: what it holds.
//!
//! The loop holds a reference to a transport that waits for anything, as asyncio's selector does; one that waits for
//! nothing (paused) is its owners' alone, and is collected when they are.

use std::os::fd::RawFd;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit};
use riata_engine::driver::{Interest, Readiness, WatchKey};
use riata_engine::error::Error;
use riata_engine::net::SocketAddr;
use riata_engine::stream::{Lifecycle, Watermarks, WriteBuffer};

use super::memory::Chunk;
use super::socket::{self, Socket};
use super::tls::TlsProtocol;
use crate::cell::GilCell;
use crate::event_loop::EventLoop;
use crate::event_loop::work::{Call, LoopRef, Work};
use crate::imports::imports;
use crate::version::version;

/// A step of a transport that goes through the ready queue, as asyncio's `call_soon` of one of its methods.
#[derive(Clone, Copy)]
pub enum Signal {
    /// `connection_made`, then reading starts, then who waits for the connection is told.
    Begin,
    /// `connection_lost`, and the descriptor is closed.
    Lost,
    /// What a poll reported: in debug mode, so that slow protocols are told of.
    Ready(Readiness),
}

impl Signal {
    /// The same as a call, for a loop whose `call_soon` is overridden, and for reports.
    ///
    /// # Errors
    /// MemoryError.
    pub fn into_call(self, transport: &Bound<'_, StreamTransport>) -> PyResult<Call> {
        let py = transport.py();
        let (method, args) = match self {
            Self::Begin => (intern!(py, "_begin"), vec![]),
            Self::Lost => (intern!(py, "_call_connection_lost"), vec![]),
            Self::Ready(readiness) => {
                let events = readiness.bits().into_pyobject(py)?;
                (intern!(py, "_read_ready"), vec![events.into_any().unbind()])
            }
        };
        Ok((transport.getattr(method)?.unbind(), args, None))
    }
}

/// How far reading has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// `connection_made` was not called yet.
    NotStarted,
    /// There may be more.
    Open,
    /// The peer has ended its side.
    Ended,
}

/// How the protocol takes bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reception {
    /// `data_received`.
    Data,
    /// `get_buffer` and `buffer_updated` (`asyncio.BufferedProtocol`).
    Buffered,
    /// It is our own TLS.
    Tls,
}

/// What few transports have, or only for a moment.
#[derive(Default)]
pub struct Rare {
    /// Who waits for the connection to be made.
    pub waiter: Option<Py<PyAny>>,
    /// Who waits for everything to be written: `sendfile`, which has the descriptor to itself meanwhile.
    pub empty_waiter: Option<Py<PyAny>>,
    /// What `connection_lost` is to be called with, and the context to call it in.
    pub lost_exception: Option<Py<PyAny>>,
    /// See above.
    pub lost_context: Option<Py<PyAny>>,
    /// The context of the write that the protocol was told to pause at: it is told to resume in the same.
    pub writer_context: Option<Py<PyAny>>,
}

/// Everything that changes in a transport's life.
pub struct State {
    /// None once lost.
    pub event_loop: Option<Py<EventLoop>>,
    /// None once lost.
    pub protocol: Option<Py<PyAny>>,
    /// The context in which events are told.
    pub context: Option<Py<PyAny>>,
    /// The server it counts for.
    pub server: Option<Py<PyAny>>,
    /// What `get_extra_info` knows; made when it is needed.
    pub extra: Option<Py<PyDict>>,
    pub socket: Socket,
    /// The descriptor's number, kept when it is closed: `repr` shows it.
    pub fd: RawFd,
    pub key: Option<WatchKey>,
    pub local: SocketAddr,
    pub peer: SocketAddr,
    pub buffer: WriteBuffer<Chunk>,
    pub lifecycle: Lifecycle,
    pub watermarks: Watermarks,
    pub reception: Reception,
    pub reading: Reading,
    /// By `pause_reading`.
    pub paused: bool,
    /// The last read gave much: the next goes into an object of its own, not through the loop's memory.
    pub receives_much: bool,
    /// On the loop's list of those with something to write.
    pub enlisted: bool,
    /// Bytes wait that were never offered to the kernel.
    pub unsent: bool,
    /// The kernel had no room: waiting for some.
    pub wants_room: bool,
    /// asyncio's `_conn_lost`: nought, or one and the writes that came afterwards.
    pub lost_count: u32,
    pub rare: Option<Box<Rare>>,
}

impl State {
    /// Whether bytes are taken from the socket when there are any.
    pub fn reads(&self) -> bool {
        self.reading == Reading::Open && !self.paused && !self.lifecycle.is_closing()
    }

    /// What the transport wants to be told.
    pub fn wanted(&self) -> Interest {
        let mut wanted = Interest::NONE;
        if self.reads() {
            wanted = wanted | Interest::READABLE;
        }
        if self.wants_room {
            wanted = wanted | Interest::WRITABLE;
        }
        wanted
    }
}

/// What a transport is made of.
pub struct Origin<'py> {
    /// The descriptor's owner.
    pub socket: Socket,
    /// Its number.
    pub fd: RawFd,
    /// Where it is.
    pub local: SocketAddr,
    /// What it is connected to.
    pub peer: SocketAddr,
    /// The context in which events are told.
    pub context: Py<PyAny>,
    /// What `get_extra_info` is to know besides.
    pub extra: Option<Bound<'py, PyDict>>,
    /// The server it counts for.
    pub server: Option<Bound<'py, PyAny>>,
    /// A future to be set once the connection is made.
    pub waiter: Option<Bound<'py, PyAny>>,
}

/// A connected stream socket with its protocol: what `asyncio.Transport` documents.
#[pyclass(
    frozen,
    weakref,
    dict,
    name = "StreamTransport",
    module = "riata._native"
)]
pub struct StreamTransport {
    pub(super) state: GilCell<State>,
}

impl StreamTransport {
    /// Makes a transport and schedules `connection_made`.
    ///
    /// # Errors
    /// RuntimeError when the loop is closed; what `server._attach` raises.
    pub fn create<'py>(
        event_loop: &Bound<'py, EventLoop>,
        protocol: &Bound<'py, PyAny>,
        origin: Origin<'py>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        let reception = reception_of(protocol)?;
        let rare = origin.waiter.map(|waiter| {
            Box::new(Rare {
                waiter: Some(waiter.unbind()),
                ..Rare::default()
            })
        });
        let state = State {
            event_loop: Some(event_loop.clone().unbind()),
            protocol: Some(protocol.clone().unbind()),
            context: Some(origin.context),
            server: None,
            extra: origin.extra.map(Bound::unbind),
            socket: origin.socket,
            fd: origin.fd,
            key: None,
            local: origin.local,
            peer: origin.peer,
            buffer: WriteBuffer::new(),
            lifecycle: Lifecycle::new(),
            watermarks: Watermarks::new(),
            reception,
            reading: Reading::NotStarted,
            paused: false,
            receives_much: false,
            enlisted: false,
            unsent: false,
            wants_room: false,
            lost_count: 0,
            rare,
        };
        let transport = Bound::new(
            py,
            Self {
                state: GilCell::new(state),
            },
        )?;
        let begun = Self::attach(&transport, origin.server)
            .and_then(|()| Self::schedule(&transport, event_loop, Signal::Begin));
        match begun {
            Ok(()) => Ok(transport),
            // Nobody has it yet: it ends here, without a warning.
            Err(error) => Self::give_back(&transport).and(Err(error)),
        }
    }

    /// Counts for `server` until it is lost.
    fn attach(slf: &Bound<'_, Self>, server: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let Some(server) = server else {
            return Ok(());
        };
        match version(py)?.server_takes_transport {
            true => server.call_method1(intern!(py, "_attach"), (slf,))?,
            false => server.call_method0(intern!(py, "_attach"))?,
        };
        slf.get()
            .with(py, |state| state.server = Some(server.unbind()));
        Ok(())
    }

    /// Opens the state for a moment: see `GilCell::with`.
    #[inline(always)]
    pub(super) fn with<R>(&self, py: Python<'_>, f: impl FnOnce(&mut State) -> R) -> R {
        self.state.with(py, f)
    }

    /// The loop, until the connection is lost.
    #[inline]
    pub(super) fn event_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, EventLoop>> {
        self.with(py, |state| {
            state
                .event_loop
                .as_ref()
                .map(|event_loop| event_loop.bind(py).clone())
        })
    }

    /// The protocol, until the connection is lost.
    #[inline]
    pub(super) fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.with(py, |state| {
            state
                .protocol
                .as_ref()
                .map(|protocol| protocol.bind(py).clone())
        })
    }

    /// The context in which events are told, until the connection is lost.
    pub(super) fn context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.with(py, |state| {
            state.context.as_ref().map(|context| context.clone_ref(py))
        })
    }

    /// The TLS connection that it carries, if it carries one of ours.
    pub(super) fn tls<'py>(&self, py: Python<'py>) -> Option<Bound<'py, TlsProtocol>> {
        match self.with(py, |state| state.reception) {
            Reception::Tls => self.protocol(py)?.cast_into().ok(),
            Reception::Data | Reception::Buffered => None,
        }
    }

    /// Whether `add_reader` and its like must leave the descriptor alone.
    pub fn occupies_descriptor(&self, py: Python<'_>) -> bool {
        self.with(py, |state| {
            let lent = state
                .rare
                .as_ref()
                .is_some_and(|rare| rare.empty_waiter.is_some());
            !lent && !state.lifecycle.is_closing()
        })
    }

    /// The descriptor's number, if it is still the transport's own, for one system call.
    ///
    /// # Errors
    /// EBADF when it was closed, by whomever.
    #[inline]
    pub(super) fn live_fd(&self, py: Python<'_>) -> Result<RawFd, Error> {
        let (fd, owner) = self.with(py, |state| match &state.socket {
            Socket::Raw(_) => (Some(state.fd), None),
            Socket::Python(socket) => (Some(state.fd), Some(socket.clone_ref(py))),
            Socket::Closed => (None, None),
        });
        let Some(fd) = fd else {
            return Err(Error {
                call: "fileno",
                errno: libc::EBADF,
            });
        };
        match owner {
            Some(owner) => socket::check_owner(owner.bind(py), fd).map(|()| fd),
            None => Ok(fd),
        }
    }

    /// Makes a step ready, by way of `call_soon` where that is overridden.
    ///
    /// # Errors
    /// RuntimeError when the loop is closed.
    pub(super) fn schedule(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        signal: Signal,
    ) -> PyResult<()> {
        let work = Work::Stream(slf.clone().unbind(), signal);
        LoopRef::of(event_loop).push(slf.py(), work)
    }

    /// Runs a step. What a protocol raises comes back, to be reported.
    pub fn run(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        signal: Signal,
    ) -> PyResult<()> {
        match signal {
            Signal::Begin => Self::begin(slf, event_loop),
            Signal::Lost => Self::lost(slf, None),
            Signal::Ready(readiness) => Self::handle_ready(slf, event_loop, readiness),
        }
    }

    /// Shows the collector what is inside.
    #[allow(unsafe_code)]
    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: called by the collector.
        let state = unsafe { self.state.traverse() };
        visit.call(&state.event_loop)?;
        visit.call(&state.protocol)?;
        visit.call(&state.context)?;
        visit.call(&state.server)?;
        visit.call(&state.extra)?;
        if let Socket::Python(socket) = &state.socket {
            visit.call(socket)?;
        }
        if let Some(rare) = &state.rare {
            visit.call(&rare.waiter)?;
            visit.call(&rare.empty_waiter)?;
            visit.call(&rare.lost_exception)?;
            visit.call(&rare.lost_context)?;
            visit.call(&rare.writer_context)?;
        }
        Ok(())
    }

    /// Breaks the cycles it is in; the finalizer has run.
    pub(super) fn clear(&self, py: Python<'_>) {
        self.unwatch(py);
        let cleared = self.with(py, |state| {
            (
                (
                    state.event_loop.take(),
                    state.protocol.take(),
                    state.context.take(),
                    state.server.take(),
                ),
                (state.extra.take(), state.rare.take()),
                (
                    std::mem::replace(&mut state.socket, Socket::Closed),
                    std::mem::take(&mut state.buffer),
                ),
            )
        });
        drop(cleared);
    }
}

/// How `protocol` takes bytes.
pub(super) fn reception_of(protocol: &Bound<'_, PyAny>) -> PyResult<Reception> {
    if protocol.is_exact_instance_of::<TlsProtocol>() {
        return Ok(Reception::Tls);
    }
    Ok(
        match protocol.is_instance(
            imports(protocol.py())?
                .buffered_protocol
                .bind(protocol.py()),
        )? {
            true => Reception::Buffered,
            false => Reception::Data,
        },
    )
}

/// What asyncio's transports log through: asked each time, as tests and programs replace it.
pub fn logger(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import(intern!(py, "asyncio.selector_events"))?
        .getattr(intern!(py, "logger"))
}
