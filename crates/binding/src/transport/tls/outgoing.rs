//! From the program to the peer: what a turn writes is encrypted at its end, together.
//!
//! It is encrypted at once where waiting would be noticed: when much waits, when the program's own high-water mark is
//! reached, when the loop does not run in this thread, and before anything that ends the connection or tells how much
//! waits. While the transport below has enough, nothing is encrypted but what closing needs.

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMemoryView};
use riata_engine::stream::Flow;

use super::objects::{Answer, answer, is_interrupt, logger, objects};
use super::protocol::{Phase, State, TlsProtocol};
use crate::context;
use crate::event_loop::EventLoop;
use crate::imports::call_exception_handler;
use crate::part::part;
use crate::unwind;

/// How much is encrypted in one call, in bytes: a record, so that what goes through the `MemoryBIO` stays in the
/// processor's nearest cache.
const PIECE: usize = 16 * 1024;

/// Writes of at least so many bytes are encrypted where they are; smaller ones are put together first.
const LARGE: usize = PIECE;

/// How much is handed to the transport below at once, in bytes.
const BATCH: usize = 256 * 1024;

/// With so many bytes to encrypt, they do not wait for the turn's end: a socket's own high-water mark.
const MUCH: usize = 64 * 1024;

impl State {
    /// Forgets the first `count` bytes that were to be encrypted. What was encrypted whole is left in `done`.
    fn encrypted(&mut self, mut count: usize, py: Python<'_>, done: &mut Vec<Py<PyBytes>>) {
        self.backlog_size = self.backlog_size.saturating_sub(count);
        while let Some(first) = self.backlog.front() {
            let left = first.as_bytes(py).len() - self.backlog_done;
            if count < left {
                self.backlog_done += count;
                return;
            }
            count -= left;
            self.backlog_done = 0;
            done.extend(self.backlog.pop_front());
        }
    }

    /// The next bytes to encrypt, put together, if the first are few and others follow.
    fn small_writes<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let sizes = self.backlog.iter().map(|chunk| chunk.as_bytes(py).len());
        let (mut count, mut size) = (0, 0);
        for (index, chunk) in sizes.enumerate() {
            let chunk = match index {
                0 => chunk - self.backlog_done,
                _ => chunk,
            };
            if chunk >= LARGE || size + chunk > PIECE {
                break;
            }
            (count, size) = (count + 1, size + chunk);
        }
        if count < 2 {
            return Ok(None);
        }
        PyBytes::new_with(py, size, |mut place| {
            for (index, chunk) in self.backlog.iter().take(count).enumerate() {
                let chunk = match index {
                    0 => &chunk.as_bytes(py)[self.backlog_done..],
                    _ => chunk.as_bytes(py),
                };
                let (here, after) = place.split_at_mut(chunk.len());
                here.copy_from_slice(chunk);
                place = after;
            }
            Ok(())
        })
        .map(Some)
    }
}

impl TlsProtocol {
    /// Takes what the program writes.
    ///
    /// # Errors
    /// SystemExit and KeyboardInterrupt that a protocol raised.
    pub(super) fn write(
        slf: &Bound<'_, Self>,
        chunks: impl IntoIterator<Item = Py<PyBytes>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let phase = this.with(py, |state| state.phase);
        if !matches!(phase, Phase::Handshake | Phase::Wrapped) {
            return this.note_lost_write(py);
        }
        let event_loop = this.event_loop(py)?;
        let runs_here = event_loop.get().runs_here(py);
        let (now, enlist, added) = this.with(py, |state| {
            let before = state.backlog_size;
            for chunk in chunks {
                state.backlog_size += chunk.as_bytes(py).len();
                state.backlog.push_back(chunk);
            }
            let added = state.backlog_size - before;
            let size = i64::try_from(state.backlog_size).unwrap_or(i64::MAX);
            let waits = runs_here
                && state.context.is_some()
                && state.backlog_size < MUCH
                && size < state.writes.high;
            match state.phase {
                Phase::Wrapped if waits => {
                    (false, !std::mem::replace(&mut state.enlisted, true), added)
                }
                Phase::Wrapped => (true, false, added),
                _ => (false, false, 0),
            }
        });
        if now {
            return Self::encrypt_or_fail(slf);
        }
        event_loop.get().unsent.with(py, |unsent| *unsent += added);
        if enlist {
            let writer = slf.clone().unbind();
            event_loop
                .get()
                .encrypters
                .with(py, |encrypters| encrypters.push_back(writer));
        }
        Ok(())
    }

