//! The coroutine methods of streams, and how they get into their classes.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3::{PyTraverseError, PyVisit};

use super::reader::StreamReader;
use super::reads::{Read, ReadExactly, ReadLine, ReadUntil, WaitForData};
use super::writer::{Drain, StreamWriter};
use crate::combine::body::{Body, Kind, Stepped};
use crate::combine::delegate::Delegate;
use crate::combine::function::{Arguments, CoroutineFunction};
use crate::combine::waits::Call;

/// What is left to do in a coroutine of a stream's.
pub enum Step {
    /// `StreamReader.read`
    Read(Call<Read>),
    /// `StreamReader.readexactly`
    ReadExactly(Call<ReadExactly>),
    /// `StreamReader.readuntil`
    ReadUntil(Call<ReadUntil>),
    /// `StreamReader.readline`
    ReadLine(Call<ReadLine>),
    /// `StreamReader._wait_for_data`
    WaitForData(Call<WaitForData>),
    /// `StreamWriter.drain`
    Drain(Drain),
}

impl Step {
    /// One step, which throws an exception where it waits if there is one.
    #[inline]
    pub fn step(self, py: Python<'_>, thrown: Option<PyErr>) -> Stepped {
        match self {
            Self::Read(call) => call.step(py, thrown, |call| Body::Stream(Self::Read(call))),
            Self::ReadExactly(call) => {
                call.step(py, thrown, |call| Body::Stream(Self::ReadExactly(call)))
            }
            Self::ReadUntil(call) => {
                call.step(py, thrown, |call| Body::Stream(Self::ReadUntil(call)))
            }
            Self::ReadLine(call) => {
                call.step(py, thrown, |call| Body::Stream(Self::ReadLine(call)))
            }
            Self::WaitForData(call) => {
                call.step(py, thrown, |call| Body::Stream(Self::WaitForData(call)))
            }
            Self::Drain(drain) => drain.step(py, thrown),
        }
    }

    /// What it awaits.
    pub fn awaited(&self, py: Python<'_>) -> Option<Delegate> {
        match self {
            Self::Read(call) => call.awaited(py),
            Self::ReadExactly(call) => call.awaited(py),
            Self::ReadUntil(call) => call.awaited(py),
            Self::ReadLine(call) => call.awaited(py),
            Self::WaitForData(call) => call.awaited(py),
            Self::Drain(drain) => drain.awaited(py),
        }
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Read(call) => call.traverse(visit),
            Self::ReadExactly(call) => call.traverse(visit),
            Self::ReadUntil(call) => {
                call.method.traverse(visit)?;
                call.traverse(visit)
            }
            Self::ReadLine(call) => call.traverse(visit),
            Self::WaitForData(call) => call.traverse(visit),
            Self::Drain(drain) => drain.traverse(visit),
        }
    }
}

/// A coroutine method of a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `StreamReader.read`
    Read,
    /// `StreamReader.readexactly`
    ReadExactly,
    /// `StreamReader.readuntil`
    ReadUntil,
    /// `StreamReader.readline`
    ReadLine,
    /// `StreamReader._wait_for_data`
    WaitForData,
    /// `StreamWriter.drain`
    Drain,
}

/// All of them.
pub const METHODS: [Method; 6] = [
    Method::Read,
    Method::ReadExactly,
    Method::ReadUntil,
    Method::ReadLine,
    Method::WaitForData,
    Method::Drain,
];

impl Method {
    /// asyncio's own method: the module, and the name there.
    pub fn original(self) -> (&'static str, &'static str) {
        let name = match self {
            Self::Read => "StreamReader.read",
            Self::ReadExactly => "StreamReader.readexactly",
            Self::ReadUntil => "StreamReader.readuntil",
            Self::ReadLine => "StreamReader.readline",
            Self::WaitForData => "StreamReader._wait_for_data",
            Self::Drain => "StreamWriter.drain",
        };
        ("asyncio.streams", name)
    }

    /// `__qualname__`
    pub fn qualname(self) -> &'static str {
        self.original().1
    }

    /// How many arguments it needs, `self` among them.
    pub fn parameters(self) -> usize {
        match self {
            Self::ReadExactly | Self::WaitForData => 2,
            _ => 1,
        }
    }

    /// What a call does; None for one that asyncio's own method has to judge.
    pub fn begin(self, call: &Arguments<'_, '_>) -> Option<Step> {
        let py = call.py();
        let name = intern!(py, "self");
        if self == Self::Drain {
            let [writer] = call.bind([name], 1)?;
            let writer = writer?.cast::<StreamWriter>().ok()?;
            return Some(Step::Drain(Drain::Created(writer.to_owned().unbind())));
        }
        let (owner, given) = match self {
            Self::ReadLine => {
                let [owner] = call.bind([name], 1)?;
                (owner, None)
            }
            _ => {
                let second = match self {
                    Self::ReadUntil => intern!(py, "separator"),
                    Self::WaitForData => intern!(py, "func_name"),
                    _ => intern!(py, "n"),
                };
                let [owner, given] = call.bind([name, second], 2)?;
                (owner, given)
            }
        };
        let owner = owner?.to_owned().cast_into::<StreamReader>().ok()?;
        if owner.get().overrides_reads {
            return None;
        }
        Some(match self {
            Self::Read => {
                let count = given.map_or(Some(-1), |given| given.extract().ok())?;
                Step::Read(Call::new(&owner, Read::of(count)))
            }
            Self::ReadExactly => {
                let count = given?.extract().ok()?;
                Step::ReadExactly(Call::new(&owner, ReadExactly::of(count)))
            }
            Self::ReadUntil => {
                let separator = given.map_or_else(
                    || PyBytes::new(py, b"\n").into_any().unbind(),
                    |given| given.to_owned().unbind(),
                );
                Step::ReadUntil(Call::new(&owner, ReadUntil::of(separator)))
            }
            Self::WaitForData => {
                let function = given?.extract().ok()?;
                Step::WaitForData(Call::new(&owner, WaitForData(function)))
            }
            Self::ReadLine | Self::Drain => Step::ReadLine(Call::new(&owner, ReadLine::of(py))),
        })
    }
}

/// Puts the methods into their classes. Called once, while the module is made.
///
/// # Errors
/// AttributeError when asyncio has no such method.
pub fn install(py: Python<'_>) -> PyResult<()> {
    let (reader, writer) = (py.get_type::<StreamReader>(), py.get_type::<StreamWriter>());
    for method in METHODS {
        let class = match method {
            Method::Drain => &writer,
            _ => &reader,
        };
        let function = CoroutineFunction::create(py, Kind::Stream(method))?;
        let name = function.getattr("__name__")?.extract::<String>()?;
        class.as_any().setattr(name, function)?;
    }
    Ok(())
}
