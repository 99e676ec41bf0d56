//! `Queue`: `asyncio.queues.Queue`, with what newer versions of Python document on every version, and `async for`.
//!
//! What a Python subclass overrides is called: asyncio documents that `_init`, `_get` and `_put` may be, and programs
//! override what else its methods call of each other.

pub mod calls;

use pyo3::basic::CompareOp;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyTuple, PyType};
use pyo3::{PyTraverseError, PyTypeInfo, PyVisit};

use super::attributes::{line_attribute, loop_attribute};
use super::bound::LoopBound;
use super::event::Event;
use super::items::{Items, Order};
use super::line::Line;
use super::overrides::{Noted, overrides_any};
use crate::cell::GilCell;
use crate::combine::any_future::{self, Message};
use crate::combine::place::Place;
use crate::imports::{imports, sync_class};

/// What a Python subclass has of its own.
#[derive(Clone, Copy)]
struct Overrides {
    get: bool,
    put: bool,
    size: bool,
    full: bool,
    empty: bool,
    get_nowait: bool,
    put_nowait: bool,
    wakeup: bool,
}

impl Overrides {
    fn of<T: PyTypeInfo>(class: &Bound<'_, PyType>) -> PyResult<Self> {
        let has = |name| overrides_any::<T>(class, &[name]);
        Ok(Self {
            get: has("_get")?,
            put: has("_put")?,
            size: has("qsize")?,
            full: has("full")?,
            empty: has("empty")?,
            get_nowait: has("get_nowait")?,
            put_nowait: has("put_nowait")?,
            wakeup: has("_wakeup_next")?,
        })
    }
}

/// The native half of `riata.Queue`.
#[pyclass(frozen, subclass, name = "Queue", module = "riata._native")]
pub struct Queue {
    order: Order,
    overrides: Overrides,
    /// What the program gave.
    maxsize: GilCell<Option<Py<PyAny>>>,
    /// The same, if it is a plain integer.
    limit: GilCell<Option<i64>>,
    items: Items,
    getters: Line,
    putters: Line,
    unfinished: GilCell<i64>,
    /// Set while nothing is unfinished. Made when somebody waits for it.
    finished: GilCell<Option<Py<Event>>>,
    shut_down: GilCell<bool>,
    bound: LoopBound,
}

impl Queue {
    fn create<T: PyTypeInfo>(class: &Bound<'_, PyType>, order: Order) -> PyResult<Self> {
        static NOTED: Noted<Overrides> = Noted::nothing();
        let queue = Self {
            order,
            overrides: NOTED.of(class, || Overrides::of::<T>(class))?,
            maxsize: GilCell::new(None),
            limit: GilCell::new(Some(0)),
            items: Items::default(),
            getters: Line::default(),
            putters: Line::default(),
            unfinished: GilCell::new(0),
            finished: GilCell::new(None),
            shut_down: GilCell::new(false),
            bound: LoopBound::default(),
        };
        queue.items.reset(class.py(), order);
        Ok(queue)
    }

