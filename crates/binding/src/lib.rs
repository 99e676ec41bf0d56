//! The extension module `riata._native`: the engine as Python sees it.
//!
//! Rooms: `event_loop` (the surface of `asyncio.AbstractEventLoop`), `combine` (what waits for tasks and time),
//! `transport`, `future`, `task`, `handle`; `gevent` (the loop that gevent asks for); `context` and
//! `coroutine` (driving what Python owns), `interop` (what CPython's `_asyncio` must be told), `version` (where
//! versions differ), `child` (the end of a child process), `slots` (type slots that PyO3 lacks), `freelist` (the memory of dead
//! objects), `heap` (what the allocator keeps), `trashcan` (long chains die without a deep stack), `unwritten` (objects
//! that the collector sees too early),
//! `fastcall` (methods that take any keyword without a dictionary), `part` (slices of what is written), `threads` (who
//! else wants the GIL), `unwind` (calls that a thread may not come back from), `watchdog` (what freezes a loop),
//! `switching` (greenlets switch at every call, in debug builds for tests),
//! `imports`, `error`, `cell`.

mod cell;
mod child;
mod collector;
mod combine;
mod context;
mod coroutine;
mod error;
mod event_loop;
mod fastcall;
mod freelist;
mod future;
mod gevent;
mod handle;
mod heap;
mod imports;
mod interop;
mod part;
mod returned;
mod slots;
mod streams;
#[cfg(switching)]
mod switching;
mod sync;
mod task;
mod threads;
mod transport;
mod trashcan;
mod unwind;
mod unwritten;
mod version;
mod watchdog;

use pyo3::prelude::*;

/// riata's native half: import `riata` instead.
#[pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use crate::child::Child;
    #[pymodule_export]
    use crate::combine::as_completed::as_completed;
    #[pymodule_export]
    use crate::combine::ensure_future::ensure_future;
    #[pymodule_export]
    use crate::combine::gather::gather;
    #[pymodule_export]
    use crate::combine::shield::shield;
    #[pymodule_export]
    use crate::combine::timeout::{timeout, timeout_at};
    #[pymodule_export]
    use crate::combine::wrap_future::{run_coroutine_threadsafe, wrap_future};
    #[pymodule_export]
    use crate::combine::{
        AlarmBell, AsCompleted, Coroutine, Countdown, GatheringFuture, Link, Observation, Shield,
        Submission, TaskGroup, Timeout,
    };
    #[pymodule_export]
    use crate::event_loop::EventLoop;
    #[pymodule_export]
    use crate::event_loop::guest::set_host;
    #[pymodule_export]
    use crate::future::{Future, FutureIter};
    #[pymodule_export]
    use crate::future::{future_add_to_awaited_by, future_discard_from_awaited_by};
    #[pymodule_export]
    use crate::gevent::GreenLoop;
    #[pymodule_export]
    use crate::gevent::callback::Callback;
    #[pymodule_export]
    use crate::gevent::child::ChildWatcher;
    #[pymodule_export]
    use crate::gevent::direct::{keep_worlds, set_hub_switch};
    #[pymodule_export]
    use crate::gevent::io::IoWatcher;
    #[pymodule_export]
    use crate::gevent::signal::{SignalBell, SignalWatcher};
    #[pymodule_export]
    use crate::gevent::stat::StatWatcher;
    #[pymodule_export]
    use crate::gevent::timer::TimerWatcher;
    #[pymodule_export]
    use crate::gevent::turn::{
        AsyncWatcher, CheckWatcher, ForkWatcher, IdleWatcher, PrepareWatcher,
    };
    #[pymodule_export]
    use crate::gevent::watcher::Watcher;
    #[pymodule_export]
    use crate::handle::{Handle, TimerHandle};
    #[pymodule_export]
    use crate::interop::{live_tasks, put_into_class};
    #[pymodule_export]
    use crate::streams::protocol::StreamReaderProtocol;
    #[pymodule_export]
    use crate::streams::reader::StreamReader;
    #[pymodule_export]
    use crate::streams::writer::StreamWriter;
    #[pymodule_export]
    use crate::sync::condition::Condition;
    #[pymodule_export]
    use crate::sync::event::Event;
    #[pymodule_export]
    use crate::sync::lock::Lock;
    #[pymodule_export]
    use crate::sync::queue::{LifoQueue, PriorityQueue, Queue};
    #[pymodule_export]
    use crate::sync::semaphore::{BoundedSemaphore, Semaphore};
    #[pymodule_export]
    use crate::task::{Task, TaskStep, TaskWakeup};
    #[pymodule_export]
    use crate::transport::{
        DatagramTransport, ReadPipeTransport, StreamTransport, TlsProtocol, TlsTransport,
        WritePipeTransport,
    };
    #[pymodule_export]
    use crate::watchdog::{created_by, unwatch, watch};
    use pyo3::prelude::*;

    /// Refuses a free-threaded interpreter that was told to stay without its lock (PYTHON_GIL=0): every cell here
    /// relies on it.
    fn check_gil(py: Python<'_>) -> PyResult<()> {
        if let Some(enabled) = py.import("sys")?.getattr_opt("_is_gil_enabled")?
            && !enabled.call0()?.is_truthy()?
        {
            let text = "riata needs the GIL, which PYTHON_GIL=0 or -X gil=0 forbids";
            return Err(pyo3::exceptions::PyImportError::new_err(text));
        }
        Ok(())
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        check_gil(module.py())?;
        crate::unwind::install();
        #[cfg(switching)]
        crate::switching::install(module.py())?;
        crate::slots::install(module.py())?;
        crate::fastcall::install(module.py())?;
        crate::freelist::install(module.py());
        crate::slots::make_abstract::<TaskGroup>(module.py())?;
        crate::slots::make_abstract::<Timeout>(module.py())?;
        crate::combine::function::install(module)?;
        crate::sync::method::install(module.py())?;
        crate::streams::method::install(module.py())?;
        module.add("EVENTS", crate::gevent::placeholder(module.py())?)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
