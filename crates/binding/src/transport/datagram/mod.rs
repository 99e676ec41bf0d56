//! The datagram transport: what `create_datagram_endpoint` gives, over UDP and Unix sockets and whatever else sends
//! messages.
//!
//! - here: the object and what it holds
//! - `receive`, `send`: what happens when the socket is ready, and `sendto`
//! - `surface`: the methods of `asyncio.DatagramTransport`
//!
//! Every order of events is that of asyncio's `_SelectorDatagramTransport`, but that it receives many datagrams a turn:
//! as many as wait, in one system call, up to a bound. Each is a call of the protocol's, and what the protocol does in
//! one (pausing, closing) holds for the next.

mod receive;
mod send;
mod surface;

use std::collections::VecDeque;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use pyo3::{PyTraverseError, PyVisit};
use riata_engine::driver::{Interest, Readiness};
use riata_engine::net::SocketAddr;
use riata_engine::stream::Watermarks;

use super::endpoint::{Core, Endpoint};
use crate::cell::GilCell;
use crate::error::os_error;
use crate::event_loop::EventLoop;
use crate::event_loop::sock::datagram_family;
use crate::event_loop::watch::{Unowned, Watcher, descriptor};
use crate::imports::imports;

/// What waits for room: a datagram, and where it goes.
type Unsent = (Py<PyBytes>, Option<Py<PyAny>>);

/// Who sent a datagram.
enum Sender {
    /// As the kernel says.
    Known(SocketAddr),
    /// As the socket object's method says.
    Shown(Py<PyAny>),
}

struct State {
    core: Core,
    /// By `pause_reading`.
    paused: bool,
    /// The address family, if system calls are made here, and not by the socket object's methods.
    family: Option<i32>,
    /// Where datagrams go that are sent without an address, and no other may be given: asyncio's `_address`.
    address: Option<Py<PyAny>>,
    /// The kernel knows where they go.
    connected: bool,
    unsent: VecDeque<Unsent>,
    /// Bytes in `unsent`, with what each datagram counts besides.
    unsent_size: usize,
    watermarks: Watermarks,
    /// The kernel had no room: waiting for some.
    wants_room: bool,
    /// Sends to a connection that was lost.
    lost_count: u32,
    /// Received and not told yet: the protocol has paused amidst a batch.
    received: VecDeque<(Py<PyAny>, Sender)>,
    /// How many datagrams the next call asks for.
    batch: usize,
    /// The last sender, and how Python is shown it: mostly the next one is the same.
    last_sender: SocketAddr,
    last_shown: Option<Py<PyAny>>,
}

impl State {
    fn reads(&self) -> bool {
        self.core.started && !self.paused && !self.core.lifecycle.is_closing()
    }
}

/// A datagram socket with its protocol: what `asyncio.DatagramTransport` documents.
#[pyclass(
    frozen,
    weakref,
    dict,
    name = "DatagramTransport",
    module = "riata._native"
)]
pub struct DatagramTransport {
    state: GilCell<State>,
}

impl Endpoint for DatagramTransport {
    const CLASS: &'static str = "_SelectorDatagramTransport";
    const LOGGER: &'static str = "asyncio.selector_events";

    fn core<R>(&self, py: Python<'_>, body: impl FnOnce(&mut Core) -> R) -> R {
        self.state.with(py, |state| body(&mut state.core))
    }

    fn wanted(&self, py: Python<'_>) -> Interest {
        self.state.with(py, |state| {
            let mut wanted = Interest::NONE;
            if state.reads() {
                wanted = wanted | Interest::READABLE;
            }
            if state.wants_room {
                wanted = wanted | Interest::WRITABLE;
            }
            wanted
        })
    }

    fn watcher(slf: &Bound<'_, Self>) -> Watcher {
        Watcher::Datagram(slf.clone().unbind())
    }

    fn forget_unwritten(&self, py: Python<'_>) {
        let forgotten = self.state.with(py, |state| {
            state.unsent_size = 0;
            state.wants_room = false;
            (
                std::mem::take(&mut state.unsent),
                std::mem::take(&mut state.received),
            )
        });
        drop(forgotten);
    }

