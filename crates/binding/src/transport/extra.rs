//! `get_extra_info`: what asyncio computes for every connection is made here when it is asked for.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use riata_engine::net::SocketAddr;

use super::address;
use super::socket::{self, Socket};
use super::stream::StreamTransport;
use crate::imports::imports;

/// What a program has put in the place of `asyncio.BaseTransport.get_extra_info`, bound to `transport`. Transports of
/// asyncio's would ask it; mocks are put there.
///
/// # Errors
/// What binding it raises.
pub(super) fn replaced_method<'py>(
    transport: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = transport.py();
    let imports = imports(py)?;
    let method = imports
        .base_transport
        .bind(py)
        .getattr(intern!(py, "get_extra_info"))?;
    if method.is(&imports.get_extra_info) {
        return Ok(None);
    }
    let bind = method.get_type().getattr_opt(intern!(py, "__get__"))?;
    Ok(Some(match bind {
        Some(bind) => bind.call1((&method, transport))?,
        None => method,
    }))
}

impl StreamTransport {
    /// The Python socket that owns the descriptor, made if need be; None once closed.
    ///
    /// # Errors
    /// What making a socket raises.
    pub(super) fn python_socket<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        let this = slf.get();
        let (fd, made, local) = this.with(py, |state| match &state.socket {
            Socket::Closed => (None, None, SocketAddr::Unspecified),
            Socket::Raw(fd) => (Some(socket::number(fd)), None, state.local.clone()),
            Socket::Python(socket) => {
                (None, Some(socket.bind(py).clone()), SocketAddr::Unspecified)
            }
        });
        let Some(fd) = fd else { return Ok(made) };
        let fresh = socket::python_socket(py, Some(fd), &local)?;
        // Python code ran: the transport may have been closed, or its socket made, meanwhile.
        let disowned = this.with(py, |state| match &state.socket {
            Socket::Raw(_) => {
                let python = Socket::Python(fresh.clone().unbind());
                Some(std::mem::replace(&mut state.socket, python))
            }
            Socket::Closed | Socket::Python(_) => None,
        });
        match disowned {
            Some(Socket::Raw(fd)) => {
                socket::disown(fd);
                Ok(Some(fresh))
            }
            _ => {
                fresh.call_method0(intern!(py, "detach"))?;
                Ok(this
                    .with(py, |state| state.socket.python(py))
                    .map(|socket| socket.into_bound(py)))
            }
        }
    }

    fn extra<'py>(slf: &Bound<'py, Self>) -> Bound<'py, PyDict> {
        let py = slf.py();
        let fresh = PyDict::new(py);
        slf.get().with(py, |state| {
            state
                .extra
                .get_or_insert_with(|| fresh.clone().unbind())
                .bind(py)
                .clone()
        })
    }

    fn compute<'py>(slf: &Bound<'py, Self>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        let this = slf.get();
        Ok(match name {
            "peername" => Some(address::to_python(
                py,
                &this.with(py, |state| state.peer.clone()),
            )?),
            "sockname" => Some(address::to_python(
                py,
                &this.with(py, |state| state.local.clone()),
            )?),
            "socket" => {
                let socket = match Self::python_socket(slf)? {
                    Some(socket) => socket,
                    None => socket::python_socket(
                        py,
                        None,
                        &this.with(py, |state| state.local.clone()),
                    )?,
                };
                Some(imports(py)?.transport_socket.bind(py).call1((socket,))?)
            }
            _ => None,
        })
    }

    /// What is known under `name`; None when nothing is.
    ///
    /// # Errors
    /// TypeError for a name that cannot be hashed; what making a socket raises.
    pub(super) fn extra_info<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let extra = Self::extra(slf);
        if let Some(known) = extra.get_item(name)? {
            return Ok(Some(known));
        }
        let Ok(text) = name.extract::<&str>() else {
            return Ok(None);
        };
        let computed = Self::compute(slf, text)?;
        if let Some(value) = &computed {
            extra.set_item(name, value)?;
        }
        Ok(computed)
    }

    /// Everything that `get_extra_info` knows: asyncio's `_extra`.
    ///
    /// # Errors
    /// What making a socket raises.
    pub(super) fn whole_extra<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let extra = Self::extra(slf);
        for name in ["socket", "sockname", "peername"] {
            if !extra.contains(name)?
                && let Some(value) = Self::compute(slf, name)?
            {
                extra.set_item(name, value)?;
            }
        }
        Ok(extra)
    }
}
