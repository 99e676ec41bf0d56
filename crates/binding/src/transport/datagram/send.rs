//! Sending: at once, or when the kernel has room again.

#![allow(unsafe_code)]

use pyo3::exceptions::{PyBlockingIOError, PyInterruptedError, PyOSError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use riata_engine::error::Result as EngineResult;
use riata_engine::net::{self, SocketAddr};
use riata_engine::stream::{Drained, Flow};

use super::DatagramTransport;
use super::receive::is_ip;
use crate::error::os_error;
use crate::event_loop::sock::audit_sendto;
use crate::transport::address;
use crate::transport::endpoint::Endpoint;
use crate::transport::flow::{self, is_interrupt};
use crate::transport::memory::read_buffer;
use crate::transport::socket::borrow;
use crate::unwind;
use crate::version::version;

/// Sends to a lost connection that are let pass: asyncio's LOG_THRESHOLD_FOR_CONNLOST_WRITES.
const UNTOLD_LOST_SENDS: u32 = 5;

/// Where a datagram goes.
enum Destination {
    /// The kernel knows.
    Connected,
    To(SocketAddr),
    /// The socket object knows what to make of it, or what to raise.
    Other,
}

/// What became of a datagram.
enum Sent {
    Whole,
    /// There is no room.
    Blocked,
    /// An error that the protocol is told of.
    Failed(PyErr),
    /// An error that ends everything.
    Broken(PyErr),
}

impl DatagramTransport {
    /// Sends `data` to `address`, or lets it wait for room.
    ///
    /// # Errors
    /// What `error_received` raises; SystemExit and KeyboardInterrupt.
    pub(super) fn send<'py>(
        slf: &Bound<'py, Self>,
        data: &Bound<'py, PyAny>,
        address: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.state.with(py, |state| state.unsent.is_empty()) {
            match this.attempt(data, address)? {
                Sent::Whole => return Ok(()),
                Sent::Failed(error) => return Self::tell_error(slf, error),
                Sent::Broken(error) => return Self::broken(slf, error),
                Sent::Blocked => {}
            }
        }
        // What waits must not change.
        let bytes = match data.cast_exact::<PyBytes>() {
            Ok(bytes) => bytes.clone(),
            Err(_) => py
                .get_type::<PyBytes>()
                .call1((data,))?
                .cast_into::<PyBytes>()?,
        };
        let size = bytes.as_bytes().len() + version(py)?.datagram_header;
        let unsent = (
            bytes.unbind(),
            address.map(|address| address.clone().unbind()),
        );
        let waits_already = this.state.with(py, |state| {
            state.unsent.push_back(unsent);
            state.unsent_size += size;
            std::mem::replace(&mut state.wants_room, true)
        });
        if !waits_already {
            this.note_writer(py)?;
            Self::settle_watch(slf)?;
        }
        Self::pause_if_full(slf)
    }

    /// There is room: sends what waits.
    ///
    /// # Errors
    /// As `send`; what `connection_lost` raises.
    pub(super) fn send_waiting(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let header = version(py)?.datagram_header;
        while let Some((bytes, address)) = this.state.with(py, |state| {
            let (bytes, address) = state.unsent.front()?;
            let address = address.as_ref().map(|address| address.bind(py).clone());
            Some((bytes.bind(py).clone(), address))
        }) {
            let sent = this.attempt(bytes.as_any(), address.as_ref())?;
            if matches!(sent, Sent::Blocked) {
                break;
            }
            let gone = this.state.with(py, |state| {
                state.unsent_size = state
                    .unsent_size
                    .saturating_sub(bytes.as_bytes().len() + header);
                state.unsent.pop_front()
            });
            drop(gone);
            match sent {
                Sent::Whole | Sent::Blocked => {}
                Sent::Failed(error) => return Self::tell_error(slf, error),
                Sent::Broken(error) => return Self::broken(slf, error),
            }
        }
        let flow = this
            .state
            .with(py, |state| state.watermarks.after_drain(state.unsent_size));
        Self::tell_flow(slf, flow)?;
        // `resume_writing` may have sent more.
        if this.state.with(py, |state| {
            !state.unsent.is_empty() || !std::mem::take(&mut state.wants_room)
        }) {
            return Ok(());
        }
        Self::settle_watch(slf)?;
        match this.core(py, |core| core.lifecycle.drained()) {
            Drained::Report => Self::lost(slf, None),
            Drained::Idle | Drained::ShutDown => Ok(()),
        }
    }

    /// A send to a lost connection: dropped, and from the fifth on told of.
    pub(super) fn note_lost_send(&self, py: Python<'_>) -> PyResult<()> {
        let before = self.state.with(py, |state| {
            state.lost_count = state.lost_count.saturating_add(1);
            state.lost_count
        });
        if before >= UNTOLD_LOST_SENDS {
            let text = "socket.send() raised exception.";
            Self::logger(py)?.call_method1(intern!(py, "warning"), (text,))?;
        }
        Ok(())
    }

    pub(super) fn pause_if_full(slf: &Bound<'_, Self>) -> PyResult<()> {
        let flow = slf.get().state.with(slf.py(), |state| {
            state.watermarks.after_growth(state.unsent_size)
        });
        Self::tell_flow(slf, flow)
    }

    fn tell_flow(slf: &Bound<'_, Self>, flow: Flow) -> PyResult<()> {
        let py = slf.py();
        if flow == Flow::Unchanged {
            return Ok(());
        }
        let (event_loop, protocol) = (slf.get().event_loop(py), slf.get().protocol(py));
        flow::tell(event_loop.as_ref(), slf.as_any(), protocol.as_ref(), flow)
    }

    fn broken(slf: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        let py = slf.py();
        let exception = error.into_value(py).into_bound(py).into_any();
        Self::fatal(slf, &exception, "Fatal write error on datagram transport")
    }

    /// Offers one datagram to the kernel.
    ///
    /// # Errors
    /// SystemExit and KeyboardInterrupt, from a socket's own method or an audit hook.
    fn attempt<'py>(
        &self,
        data: &Bound<'py, PyAny>,
        address: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Sent> {
        let py = data.py();
        match self.send_once(data, address) {
            Ok(Ok(_)) => Ok(Sent::Whole),
            Ok(Err(error)) if error.is_would_block() || error.is_interrupted() => Ok(Sent::Blocked),
            Ok(Err(error)) => Ok(Sent::Failed(os_error(error))),
            Err(error) if is_interrupt(py, &error) => Err(error),
            Err(error)
                if error.is_instance_of::<PyBlockingIOError>(py)
                    || error.is_instance_of::<PyInterruptedError>(py) =>
            {
                Ok(Sent::Blocked)
            }
            Err(error) if error.is_instance_of::<PyOSError>(py) => Ok(Sent::Failed(error)),
            Err(error) => Ok(Sent::Broken(error)),
        }
    }

    fn send_once<'py>(
        &self,
        data: &Bound<'py, PyAny>,
        address: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<EngineResult<usize>> {
        let py = data.py();
        let destination = self.destination(py, address).unwrap_or(Destination::Other);
        let source = || self.live_fd(py);
        match &destination {
            Destination::Connected => read_buffer(data, source, |fd, bytes| {
                // SAFETY: B7: `live_fd` has just said so.
                net::send(unsafe { borrow(fd) }, bytes)
            }),
            Destination::To(to) => {
                if let (Some(socket), Some(address)) = (self.socket(py), address) {
                    audit_sendto(&socket, address)?;
                }
                read_buffer(data, source, |fd, bytes| {
                    // SAFETY: B7: `live_fd` has just said so.
                    net::send_to(unsafe { borrow(fd) }, bytes, to)
                })
            }
            Destination::Other => self.send_by_method(data, address),
        }
    }

    fn send_by_method<'py>(
        &self,
        data: &Bound<'py, PyAny>,
        address: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<EngineResult<usize>> {
        let py = data.py();
        let Some(socket) = self.socket(py) else {
            return Ok(Ok(0));
        };
        if self.state.with(py, |state| state.connected) {
            unwind::call_method(&socket, intern!(py, "send"), [data])?;
        } else {
            let address = address.into_pyobject(py)?;
            unwind::call_method(&socket, intern!(py, "sendto"), [data, &address])?;
        }
        Ok(Ok(0))
    }

    /// Where a datagram for `address` goes, if that can be told without the socket object.
    fn destination(
        &self,
        py: Python<'_>,
        address: Option<&Bound<'_, PyAny>>,
    ) -> Option<Destination> {
        let (family, connected) = self.state.with(py, |state| (state.family, state.connected));
        let family = family?;
        if connected {
            return Some(Destination::Connected);
        }
        let address = address?;
        // An answer goes to whom the question came from.
        let sender = self.state.with(py, |state| match &state.last_shown {
            Some(shown) if shown.is(address) && is_ip(family) => Some(state.last_sender.clone()),
            _ => None,
        });
        sender
            .or_else(|| address::from_python(family, address))
            .map(Destination::To)
    }
}