    /// A write to a connection that is closed: dropped, and from the fifth on told of.
    fn note_lost_write(&self, py: Python<'_>) -> PyResult<()> {
        let threshold: u32 = objects(py)?
            .constants
            .bind(py)
            .getattr(intern!(py, "LOG_THRESHOLD_FOR_CONNLOST_WRITES"))?
            .extract()?;
        let before = self.with(py, |state| {
            let before = state.lost_count;
            state.lost_count = before.saturating_add(1);
            before
        });
        if before >= threshold {
            logger(py)?.call_method1(intern!(py, "warning"), ("SSL connection is closed",))?;
        }
        Ok(())
    }

    /// The turn's end, or any other time at which what was written must leave.
    ///
    /// # Errors
    /// As `write`.
    pub fn encrypt_waiting(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let waits = slf.get().with(py, |state| {
            std::mem::take(&mut state.enlisted) && state.reads_data()
        });
        match waits {
            true => Self::encrypt_or_fail(slf),
            false => Ok(()),
        }
    }

    /// As `encrypt_waiting`, for a connection that is about to be cut: what fails is of no interest any more.
    pub fn encrypt_last(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let waits = slf.get().with(py, |state| {
            std::mem::take(&mut state.enlisted) && state.reads_data()
        });
        if waits {
            let _best_effort = Self::encrypt_pieces(slf, Extent::WhatIsTaken);
        }
    }

    fn encrypt_or_fail(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        match Self::encrypt(slf) {
            Err(error) if error.is_instance_of::<PyException>(py) => {
                let exception = error.into_value(py).into_bound(py).into_any();
                Self::fail(slf, Some(&exception), "Fatal error on SSL protocol")
            }
            outcome => outcome,
        }
    }

    /// Encrypts what waits, as far as the transport below takes it, and tells the program how much is left.
    ///
    /// # Errors
    /// What `ssl` raises but "not now"; what the transport below raises.
    pub(super) fn encrypt(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::encrypt_pieces(slf, Extent::WhatIsTaken)?;
        Self::process_outgoing(slf)
    }

    /// As `encrypt`, but everything: the connection is closing, and `close_notify` comes after it.
    ///
    /// # Errors
    /// As `encrypt`.
    pub(super) fn encrypt_everything(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::encrypt_pieces(slf, Extent::Everything)?;
        Self::process_outgoing(slf)
    }