    fn begin(slf: &Bound<'_, Self>, maxsize: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        if let Some(maxsize) = maxsize {
            slf.get().set_maxsize(maxsize);
        }
        let maxsize = slf.get()._maxsize(py)?;
        slf.call_method1(intern!(py, "_init"), (maxsize,)).map(drop)
    }

    #[inline]
    fn size(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        match slf.get().overrides.size {
            false => Ok(slf
                .get()
                .items
                .len(py)?
                .into_pyobject(py)?
                .into_any()
                .unbind()),
            true => Ok(slf.call_method0(intern!(py, "qsize"))?.unbind()),
        }
    }

    #[inline]
    fn is_full(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        match slf.get().overrides.full {
            false => Self::full(slf),
            true => slf.call_method0(intern!(py, "full"))?.is_truthy(),
        }
    }

    #[inline]
    fn is_empty(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        match slf.get().overrides.empty {
            false => slf.get().items.is_empty(py),
            true => slf.call_method0(intern!(py, "empty"))?.is_truthy(),
        }
    }

    #[inline]
    fn take_now(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        match slf.get().overrides.get_nowait {
            false => Self::get_nowait(slf),
            true => Ok(slf.call_method0(intern!(py, "get_nowait"))?.unbind()),
        }
    }

    #[inline]
    fn put_now(slf: &Bound<'_, Self>, item: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        match slf.get().overrides.put_nowait {
            false => Self::put_nowait(slf, item).map(|()| py.None()),
            true => Ok(slf
                .call_method1(intern!(py, "put_nowait"), (item,))?
                .unbind()),
        }
    }

    fn take_item<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        match slf.get().overrides.get {
            false => slf.get().items.get(py, slf.get().order),
            true => slf.call_method0(intern!(py, "_get")),
        }
    }

    fn wake(slf: &Bound<'_, Self>, line: &Line) -> PyResult<()> {
        let py = slf.py();
        match slf.get().overrides.wakeup {
            false => line.wake_next(py),
            true => slf
                .call_method1(intern!(py, "_wakeup_next"), (line.show(py)?,))
                .map(drop),
        }
    }

    fn check_shut_down(&self, py: Python<'_>) -> PyResult<()> {
        match self.shut_down.get(py) {
            false => Ok(()),
            true => Err(PyErr::from_value(sync_class(py, "QueueShutDown")?.call0()?)),
        }
    }

    fn event<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Event>> {
        if let Some(event) = self.finished.with(py, |finished| {
            finished.as_ref().map(|event| event.bind(py).clone())
        }) {
            return Ok(event);
        }
        let event = sync_class(py, "Event")?.call0()?.cast_into::<Event>()?;
        if self.unfinished.get(py) == 0 {
            event.get().set(py)?;
        }
        self.finished.set(py, Some(event.clone().unbind()));
        Ok(event)
    }

    fn note_finished(&self, py: Python<'_>, all: bool) -> PyResult<()> {
        let event = self.finished.with(py, |finished| {
            finished.as_ref().map(|event| event.clone_ref(py))
        });
        match event {
            None => Ok(()),
            Some(event) if all => event.get().set(py),
            Some(event) => {
                event.get().clear(py);
                Ok(())
            }
        }
    }

    /// After waiting in vain: gives the place up, and the turn to the next one, if it had come.
    fn give_up(
        slf: &Bound<'_, Self>,
        place: &Place,
        line: &Line,
        blocked: fn(&Bound<'_, Self>) -> PyResult<bool>,
    ) -> PyResult<()> {
        let py = slf.py();
        let future = place.future(py);
        any_future::cancel(future, Message::None)?;
        line.remove(future)?;
        if !blocked(slf)? && !any_future::is_cancelled(future)? {
            Self::wake(slf, line)?;
        }
        Ok(())
    }
}

/// An exception of asyncio's, made without arguments.
fn raised(class: &Py<PyAny>, py: Python<'_>) -> PyResult<PyErr> {
    class.bind(py).call0().map(PyErr::from_value)
}

