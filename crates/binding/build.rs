//! A debug build's calls into the interpreter go by way of `switching`: the linker puts its functions before them.

/// What may run Python code, and what `src/switching.rs` has a function for.
const WRAPPED: [&str; 27] = [
    "PyErr_CheckSignals",
    "PyIter_Next",
    "PyIter_Send",
    "PyNumber_Add",
    "PyNumber_Index",
    "PyObject_Call",
    "PyObject_CallNoArgs",
    "PyObject_CallOneArg",
    "PyObject_DelItem",
    "PyObject_GetAttr",
    "PyObject_GetBuffer",
    "PyObject_GetItem",
    "PyObject_GetIter",
    "PyObject_Hash",
    "PyObject_IsInstance",
    "PyObject_IsSubclass",
    "PyObject_IsTrue",
    "PyObject_Repr",
    "PyObject_RichCompare",
    "PyObject_SetAttr",
    "PyObject_SetItem",
    "PyObject_Size",
    "PyObject_Str",
    "PyObject_Vectorcall",
    "PyObject_VectorcallDict",
    "PyObject_VectorcallMethod",
    "_Py_Dealloc",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(switching)");
    if std::env::var("PROFILE").as_deref() != Ok("debug") {
        return;
    }
    println!("cargo:rustc-cfg=switching");
    for name in WRAPPED {
        println!("cargo:rustc-cdylib-link-arg=-Wl,--wrap={name}");
    }
}
