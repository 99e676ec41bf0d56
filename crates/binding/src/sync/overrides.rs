//! Which methods a Python subclass of a native class has of its own.

use pyo3::PyTypeInfo;
use pyo3::prelude::*;
use pyo3::types::PyType;

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
