//! Objects whose fields were not written yet, as the collector may see them.
//!
//! PyO3 has an object made by `object.__new__` and writes the fields afterwards. Python 3.11 makes the object's
//! dictionary in between (`_PyObject_InitializeDict`; of a class that declares one, not of a Python subclass, whose
//! dictionary comes with its first attribute). That may start the collector, which already knows the object: all zeros
//! but for its header. References that cannot be NULL are NULL then. From 3.12 on the collector waits for the
//! interpreter's next safe point.

#![allow(unsafe_code)]

/// Whether `fields` are still the zeros that the allocator left: nothing is there to be visited.
///
/// Asked first by `__traverse__` of every class that is declared with `dict`.
pub fn is_unwritten<T>(fields: &T) -> bool {
    let first = std::ptr::from_ref(fields).cast::<usize>();
    let words = match align_of::<T>() >= align_of::<usize>() {
        true => size_of::<T>() / size_of::<usize>(),
        false => 0,
    };
    // SAFETY: B3: inside `fields`, aligned, and read as plain memory, whatever is there. The reads are volatile, as
    // zeros are no valid `T`: the compiler must not conclude from the type what they give.
    (0..words).all(|word| unsafe { first.add(word).read_volatile() } == 0)
}
