//! The private attributes that locks and queues have in common with asyncio's.

/// `_loop` of a class that has a `bound: LoopBound`.
macro_rules! loop_attribute {
    ($class:ident) => {
        #[pymethods]
        impl $class {
            #[getter]
            fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
                self.bound.get(py)
            }

            #[setter(_loop)]
            fn set_loop(&self, py: Python<'_>, event_loop: Option<&Bound<'_, PyAny>>) {
                self.bound.set(py, event_loop);
            }
        }
    };
}

/// `name` of a class, which is the line `field`: a `collections.deque` to Python.
macro_rules! line_attribute {
    ($class:ident, $name:ident, $setter:ident, $field:ident) => {
        #[pymethods]
        impl $class {
            #[getter]
            fn $name<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                self.$field.show(py)
            }

            #[setter($name)]
            fn $setter(&self, py: Python<'_>, waiters: Option<Py<PyAny>>) {
                self.$field.set(py, waiters);
            }
        }
    };
}

/// The same; None while nobody has waited.
macro_rules! late_line_attribute {
    ($class:ident, $name:ident, $setter:ident, $field:ident) => {
        #[pymethods]
        impl $class {
            #[getter]
            fn $name<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
                self.$field.show_unless_empty(py)
            }

            #[setter($name)]
            fn $setter(&self, py: Python<'_>, waiters: Option<Py<PyAny>>) {
                self.$field.set(py, waiters);
            }
        }
    };
}

pub(super) use {late_line_attribute, line_attribute, loop_attribute};