#[pymethods]
impl Queue {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_options))]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        Self::create::<Self>(class, Order::Fifo)
    }

    /// A queue for so many items at a time; without a bound for 0 and less.
    #[pyo3(signature = (maxsize = None))]
    fn __init__(slf: &Bound<'_, Self>, maxsize: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        Self::begin(slf, maxsize)
    }

    /// Make the place for the items. Subclasses may override it, `_get` and `_put`.
    fn _init(&self, py: Python<'_>, _maxsize: &Bound<'_, PyAny>) {
        self.items.reset(py, self.order);
    }

    fn _get<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.items.get(py, self.order)
    }

    fn _put(&self, item: &Bound<'_, PyAny>) -> PyResult<()> {
        self.items.put(self.order, item)
    }

    fn _wakeup_next(&self, waiters: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = waiters.py();
        while waiters.is_truthy()? {
            let waiter = waiters.call_method0(intern!(py, "popleft"))?;
            if !any_future::is_done(&waiter)? {
                return any_future::set_result(&waiter, py.None().into_bound(py));
            }
        }
        Ok(())
    }

    /// How many items are in the queue.
    fn qsize(&self, py: Python<'_>) -> PyResult<usize> {
        self.items.len(py)
    }

    /// How many items may be in the queue.
    #[getter]
    fn maxsize<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self._maxsize(py)
    }

    /// Return True if the queue is empty.
    fn empty(&self, py: Python<'_>) -> PyResult<bool> {
        self.items.is_empty(py)
    }

    /// Return True if there are as many items as may be; never without a bound.
    fn full(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        match this.limit.get(py) {
            Some(limit) if limit <= 0 => Ok(false),
            Some(limit) if !this.overrides.size => {
                Ok(this.items.len(py)? >= limit.unsigned_abs() as usize)
            }
            _ => {
                let maxsize = this._maxsize(py)?;
                if maxsize.rich_compare(0, CompareOp::Le)?.is_truthy()? {
                    return Ok(false);
                }
                let size = Self::size(slf)?;
                size.bind(py)
                    .rich_compare(maxsize, CompareOp::Ge)?
                    .is_truthy()
            }
        }
    }

    /// Put an item in without waiting.
    ///
    /// Raises QueueFull, or QueueShutDown.
    fn put_nowait(slf: &Bound<'_, Self>, item: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.check_shut_down(py)?;
        if Self::is_full(slf)? {
            return Err(raised(&imports(py)?.queue_full, py)?);
        }
        match this.overrides.put {
            false => this.items.put(this.order, item)?,
            true => drop(slf.call_method1(intern!(py, "_put"), (item,))?),
        }
        let unfinished = this.unfinished.get(py);
        this.unfinished.set(py, unfinished.saturating_add(1));
        this.note_finished(py, false)?;
        Self::wake(slf, &this.getters)
    }

    /// Take an item out without waiting.
    ///
    /// Raises QueueEmpty, or QueueShutDown.
    fn get_nowait(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let this = slf.get();
        if Self::is_empty(slf)? {
            this.check_shut_down(py)?;
            return Err(raised(&imports(py)?.queue_empty, py)?);
        }
        let item = Self::take_item(slf)?;
        Self::wake(slf, &this.putters)?;
        Ok(item.unbind())
    }

    /// Say that an item that was taken out has been dealt with; `join` waits for all of them.
    ///
    /// Raises ValueError when it is called more often than there were items.
    fn task_done(&self, py: Python<'_>) -> PyResult<()> {
        let unfinished = self.unfinished.get(py);
        if unfinished <= 0 {
            return Err(PyValueError::new_err("task_done() called too many times"));
        }
        self.unfinished.set(py, unfinished - 1);
        match unfinished {
            1 => self.note_finished(py, true),
            _ => Ok(()),
        }
    }

    /// End the queue: `put` raises QueueShutDown from now on, and so does `get` once it is empty. With immediate=True it
    /// is emptied at once.
    #[pyo3(signature = (immediate = false))]
    fn shutdown(slf: &Bound<'_, Self>, immediate: bool) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.shut_down.set(py, true);
        if immediate {
            while !Self::is_empty(slf)? {
                drop(Self::take_item(slf)?);
                let unfinished = this.unfinished.get(py);
                if unfinished > 0 {
                    this.unfinished.set(py, unfinished - 1);
                }
            }
            if this.unfinished.get(py) == 0 {
                this.note_finished(py, true)?;
            }
        }
        this.getters.wake_all(py)?;
        this.putters.wake_all(py)
    }

    #[classmethod]
    #[pyo3(signature = (r#type, /))]
    fn __class_getitem__(
        class: &Bound<'_, PyType>,
        r#type: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        let alias = imports(class.py())?.generic_alias.bind(class.py());
        Ok(alias.call1((class, r#type))?.unbind())
    }

    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[getter]
    fn _maxsize<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.maxsize.cloned(py) {
            Some(maxsize) => Ok(maxsize.into_bound(py)),
            None => Ok(0i64.into_pyobject(py)?.into_any()),
        }
    }

    #[setter(_maxsize)]
    fn set_maxsize(&self, maxsize: &Bound<'_, PyAny>) {
        let py = maxsize.py();
        let limit = maxsize
            .cast_exact::<PyInt>()
            .ok()
            .and_then(|maxsize| maxsize.extract::<i64>().ok());
        self.limit.set(py, limit);
        self.maxsize.set(py, Some(maxsize.clone().unbind()));
    }

    #[getter]
    fn _queue<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.items.show(py, self.order)
    }

    #[setter(_queue)]
    fn set_queue(&self, py: Python<'_>, queue: Py<PyAny>) {
        self.items.set(py, queue);
    }

    #[getter]
    fn _unfinished_tasks(&self, py: Python<'_>) -> i64 {
        self.unfinished.get(py)
    }

    #[setter(_unfinished_tasks)]
    fn set_unfinished_tasks(&self, py: Python<'_>, unfinished: i64) {
        self.unfinished.set(py, unfinished);
    }

    #[getter]
    fn _finished<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Event>> {
        self.event(py)
    }

    #[setter(_finished)]
    fn set_finished(&self, py: Python<'_>, finished: Option<Py<Event>>) {
        self.finished.set(py, finished);
    }

    #[getter]
    fn _is_shutdown(&self, py: Python<'_>) -> bool {
        self.shut_down.get(py)
    }

    #[setter(_is_shutdown)]
    fn set_is_shutdown(&self, py: Python<'_>, shut_down: bool) {
        self.shut_down.set(py, shut_down);
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: called by the collector.
        unsafe {
            visit.call(self.maxsize.traverse())?;
            self.items.traverse(&visit)?;
            self.getters.traverse(&visit)?;
            self.putters.traverse(&visit)?;
            visit.call(self.finished.traverse())?;
            self.bound.traverse(&visit)
        }
    }

    fn __clear__(&self) {
        Python::attach(|py| {
            self.maxsize.set(py, None);
            self.items.clear(py);
            self.getters.set(py, None);
            self.putters.set(py, None);
            self.finished.set(py, None);
            self.bound.set(py, None);
        });
    }
}

