//! Receiving: as many datagrams a turn as wait, up to a bound.

#![allow(unsafe_code)]

use pyo3::exceptions::{PyBlockingIOError, PyInterruptedError, PyOSError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use riata_engine::error::{Error, Result as EngineResult};
use riata_engine::net::{self, MAX_BATCH, SocketAddr};

use super::{DatagramTransport, Sender};
use crate::error::os_error;
use crate::event_loop::EventLoop;
use crate::transport::address;
use crate::transport::endpoint::{Endpoint, call_soon};
use crate::transport::flow::is_interrupt;
use crate::transport::memory::copy_bytes;
use crate::transport::read::Scratch;
use crate::transport::socket::borrow;
use crate::unwind;

/// How many datagrams of IP's are asked for at least: fewer than asked for means that no more wait, so that nobody asks
/// again in vain.
pub const FIRST_BATCH: usize = 2;

/// Whether datagrams of this family have a bounded length.
pub fn is_ip(family: i32) -> bool {
    matches!(family, libc::AF_INET | libc::AF_INET6)
}

impl DatagramTransport {
    /// Takes what waits, and tells the protocol.
    ///
    /// # Errors
    /// What `error_received` raises, to be reported; SystemExit and KeyboardInterrupt that the protocol raised.
    pub(super) fn receive(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let Some(event_loop) = this.event_loop(py) else {
            return Ok(());
        };
        let family = this.state.with(py, |state| state.family);
        let error = match family {
            None => match this.receive_by_method(py) {
                Ok(()) => None,
                Err(error) if is_interrupt(py, &error) => return Err(error),
                Err(error) => Some(error),
            },
            Some(family) => match this.receive_directly(py, event_loop.get(), family) {
                Ok(()) => None,
                Err(error) if error.is_would_block() || error.is_interrupted() => None,
                Err(error) => Some(os_error(error)),
            },
        };
        match error {
            None => Self::deliver(slf),
            Some(error)
                if error.is_instance_of::<PyBlockingIOError>(py)
                    || error.is_instance_of::<PyInterruptedError>(py) =>
            {
                Self::deliver(slf)
            }
            Some(error) if error.is_instance_of::<PyOSError>(py) => {
                Self::deliver(slf)?;
                Self::tell_error(slf, error)
            }
            Some(error) => {
                let exception = error.into_value(py).into_bound(py).into_any();
                Self::fatal(slf, &exception, "Fatal read error on datagram transport")
            }
        }
    }

    /// `protocol.error_received`.
    ///
    /// # Errors
    /// What it raises.
    pub(super) fn tell_error(slf: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        let py = slf.py();
        let Some(protocol) = slf.get().protocol(py) else {
            return Ok(());
        };
        let exception = error.into_value(py).into_bound(py).into_any();
        unwind::call_method(&protocol, intern!(py, "error_received"), [&exception]).map(drop)
    }

    /// Tells the protocol of what was received, as long as it wants to be told. If it raises, that is to be reported first,
    /// and the rest is told in a later step.
    ///
    /// # Errors
    /// What the protocol raises.
    pub(super) fn deliver(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        while let Some((data, sender)) = this.state.with(py, |state| match state.reads() {
            true => state.received.pop_front(),
            false => None,
        }) {
            let Some(protocol) = this.protocol(py) else {
                return Ok(());
            };
            let sender = this.show(py, sender)?;
            let told = unwind::call_method(
                &protocol,
                intern!(py, "datagram_received"),
                [data.bind(py), &sender],
            );
            if let Err(error) = told {
                Self::deliver_later(slf)?;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Schedules telling what was received, if anything was.
    pub(super) fn deliver_later(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.state.with(py, |state| state.received.is_empty()) {
            return Ok(());
        }
        match this.event_loop(py) {
            Some(event_loop) => {
                let deliver = slf.as_any().getattr(intern!(py, "_deliver"))?;
                call_soon(&event_loop, (deliver,))
            }
            None => Ok(()),
        }
    }

    /// How Python is shown a sender's address.
    fn show<'py>(&self, py: Python<'py>, sender: Sender) -> PyResult<Bound<'py, PyAny>> {
        let sender = match sender {
            Sender::Shown(address) => return Ok(address.into_bound(py)),
            Sender::Known(sender) => sender,
        };
        let again = self.state.with(py, |state| match &state.last_shown {
            Some(shown) if state.last_sender == sender => Some(shown.clone_ref(py)),
            _ => None,
        });
        if let Some(shown) = again {
            return Ok(shown.into_bound(py));
        }
        let shown = address::to_python(py, &sender)?;
        let last = shown.clone().unbind();
        let before = self.state.with(py, |state| {
            state.last_sender = sender;
            state.last_shown.replace(last)
        });
        drop(before);
        Ok(shown)
    }

    /// One datagram, by the socket object's own method.
    fn receive_by_method(&self, py: Python<'_>) -> PyResult<()> {
        let Some(socket) = self.socket(py) else {
            return Ok(());
        };
        let size = Scratch::SIZE.into_pyobject(py)?;
        let received = unwind::call_method(&socket, intern!(py, "recvfrom"), [size.as_any()])?;
        let (data, sender): (Py<PyAny>, Py<PyAny>) = received.extract()?;
        self.state.with(py, |state| {
            state.received.push_back((data, Sender::Shown(sender)));
        });
        Ok(())
    }

    fn receive_directly(
        &self,
        py: Python<'_>,
        event_loop: &EventLoop,
        family: i32,
    ) -> Result<(), Error> {
        let asked = self.state.with(py, |state| state.batch);
        let count = match is_ip(family) {
            true => self.receive_many(py, event_loop, asked)?,
            false => self.receive_each(py, event_loop, asked)?,
        };
        self.state.with(py, |state| {
            state.batch = match count == asked {
                true => (asked * 2).min(MAX_BATCH),
                false if is_ip(family) => (count + 1).max(FIRST_BATCH),
                false => count.max(1),
            };
        });
        Ok(())
    }

    /// IP's, whose length is bounded: one system call for all.
    fn receive_many(
        &self,
        py: Python<'_>,
        event_loop: &EventLoop,
        asked: usize,
    ) -> EngineResult<usize> {
        let fd = self.live_fd(py)?;
        event_loop.datagrams.with(py, |memory| {
            self.state.with(py, |state| {
                // SAFETY: B7: `live_fd` has just said so.
                net::recv_many(unsafe { borrow(fd) }, memory, asked, |datagram| {
                    let data = PyBytes::new(py, datagram.bytes).into_any().unbind();
                    state
                        .received
                        .push_back((data, Sender::Known(datagram.sender)));
                })
            })
        })
    }

    /// Others', one by one.
    fn receive_each(
        &self,
        py: Python<'_>,
        event_loop: &EventLoop,
        asked: usize,
    ) -> EngineResult<usize> {
        for count in 0..asked {
            match self.receive_one(py, event_loop) {
                Ok((data, sender)) => self.state.with(py, |state| {
                    let data = data.into_any().unbind();
                    state.received.push_back((data, Sender::Known(sender)));
                }),
                // An error that is not told now comes again, or has passed.
                Err(_) if count > 0 => return Ok(count),
                Err(error) => return Err(error),
            }
        }
        Ok(asked)
    }

    fn receive_one<'py>(
        &self,
        py: Python<'py>,
        event_loop: &EventLoop,
    ) -> EngineResult<(Bound<'py, PyBytes>, SocketAddr)> {
        let fd = self.live_fd(py)?;
        event_loop.scratch.with(py, |scratch| {
            let memory = scratch.memory();
            // SAFETY: B7: `live_fd` has just said so.
            let (filled, sender) = net::recv_from_uninit(unsafe { borrow(fd) }, memory)?;
            // SAFETY: B8: as many bytes are initialized as `recv_from_uninit` returns.
            Ok((unsafe { copy_bytes(py, memory, filled) }, sender))
        })
    }
}
