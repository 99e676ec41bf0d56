//! A coroutine function, native: `riata.sleep` and the like.
//!
//! A builtin function cannot be told from any other by `inspect.iscoroutinefunction`, which reads the code object. This
//! callable has the attributes of asyncio's own function, code and signature among them, and makes native coroutines. Calls
//! whose arguments do not fit go to asyncio's function, which complains in its own words.

#![allow(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::PyTypeInfo;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::body::{Body, Kind};
use super::coroutine::Coroutine;
use super::sleep::Sleep;
use super::wait::Wait;
use super::wait_for::WaitFor;
use crate::sync::method::Method;
use crate::unwritten::is_unwritten;

unsafe extern "C" {
    /// `Objects/classobject.c`, which PyO3 does not declare: a method of `instance`, or NULL with an exception set.
    fn PyMethod_New(
        function: *mut ffi::PyObject,
        instance: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject;
}

/// A native coroutine function.
#[pyclass(
    frozen,
    weakref,
    dict,
    name = "coroutine_function",
    module = "riata._native"
)]
#[repr(C)]
pub struct CoroutineFunction {
    /// The interpreter calls this, without making a tuple of the arguments. It is the first field.
    vectorcall: ffi::vectorcallfunc,
    kind: Kind,
    /// asyncio's own function.
    original: Py<PyAny>,
}

/// The arguments of one call.
pub struct Arguments<'a, 'py> {
    py: Python<'py>,
    values: &'a [*mut ffi::PyObject],
    positional: usize,
    names: Option<Borrowed<'a, 'py, PyTuple>>,
}

impl<'a, 'py> Arguments<'a, 'py> {
    /// The token of the call.
    pub fn py(&self) -> Python<'py> {
        self.py
    }

    /// The arguments by parameter, of which the first `positional` may be given by place; None for a call that does not
    /// fit.
    pub fn bind<const N: usize>(
        &self,
        parameters: [&Bound<'py, PyString>; N],
        positional: usize,
    ) -> Option<[Option<Borrowed<'a, 'py, PyAny>>; N]> {
        let mut found = [None; N];
        if self.positional > positional {
            return None;
        }
        // SAFETY: B6: the interpreter keeps arguments alive during the call, and none is NULL.
        let borrow = |value: &*mut ffi::PyObject| unsafe { Borrowed::from_ptr(self.py, *value) };
        for (place, value) in found.iter_mut().zip(&self.values[..self.positional]) {
            *place = Some(borrow(value));
        }
        let named = self.values[self.positional..].iter();
        for (name, value) in self.names.iter().flat_map(|names| names.iter()).zip(named) {
            // Names in source code are interned; one that is not goes the long way.
            let place = parameters
                .iter()
                .position(|parameter| name.is(*parameter))?;
            if found[place].replace(borrow(value)).is_some() {
                return None;
            }
        }
        Some(found)
    }

    /// The first of at least one.
    fn first(&self) -> Borrowed<'a, 'py, PyAny> {
        // SAFETY: B6: as in `bind`.
        unsafe { Borrowed::from_ptr(self.py, self.values[0]) }
    }
}