    fn encrypt_pieces(slf: &Bound<'_, Self>, extent: Extent) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.with(py, |state| std::mem::replace(&mut state.encrypting, true)) {
            return Ok(()); // whoever is at it goes on with what came meanwhile
        }
        let outcome = Self::encrypt_next(slf, extent);
        this.with(py, |state| state.encrypting = false);
        outcome
    }

    fn encrypt_next(slf: &Bound<'_, Self>, extent: Extent) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let io = this.part(py, |state| &state.io)?;
        let (mut done, mut batch, mut size) = (Vec::new(), Vec::new(), 0);
        let outcome = loop {
            let paused = this.with(py, |state| state.lower_writing_paused);
            if paused && extent == Extent::WhatIsTaken {
                break Ok(());
            }
            let Some(piece) = this.next_piece(py)? else {
                break Ok(());
            };
            let outcome = unwind::call_method(&io, intern!(py, "write"), [&piece]);
            let count = match answer(py, outcome) {
                Ok(Answer::Again) => break Ok(()),
                Ok(Answer::Done(count)) => count.extract::<usize>()?,
                Err(error) => break Err(error),
            };
            this.with(py, |state| state.encrypted(count, py, &mut done));
            done.clear();
            if paused {
                continue;
            }
            let data = this.take_ciphertext(py)?;
            size += data.as_bytes().len();
            if !data.as_bytes().is_empty() {
                batch.push(data);
            }
            if size >= BATCH {
                size = 0;
                this.hand_on(py, std::mem::take(&mut batch))?;
            }
        };
        this.hand_on(py, batch)?;
        outcome
    }

    /// Takes what is encrypted.
    fn take_ciphertext<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let outgoing = self.part(py, |state| &state.outgoing)?;
        let data = unwind::call_method(&outgoing, intern!(py, "read"), [])?;
        Ok(data.cast_into()?)
    }

    /// Gives the transport below what is encrypted.
    fn hand_on(&self, py: Python<'_>, chunks: Vec<Bound<'_, PyBytes>>) -> PyResult<()> {
        match self.lower(py) {
            Some(lower) if !chunks.is_empty() => lower.write(py, chunks),
            _ => Ok(()),
        }
    }

    /// The next bytes to encrypt: where they are if they are many, else put together.
    fn next_piece<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if let Some(joined) = self.with(py, |state| state.small_writes(py))? {
            return Ok(Some(joined.into_any()));
        }
        let first = self.with(py, |state| {
            let first = state.backlog.front()?.bind(py).clone();
            Some((first, state.backlog_done))
        });
        let Some((first, done)) = first else {
            return Ok(None);
        };
        if done == 0 && first.as_bytes().len() <= PIECE {
            return Ok(Some(first.into_any()));
        }
        part(
            PyMemoryView::from(&first)?.as_any(),
            done,
            Some(done + PIECE),
        )
        .map(Some)
    }

    /// Hands what is encrypted to the transport below, unless that has enough.
    ///
    /// # Errors
    /// What the transport below raises.
    pub(super) fn pass_on(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.with(py, |state| state.lower_writing_paused) {
            return Ok(());
        }
        let data = this.take_ciphertext(py)?;
        match data.as_bytes().is_empty() {
            true => Ok(()),
            false => this.hand_on(py, vec![data]),
        }
    }

    /// As `pass_on`, and tells the program how much is left.
    ///
    /// # Errors
    /// As `pass_on`; SystemExit and KeyboardInterrupt that the protocol raised.
    pub(super) fn process_outgoing(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().ciphertext(py)? > 0 {
            Self::pass_on(slf)?;
        }
        Self::control_writing(slf)
    }

    /// How many bytes are encrypted and not handed on.
    fn ciphertext(&self, py: Python<'_>) -> PyResult<usize> {
        self.part(py, |state| &state.outgoing)?
            .getattr(intern!(py, "pending"))?
            .extract()
    }

    /// How many bytes the transport below does not have yet.
    ///
    /// # Errors
    /// As `write`.
    pub(super) fn write_buffer_size(slf: &Bound<'_, Self>) -> PyResult<usize> {
        let py = slf.py();
        Self::encrypt_waiting(slf)?;
        let size = slf.get().with(py, |state| state.backlog_size);
        Ok(slf.get().ciphertext(py)? + size)
    }

    // Flow control.

    /// Lets the program's protocol pause or resume, by how much waits.
    ///
    /// # Errors
    /// SystemExit and KeyboardInterrupt that it raised.
    pub(super) fn control_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let ciphertext = match this.with(py, |state| state.lower_writing_paused) {
            true => this.ciphertext(py)?,
            false => 0,
        };
        let flow = this.with(py, |state| {
            state.writes.look(ciphertext + state.backlog_size)
        });
        let (method, failed) = match flow {
            Flow::Unchanged => return Ok(()),
            Flow::Pause => (
                intern!(py, "pause_writing"),
                "protocol.pause_writing() failed",
            ),
            Flow::Resume => (
                intern!(py, "resume_writing"),
                "protocol.resume_writing() failed",
            ),
        };
        let Some(protocol) = this.app_protocol(py) else {
            return Ok(());
        };
        match unwind::call_method(&protocol, method, []) {
            Ok(_) => Ok(()),
            Err(error) if is_interrupt(py, &error) => Err(error),
            Err(error) => {
                let report = PyDict::new(py);
                report.set_item(intern!(py, "message"), failed)?;
                report.set_item(intern!(py, "exception"), error.into_value(py))?;
                let transport = this.with(py, |state| {
                    let transport = state.app_transport.as_ref();
                    transport.map(|transport| transport.clone_ref(py))
                });
                report.set_item(intern!(py, "transport"), transport)?;
                report.set_item(intern!(py, "protocol"), slf)?;
                call_exception_handler(this.event_loop(py)?.as_any(), &report)
            }
        }
    }

    /// The transport below has room again.
    ///
    /// # Errors
    /// As `encrypt`.
    pub(super) fn resume_lower_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        slf.get()
            .with(py, |state| state.lower_writing_paused = false);
        Self::process_outgoing(slf)?;
        match slf
            .get()
            .with(py, |state| state.reads_data() && state.backlog_size > 0)
        {
            true => Self::encrypt_or_fail(slf),
            false => Ok(()),
        }
    }
}

/// How far to encrypt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// As much as the transport below takes.
    WhatIsTaken,
    /// All of it.
    Everything,
}

impl EventLoop {
    /// Encrypts what was written since the last time, so that it leaves with what sockets have to send.
    ///
    /// # Errors
    /// SystemExit and KeyboardInterrupt that a protocol raised; the other connections keep their place.
    pub fn flush_encrypters(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        // TLS in TLS: what the inner one writes is for the outer one to encrypt, in the same turn.
        for _ in 0..DEEPEST {
            let mut left = this.encrypters.with(py, |encrypters| encrypters.len());
            if left == 0 {
                return Ok(());
            }
            while left > 0 {
                left -= 1;
                let Some(writer) = this
                    .encrypters
                    .with(py, |encrypters| encrypters.pop_front())
                else {
                    break;
                };
                let writer = writer.into_bound(py);
                match writer.get().context(py) {
                    Some(context) => context::run_in_or_copy(context.bind(py), || {
                        TlsProtocol::encrypt_waiting(&writer)
                    })?,
                    None => TlsProtocol::encrypt_waiting(&writer)?,
                }
            }
        }
        Ok(())
    }
}

/// How many layers of TLS leave in one turn; what is written while they do, or deeper, leaves in the next.
const DEEPEST: usize = 4;
