//! Methods by the interpreter's vector convention, put into their class by hand.
//!
//! PyO3 gives a method with `**options` the old calling convention, a tuple and a dictionary a call, and one with
//! `*args` a walk through names and defaults. The methods here are called for every task, callback and timer.

#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::PyTypeInfo;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::impl_::trampoline::{MethodDef, fastcall_kw};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::combine::TaskGroup;
use crate::combine::task_group_create as group;
use crate::event_loop::EventLoop;
use crate::event_loop::schedule::{CallAt, CallLater, CallSoon, CallSoonThreadsafe};
use crate::event_loop::tasks::CreateTask;
use crate::gevent::GreenLoop;
use crate::gevent::surface::RunCallback;

/// The arguments of one call, as the interpreter passed them.
pub struct FastCall<'a, 'py> {
    py: Python<'py>,
    name: &'static str,
    values: &'a [*mut ffi::PyObject],
    positional: usize,
    names: Option<Borrowed<'a, 'py, PyTuple>>,
}

impl<'a, 'py> FastCall<'a, 'py> {
    fn borrow(&self, value: *mut ffi::PyObject) -> Borrowed<'a, 'py, PyAny> {
        // SAFETY: B6: the interpreter keeps arguments alive during the call, and none is NULL.
        unsafe { Borrowed::from_ptr(self.py, value) }
    }

    /// The positional arguments.
    pub fn positional(&self) -> impl ExactSizeIterator<Item = Borrowed<'a, 'py, PyAny>> {
        self.values[..self.positional]
            .iter()
            .map(|value| self.borrow(*value))
    }

    /// The keywords with their values.
    pub fn keywords(&self) -> impl Iterator<Item = (Bound<'py, PyAny>, Borrowed<'a, 'py, PyAny>)> {
        let values = self.values[self.positional..]
            .iter()
            .map(|value| self.borrow(*value));
        self.names.iter().flat_map(|names| names.iter()).zip(values)
    }

    /// The arguments of a method `(first, …, *args, context=None)` with `N` parameters before `args`, which may
    /// be given by name too, as long as they are all that is given.
    ///
    /// # Errors
    /// TypeError, in Python's words, for parameters that are missing, unknown or given twice.
    #[inline(always)]
    pub fn callback_arguments<const N: usize>(
        &self,
        parameters: [&'static str; N],
    ) -> PyResult<CallbackArguments<'a, 'py, N>> {
        let mut found: [Option<Borrowed<'a, 'py, PyAny>>; N] = [None; N];
        for (place, value) in found.iter_mut().zip(self.positional()) {
            *place = Some(value);
        }
        let context = match self.names {
            None if self.positional >= N => None,
            _ => self.named_arguments(parameters, &mut found)?,
        };
        let rest = self.values[self.positional.min(N)..self.positional].iter();
        let rest = PyTuple::new(self.py, rest.map(|value| self.borrow(*value)))?;
        Ok(CallbackArguments {
            parameters: found.map(|value| value.unwrap_or_else(|| self.none())),
            rest,
            context,
        })
    }

    /// The arguments given by name; the context is returned. All parameters are found, or it is an error.
    #[cold]
    fn named_arguments<const N: usize>(
        &self,
        parameters: [&'static str; N],
        found: &mut [Option<Borrowed<'a, 'py, PyAny>>; N],
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut context = None;
        for (keyword, value) in self.keywords() {
            if is_named(&keyword, intern!(self.py, "context"))? {
                context = Some(value.to_owned());
                continue;
            }
            let keyword = keyword.str()?.to_string_lossy().into_owned();
            match parameters
                .iter()
                .position(|parameter| **parameter == keyword)
            {
                None => {
                    return Err(
                        self.wrong(format!("got an unexpected keyword argument '{keyword}'"))
                    );
                }
                Some(place) if found[place].is_some() => {
                    return Err(self.wrong(format!("got multiple values for argument '{keyword}'")));
                }
                Some(place) => found[place] = Some(value),
            }
        }
        let mut missing = parameters
            .iter()
            .zip(found)
            .filter(|(_, value)| value.is_none());
        if let Some((parameter, _)) = missing.next() {
            let count = 1 + missing.count();
            let plural = if count == 1 { "" } else { "s" };
            return Err(self.wrong(format!(
                "missing {count} required positional argument{plural}: '{parameter}'"
            )));
        }
        Ok(context)
    }

    /// The arguments of a method `(parameter, *args)`.
    ///
    /// # Errors
    /// TypeError, in Python's words.
    #[inline(always)]
    pub fn function_and_arguments(
        &self,
        parameter: &'static str,
    ) -> PyResult<(Borrowed<'a, 'py, PyAny>, Bound<'py, PyTuple>)> {
        if self.names.is_some()
            && let Some((keyword, _)) = self.keywords().next()
        {
            return Err(self.wrong(format!("got an unexpected keyword argument '{keyword}'")));
        }
        let Some((first, rest)) = self.values.split_first() else {
            return Err(self.wrong(format!(
                "missing 1 required positional argument: '{parameter}'"
            )));
        };
        let rest = rest.iter().map(|value| self.borrow(*value));
        Ok((self.borrow(*first), PyTuple::new(self.py, rest)?))
    }

    fn none(&self) -> Borrowed<'a, 'py, PyAny> {
        // SAFETY: B4: None lives for ever.
        unsafe { Borrowed::from_ptr(self.py, ffi::Py_None()) }
    }

    fn wrong(&self, what: String) -> PyErr {
        PyTypeError::new_err(format!("{}() {what}", self.name))
    }
}

/// What `callback_arguments` found.
pub struct CallbackArguments<'a, 'py, const N: usize> {
    /// The named parameters, in order.
    pub parameters: [Borrowed<'a, 'py, PyAny>; N],
    /// What the callback is to be given.
    pub rest: Bound<'py, PyTuple>,
    /// The context, if one was given.
    pub context: Option<Bound<'py, PyAny>>,
}

/// Whether a keyword is `name`, which is interned, as names in source code are.
pub fn is_named(keyword: &Bound<'_, PyAny>, name: &Bound<'_, PyString>) -> PyResult<bool> {
    Ok(keyword.is(name) || keyword.eq(name)?)
}

/// A method of the loop, or of another class.
pub trait FastMethod {
    /// The class.
    type Class: PyTypeInfo;
    /// What Python calls it.
    const NAME: &'static str;
    /// The same, for the interpreter.
    const C_NAME: &'static std::ffi::CStr;
    /// Its docstring, with the signature that `inspect` shows.
    const DOC: &'static std::ffi::CStr;

    /// Calls it.
    ///
    /// # Errors
    /// What the method raises.
    fn call<'py>(
        slf: &Bound<'py, Self::Class>,
        call: &FastCall<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>>;
}

const fn definition<M: FastMethod>(call: ffi::PyCFunctionFastWithKeywords) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: M::C_NAME.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunctionFastWithKeywords: call,
        },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: M::DOC.as_ptr(),
    }
}