impl CoroutineFunction {
    /// The function that makes coroutines of this kind.
    ///
    /// # Errors
    /// AttributeError when asyncio has no such function.
    pub fn create(py: Python<'_>, kind: Kind) -> PyResult<Bound<'_, Self>> {
        let originals = crate::imports::imports(py)?.originals.bind(py);
        let original = originals.as_any().get_item(kind.qualname())?;
        let function = Bound::new(
            py,
            Self {
                vectorcall,
                kind,
                original: original.clone().unbind(),
            },
        )?;
        for attribute in ["__name__", "__qualname__", "__doc__"] {
            function.setattr(attribute, original.getattr(attribute)?)?;
        }
        function.setattr("__module__", "riata")?;
        Ok(function)
    }

    fn start<'py>(&self, call: &Arguments<'_, 'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = call.py;
        let body = match self.kind {
            Kind::Sleep => {
                let parameters = [intern!(py, "delay"), intern!(py, "result")];
                let Some([Some(delay), result]) = call.bind(parameters, 2) else {
                    return Ok(None);
                };
                let result = result.map(|result| result.to_owned().unbind());
                Body::Sleep(Sleep::Created(delay.to_owned().unbind(), result))
            }
            Kind::Wait => {
                let parameters = [
                    intern!(py, "fs"),
                    intern!(py, "timeout"),
                    intern!(py, "return_when"),
                ];
                let Some([Some(futures), timeout, until]) = call.bind(parameters, 1) else {
                    return Ok(None);
                };
                let owned = |value: Borrowed<'_, 'py, PyAny>| value.to_owned().unbind();
                let (timeout, until) = (timeout.map(owned), until.map(owned));
                Body::Wait(Wait::Created(owned(futures), timeout, until))
            }
            Kind::WaitFor => {
                let parameters = [intern!(py, "fut"), intern!(py, "timeout")];
                let Some([Some(future), Some(timeout)]) = call.bind(parameters, 2) else {
                    return Ok(None);
                };
                let (future, timeout) = (future.to_owned().unbind(), timeout.to_owned().unbind());
                Body::WaitFor(WaitFor::Created(future, timeout))
            }
            Kind::WaitForOne
            | Kind::NextCompleted
            | Kind::GroupEnter
            | Kind::GroupExit
            | Kind::TimeoutEnter
            | Kind::TimeoutExit => {
                return Ok(None); // methods
            }
            Kind::Stream(method) => {
                let Some(step) = method.begin(call) else {
                    return Ok(None);
                };
                Body::Stream(step)
            }
            Kind::Method(method) => {
                let step = match method {
                    Method::QueuePut | Method::ConditionWaitFor => {
                        let second = match method {
                            Method::QueuePut => intern!(py, "item"),
                            _ => intern!(py, "predicate"),
                        };
                        let parameters = [intern!(py, "self"), second];
                        match call.bind(parameters, 2) {
                            Some([Some(owner), Some(item)]) => method.step(&owner, Some(&item)),
                            _ => None,
                        }
                    }
                    Method::Exit if call.positional == 4 && call.names.is_none() => {
                        method.step(&call.first(), None)
                    }
                    Method::Exit => None,
                    _ => match call.bind([intern!(py, "self")], 1) {
                        Some([Some(owner)]) => method.step(&owner, None),
                        _ => None,
                    },
                };
                let Some(step) = step else { return Ok(None) };
                Body::Sync(step)
            }
        };
        Coroutine::create(py, self.kind, body).map(|coroutine| Some(coroutine.into_any()))
    }

    fn call<'py>(&self, call: &Arguments<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(coroutine) = self.start(call)? {
            return Ok(coroutine);
        }
        let py = call.py;
        // SAFETY: B6: as in `bind`.
        let borrow =
            |value: &*mut ffi::PyObject| unsafe { Borrowed::from_ptr(py, *value).to_owned() };
        let (given, named) = call.values.split_at(call.positional);
        let options = PyDict::new(py);
        for (name, value) in call.names.iter().flat_map(|names| names.iter()).zip(named) {
            options.set_item(name, borrow(value))?;
        }
        let given = PyTuple::new(py, given.iter().map(borrow))?;
        self.original.bind(py).call(given, Some(&options))
    }
}