loop_attribute!(Queue);
line_attribute!(Queue, _getters, set_getters, getters);
line_attribute!(Queue, _putters, set_putters, putters);

macro_rules! ordered {
    ($class:ident, $order:expr, $name:literal, $doc:literal) => {
        #[doc = $doc]
        #[pyclass(frozen, subclass, extends = Queue, name = $name, module = "riata._native")]
        pub struct $class;

        #[pymethods]
        impl $class {
            #[new]
            #[classmethod]
            #[pyo3(signature = (*_args, **_options))]
            fn new(
                class: &Bound<'_, PyType>,
                _args: &Bound<'_, PyTuple>,
                _options: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<PyClassInitializer<Self>> {
                let queue = Queue::create::<Self>(class, $order)?;
                Ok(PyClassInitializer::from(queue).add_subclass(Self))
            }

            /// A queue for so many items at a time; without a bound for 0 and less.
            #[pyo3(signature = (maxsize = None))]
            fn __init__(slf: &Bound<'_, Self>, maxsize: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
                Queue::begin(slf.as_super(), maxsize)
            }
        }
    };
}
ordered!(
    LifoQueue,
    Order::Lifo,
    "LifoQueue",
    "The native half of `riata.LifoQueue`."
);
ordered!(
    PriorityQueue,
    Order::Priority,
    "PriorityQueue",
    "The native half of `riata.PriorityQueue`."
);
