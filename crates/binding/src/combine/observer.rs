//! Native parties that want to hear when a future is done: what asyncio makes closures for.
//!
//! On a native future an observer stands among the waiters as itself, and hears through the loop at the place where the
//! callback would have run. A future that is not ours gets it as a callable.

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::as_completed::AsCompleted;
use super::gather::GatheringFuture;
use super::shield::Shield;
use super::task_group::TaskGroup;
use super::wait::Countdown;
use super::wrap_future::{self, Link};

macro_rules! observers {
    ($($(#[$doc:meta])* $name:ident($class:ty) => $notify:expr, $qualname:literal;)*) => {
        /// Who wants to hear.
        pub enum Observer {
            $($(#[$doc])* $name(Py<$class>),)*
        }

        impl Observer {
            /// Tells it that `future` is done.
            ///
            /// # Errors
            /// What asyncio's callback would raise.
            pub fn notify(&self, future: &Bound<'_, PyAny>) -> PyResult<()> {
                match self {
                    $(Self::$name(party) => {
                        let notify: fn(&Bound<'_, $class>, &Bound<'_, PyAny>) -> PyResult<()> = $notify;
                        notify(party.bind(future.py()), future)
                    })*
                }
            }

            /// Another reference to the same.
            pub fn clone_ref(&self, py: Python<'_>) -> Self {
                match self {
                    $(Self::$name(party) => Self::$name(party.clone_ref(py)),)*
                }
            }

            fn object(&self) -> *mut pyo3::ffi::PyObject {
                match self {
                    $(Self::$name(party) => party.as_ptr(),)*
                }
            }

            /// What asyncio's callback is called.
            fn qualname(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => $qualname,)*
                }
            }

            /// Shows the collector what is inside.
            pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
                match self {
                    $(Self::$name(party) => visit.call(party),)*
                }
            }
        }
    };
}

observers! {
    /// A `gather`, of one of its children.
    Gather(GatheringFuture) => GatheringFuture::child_done, "gather.<locals>._done_callback";
    /// A `wait`, or what waits for a cancelled future to end.
    Wait(Countdown) => Countdown::completed, "_wait.<locals>._on_completion";
    /// An `as_completed`, of one of its futures.
    Completed(AsCompleted) => AsCompleted::completed, "_AsCompletedIterator._handle_completion";
    /// A wrapped future of another thread, of the one around it, that may have been cancelled.
    LinkCancel(PyAny) => wrap_future::check_cancel, "_chain_future.<locals>._call_check_cancel";
    /// A wrapped future, of the one inside.
    LinkCopy(Link) => |link, source| link.get().copy(source), "_chain_future.<locals>._set_state";
    /// A task group, of one of its tasks.
    Group(TaskGroup) => TaskGroup::task_done, "TaskGroup._on_task_done";
    /// A `shield`, of what it shields.
    ShieldInner(Shield) => |shield, inner| shield.get().inner_done(inner), "shield.<locals>._inner_done_callback";
    /// A `shield`, of the future that its caller awaits.
    ShieldOuter(Shield) => |shield, _| Shield::outer_done(shield), "shield.<locals>._outer_done_callback";
    /// A `shield`, of what it shields: for the call graph alone.
    ShieldEdge(Shield) => |shield, inner| shield.get().clear_edge(inner), "shield.<locals>._clear_awaited_by_callback";
}

impl Observer {
    /// Whether both are the same party in the same role.
    pub fn is(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
            && self.object() == other.object()
    }
}

/// An observer as a callable: for futures and loops that are not ours, and as it looks in `_callbacks`.
#[pyclass(frozen, name = "Observation", module = "riata._native")]
pub struct Observation {
    observer: Observer,
}

impl Observation {
    /// `observer` as a callable.
    pub fn new(observer: Observer) -> Self {
        Self { observer }
    }

    /// Whether `callback` stands for `observer`.
    pub fn stands_for(callback: &Bound<'_, PyAny>, observer: &Observer) -> bool {
        callback
            .cast_exact::<Self>()
            .is_ok_and(|callback| callback.get().observer.is(observer))
    }
}

#[pymethods]
impl Observation {
    fn __call__(&self, future: &Bound<'_, PyAny>) -> PyResult<()> {
        self.observer.notify(future)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        Self::stands_for(other, &self.observer)
    }

    fn __hash__(&self) -> usize {
        self.observer.object().addr()
    }

    #[getter]
    fn __name__(&self) -> &'static str {
        let name = self.observer.qualname();
        name.rsplit('.').next().unwrap_or(name)
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        self.observer.qualname()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.observer.traverse(&visit)
    }
}