    fn respond(slf: &Bound<'_, Self>, readiness: Readiness) -> PyResult<()> {
        let py = slf.py();
        let wanted = slf.get().wanted(py);
        if wanted.is_none() {
            return Self::settle_watch(slf);
        }
        if readiness.wakes_reader() && wanted.contains(Interest::READABLE) {
            Self::receive(slf)?;
        }
        match readiness.wakes_writer() && wanted.contains(Interest::WRITABLE) {
            true => slf.get().in_writers_context(py, || Self::send_waiting(slf)),
            false => Ok(()),
        }
    }
}

impl DatagramTransport {
    /// A transport over `socket`, whose `connection_made` is scheduled.
    ///
    /// # Errors
    /// OSError for a socket that is not open or cannot be watched; as `Endpoint::begin`.
    pub fn create<'py>(
        event_loop: &Bound<'py, EventLoop>,
        socket: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        address: Option<Bound<'py, PyAny>>,
        waiter: Option<Bound<'py, PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        let extra = extra.unwrap_or_else(|| PyDict::new(py));
        let connected = note_names(socket, &extra)?;
        let address = match address {
            Some(address) if address.is_truthy()? => Some(address.unbind()),
            _ => None,
        };
        let fd = descriptor(socket)?;
        let state = State {
            core: Core::new(event_loop, socket, fd, protocol, extra)?,
            paused: false,
            family: datagram_family(socket)?,
            address,
            connected,
            unsent: VecDeque::new(),
            unsent_size: 0,
            watermarks: Watermarks::new(),
            wants_room: false,
            lost_count: 0,
            received: VecDeque::new(),
            batch: receive::FIRST_BATCH,
            last_sender: SocketAddr::Unspecified,
            last_shown: None,
        };
        let state = GilCell::new(state);
        let transport = Bound::new(py, Self { state })?;
        let begun = Self::reserve(&transport, event_loop)
            .and_then(|()| Self::begin(&transport, event_loop, waiter));
        match begun {
            Ok(()) => Ok(transport),
            // Nobody has it yet: it ends here, without a warning.
            Err(error) => transport.get().give_back(py).and(Err(error)),
        }
    }

    /// Makes it known to the loop, though it waits for nothing yet: `add_reader` and its like are to leave its descriptor
    /// alone.
    fn reserve(slf: &Bound<'_, Self>, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
        let py = slf.py();
        let fd = slf.get().core(py, |core| core.fd);
        let watcher = Watcher::Parked(Unowned::new(slf.as_any()));
        let added = event_loop.get().change_watchers(py, |registry, poller| {
            registry.add(poller, fd, Interest::NONE, watcher)
        });
        let key = match added.map_err(os_error)? {
            None => None,
            Some(added) => Some(added.map_err(|rejected| os_error(rejected.error))?),
        };
        slf.get().core(py, |core| core.key = key);
        Ok(())
    }

    /// Whether `add_reader` and its like must leave the descriptor alone.
    pub fn occupies_descriptor(&self, py: Python<'_>) -> bool {
        !self.is_closing(py)
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        #[allow(unsafe_code)]
        // SAFETY: B3: called by the collector.
        let state = unsafe { self.state.traverse() };
        state.core.traverse(visit)?;
        visit.call(&state.address)?;
        visit.call(&state.last_shown)?;
        // Python 3.11 may start the collector while it makes the object, which is all zeros then.
        if state.core.event_loop.is_none() {
            return Ok(());
        }
        for (_, address) in &state.unsent {
            visit.call(address)?;
        }
        for (data, sender) in &state.received {
            visit.call(data)?;
            if let Sender::Shown(address) = sender {
                visit.call(address)?;
            }
        }
        Ok(())
    }
}

/// Puts into `extra` what asyncio puts there: "socket", "sockname", "peername". Tells whether there is a peer.
fn note_names(socket: &Bound<'_, PyAny>, extra: &Bound<'_, PyDict>) -> PyResult<bool> {
    let py = socket.py();
    let shown = imports(py)?.transport_socket.bind(py).call1((socket,))?;
    extra.set_item(intern!(py, "socket"), shown)?;
    let name = |method| match socket.call_method0(method) {
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyOSError>(py) => {
            Ok(py.None().into_bound(py))
        }
        name => name,
    };
    extra.set_item(intern!(py, "sockname"), name("getsockname")?)?;
    if !extra.contains(intern!(py, "peername"))? {
        extra.set_item(intern!(py, "peername"), name("getpeername")?)?;
    }
    // A peer without a name, as one of a pair of Unix sockets is, is a peer: asyncio takes it for none and fails.
    Ok(!extra.as_any().get_item(intern!(py, "peername"))?.is_none())
}
