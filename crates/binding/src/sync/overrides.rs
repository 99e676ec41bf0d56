//! Which methods a Python subclass of a native class has of its own.
//!
//! Asked whenever an object is made, of a class that hardly ever changes: so an answer is kept for as long as the
//! interpreter's own cache of methods would keep one, by the version of the class.

#![allow(unsafe_code)]

use std::ffi::c_uint;

use pyo3::PyTypeInfo;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::cell::GilCell;

/// Whether `class` has another method under one of `names` than the native class `T`.
///
/// # Errors
/// AttributeError when `T` has no such method.
pub fn overrides_any<T: PyTypeInfo>(class: &Bound<'_, PyType>, names: &[&str]) -> PyResult<bool> {
    let native = class.py().get_type::<T>();
    for name in names {
        if !class.getattr(*name)?.is(native.getattr(*name)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What was found out about the class that was asked for last.
pub struct Noted<A>(GilCell<Option<(usize, c_uint, A)>>);

impl<A: Copy> Noted<A> {
    /// Of no class yet.
    pub const fn nothing() -> Self {
        Self(GilCell::new(None))
    }

    /// What `ask` says of `class`, which is asked again once the class, or one that it derives from, has changed.
    ///
    /// # Errors
    /// Those of `ask`.
    pub fn of(&self, class: &Bound<'_, PyType>, ask: impl FnOnce() -> PyResult<A>) -> PyResult<A> {
        let py = class.py();
        let address = class.as_ptr().addr();
        let found = version(class);
        if let Some((known, then, answer)) = self.0.get(py)
            && (known, Some(then)) == (address, found)
        {
            return Ok(answer);
        }
        let answer = ask()?;
        // The class may have changed while it was asked.
        if let Some(found) = found
            && version(class) == Some(found)
        {
            self.0.set(py, Some((address, found, answer)));
        }
        Ok(answer)
    }
}

/// The number that stands for `class` as it is now, and never again for anything else: `PyType_Modified` takes it from a
/// class that changes and from all that derive from it, and a look-up gives a new one (`Objects/typeobject.c`). None
/// while there is none.
fn version(class: &Bound<'_, PyType>) -> Option<c_uint> {
    // SAFETY: B13: a live class, read under the GIL.
    let version = unsafe { (*class.as_type_ptr()).tp_version_tag };
    (version != 0).then_some(version)
}