static mut METHODS: [ffi::PyMethodDef; 5] = [
    definition::<CreateTask>(raw::<CreateTask>),
    definition::<CallSoon>(raw::<CallSoon>),
    definition::<CallSoonThreadsafe>(fastcall_kw::<Entry<CallSoonThreadsafe>>),
    definition::<CallLater>(raw::<CallLater>),
    definition::<CallAt>(raw::<CallAt>),
];

static mut GREEN_METHODS: [ffi::PyMethodDef; 1] = [definition::<RunCallback>(raw::<RunCallback>)];

static mut GROUP_METHODS: [ffi::PyMethodDef; 1] =
    [definition::<group::CreateTask>(raw::<group::CreateTask>)];

/// Puts the methods into their classes. Called once, while the module is made.
///
/// # Errors
/// What the interpreter raises when memory runs out.
pub fn install(py: Python<'_>) -> PyResult<()> {
    // SAFETY: B6: the definitions are static, and only read.
    unsafe {
        install_in::<EventLoop>(py, (&raw mut METHODS).cast(), 5)?;
        install_in::<GreenLoop>(py, (&raw mut GREEN_METHODS).cast(), 1)?;
        install_in::<TaskGroup>(py, (&raw mut GROUP_METHODS).cast(), 1)
    }
}

/// # Safety
/// There are `count` definitions, which live for ever and are of methods of `T`.
unsafe fn install_in<T: PyTypeInfo>(
    py: Python<'_>,
    definitions: *mut ffi::PyMethodDef,
    count: usize,
) -> PyResult<()> {
    let class = T::type_object_raw(py);
    // SAFETY: B6: a heap type that no instance and no subclass exists of yet; by the caller's promise.
    unsafe {
        for place in 0..count {
            let definition = definitions.add(place);
            let method =
                Bound::from_owned_ptr_or_err(py, ffi::PyDescr_NewMethod(class, definition))?;
            if ffi::PyDict_SetItemString((*class).tp_dict, (*definition).ml_name, method.as_ptr())
                < 0
            {
                return Err(PyErr::fetch(py));
            }
        }
        ffi::PyType_Modified(class);
    }
    Ok(())
}

unsafe extern "C" fn raw<M: FastMethod>(
    slf: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    positional: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: B6: called by the interpreter, which is initialized and holds the GIL, as `called` asks for. Attaching tells
    // PyO3 that references may be dropped at once.
    unsafe {
        Python::attach_unchecked(|py| match called::<M>(py, slf, values, positional, names) {
            Ok(object) => object,
            Err(error) => {
                error.restore(py);
                std::ptr::null_mut()
            }
        })
    }
}

/// PyO3's own entry, for what threads call that have no frame of PyO3's below: attaching would ask the interpreter for the
/// GIL there, which they have.
struct Entry<M>(PhantomData<M>);

impl<M: FastMethod> MethodDef<fastcall_kw::Func> for Entry<M> {
    const METH: fastcall_kw::Func = called::<M>;
}

/// # Safety
/// Called with the GIL, through a descriptor that has checked `slf` to be of the class, with `positional` values followed
/// by one for each of `names`.
#[inline]
unsafe fn called<M: FastMethod>(
    py: Python<'_>,
    slf: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    positional: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> PyResult<*mut ffi::PyObject> {
    // SAFETY: B6: by the caller's promise.
    let call = || unsafe {
        let names =
            (!names.is_null()).then(|| Borrowed::from_ptr(py, names).cast_unchecked::<PyTuple>());
        let positional = positional.cast_unsigned();
        let count = positional + names.map_or(0, |names| names.len());
        let values = match count {
            0 => &[],
            _ => std::slice::from_raw_parts(values, count),
        };
        let slf = Borrowed::from_ptr(py, slf);
        M::call(
            &slf.cast_unchecked::<M::Class>(),
            &FastCall {
                py,
                name: M::NAME,
                values,
                positional,
                names,
            },
        )
        .map(Bound::into_ptr)
    };
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(outcome) => outcome,
        Err(_) => Err(PyRuntimeError::new_err(
            "riata panicked; the message is on stderr",
        )),
    }
}