unsafe extern "C" fn vectorcall(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    flagged: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: B6: called by the interpreter, which is initialized and holds the GIL, for a CoroutineFunction, with as many
    // values as the count says, and one more for each of `names`.
    let call = |py: Python<'_>| unsafe {
        let names =
            (!names.is_null()).then(|| Borrowed::from_ptr(py, names).cast_unchecked::<PyTuple>());
        let positional = ffi::PyVectorcall_NARGS(flagged).cast_unsigned();
        let count = positional + names.map_or(0, |names| names.len());
        let values = match count {
            0 => &[],
            _ => std::slice::from_raw_parts(values, count),
        };
        let this = Borrowed::from_ptr(py, object);
        let arguments = Arguments {
            py,
            values,
            positional,
            names,
        };
        this.cast_unchecked::<CoroutineFunction>()
            .get()
            .call(&arguments)
            .map(Bound::into_ptr)
    };
    let guarded = |py: Python<'_>| match catch_unwind(AssertUnwindSafe(|| call(py))) {
        Ok(Ok(object)) => object,
        Ok(Err(error)) => {
            error.restore(py);
            std::ptr::null_mut()
        }
        Err(_) => {
            PyRuntimeError::new_err("riata panicked; the message is on stderr").restore(py);
            std::ptr::null_mut()
        }
    };
    // SAFETY: B6: as above. Attaching tells PyO3 that references may be dropped at once.
    unsafe { Python::attach_unchecked(guarded) }
}

/// `tp_descr_get`: a method of `instance`, as any function in a class is.
unsafe extern "C" fn bind(
    object: *mut ffi::PyObject,
    instance: *mut ffi::PyObject,
    _owner: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: B6: called by the interpreter with live objects, but for an instance that is NULL or None where the class
    // is asked.
    unsafe {
        match instance.is_null() || instance == ffi::Py_None() {
            true => ffi::Py_NewRef(object),
            false => PyMethod_New(object, instance),
        }
    }
}

#[pymethods]
impl CoroutineFunction {
    /// Only for the slot: the interpreter calls by vector.
    #[pyo3(signature = (*args, **options))]
    fn __call__<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        let mut values: Vec<Bound<'py, PyAny>> = args.iter().collect();
        let names = match options {
            None => None,
            Some(options) => {
                values.extend(options.values());
                Some(options.keys().to_tuple())
            }
        };
        let pointers: Vec<*mut ffi::PyObject> = values.iter().map(Bound::as_ptr).collect();
        self.call(&Arguments {
            py,
            values: &pointers,
            positional: args.len(),
            names: names.as_ref().map(|names| names.as_borrowed()),
        })
    }

    /// Only for the slot: `bind` stands there.
    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        instance: Option<&Bound<'py, PyAny>>,
        _owner: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        match instance {
            None => Ok(slf.clone().into_any()),
            // SAFETY: B4: two live objects; a new reference, or NULL with an exception set.
            Some(instance) => unsafe {
                Bound::from_owned_ptr_or_err(py, PyMethod_New(slf.as_ptr(), instance.as_ptr()))
            },
        }
    }

    /// What else a function has: asyncio's own.
    fn __getattr__<'py>(&self, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        self.original.bind(name.py()).getattr(name)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        format!(
            "<function {} at {:#x}>",
            slf.get().kind.qualname(),
            slf.as_ptr().addr()
        )
    }

    fn __reduce__(&self) -> &'static str {
        self.kind.qualname()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if is_unwritten(self) {
            return Ok(());
        }
        visit.call(&self.original)
    }
}

/// Makes the native coroutine functions and puts them into `module`; tells the interpreter where their class keeps the
/// function to call. Called once, while the module is made.
///
/// # Errors
/// AttributeError when asyncio has no such function.
pub fn install(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    for kind in [Kind::Sleep, Kind::Wait, Kind::WaitFor] {
        let function = CoroutineFunction::create(py, kind)?;
        let field = std::ptr::from_ref(function.get()).addr() - function.as_ptr().addr();
        // SAFETY: B6: `vectorcall` is the first field of every instance, which is where this one has it; the type has
        // `tp_call` and `tp_descr_get`, as the flags demand, and no subclasses.
        unsafe {
            let class = CoroutineFunction::type_object_raw(py);
            (*class).tp_vectorcall_offset = field.cast_signed();
            (*class).tp_descr_get = Some(bind);
            (*class).tp_flags |=
                ffi::Py_TPFLAGS_HAVE_VECTORCALL | ffi::Py_TPFLAGS_METHOD_DESCRIPTOR;
            ffi::PyType_Modified(class);
        }
        module.add(kind.qualname(), function)?;
    }
    Ok(())
}
