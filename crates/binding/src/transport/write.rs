//! Writing: what a turn writes is queued and leaves in one system call at its end.
//!
//! It leaves at once where waiting would be noticed: above the high-water mark (so that `pause_writing` means that
//! the kernel's buffer is full), when the loop does not run in this thread, and before anything that tells how much
//! waits or depends on it: closing, an end of stream, `get_write_buffer_size`.

#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::io::IoSlice;

use pyo3::intern;
use pyo3::prelude::*;
use riata_engine::error::Error;
use riata_engine::net;
use riata_engine::stream::{Close, Drained, Flow, WriteEof};

use super::flow;
use super::memory::Chunk;
use super::socket::borrow;
use super::stream::{State, StreamTransport, logger};
use super::tls::TlsProtocol;
use crate::context;
use crate::error::os_error;
use crate::event_loop::EventLoop;
use crate::version::version;

/// How many bytes may wait for the turn's end, of all transports together; with more they leave before the next
/// callback. Much more would be out of the processor's cache by then, and the allocator would take memory from the
/// kernel and give it back in each turn.
const MUCH: usize = 32 * 1024;

/// Chunks that are sent in one call: 1 KiB of slices on the stack. More take another call.
const SLICES: usize = 64;

/// Writes to a lost connection that are let pass: asyncio's LOG_THRESHOLD_FOR_CONNLOST_WRITES.
const UNTOLD_LOST_WRITES: u32 = 5;

/// What became of what waited.
#[must_use]
pub(super) enum Sent {
    /// The kernel took it all.
    All,
    /// The kernel has no more room.
    Part,
    /// The connection has failed.
    Failed(Error),
}

/// Chunks that are written. Most writes are of one, for which no list is made.
#[derive(Default)]
struct Finished(Option<Chunk>, Vec<Chunk>);

impl Extend<Chunk> for Finished {
    fn extend<I: IntoIterator<Item = Chunk>>(&mut self, chunks: I) {
        for chunk in chunks {
            match self.0 {
                None => self.0 = Some(chunk),
                Some(_) => self.1.push(chunk),
            }
        }
    }
}

/// What a write leads to.
enum Next {
    SendNow,
    Enlist,
    Wait,
}

impl StreamTransport {
    /// Queues `chunks`, none of them empty.
    ///
    /// # Errors
    /// SystemExit and KeyboardInterrupt that the protocol raised.
    pub(super) fn enqueue(
        slf: &Bound<'_, Self>,
        chunks: impl IntoIterator<Item = Chunk>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let Some(event_loop) = this.event_loop(py) else {
            return this.note_lost_write(py);
        };
        if this.with(py, |state| state.lifecycle.is_closed()) {
            return this.note_lost_write(py);
        }
        let defers = event_loop.get().runs_here(py);
        let mut added = 0;
        let next = this.with(py, |state| {
            let before = state.buffer.len();
            for chunk in chunks {
                state.buffer.push(chunk);
            }
            let waiting = i64::try_from(state.buffer.len()).unwrap_or(i64::MAX);
            let (_, high) = state.watermarks.limits();
            let over = waiting > high;
            if state.wants_room {
                return Next::Wait;
            }
            state.unsent = true;
            added = state.buffer.len() - before;
            match over || !defers {
                true => Next::SendNow,
                false if std::mem::replace(&mut state.enlisted, true) => Next::Wait,
                false => Next::Enlist,
            }
        });
        if !matches!(next, Next::SendNow) {
            event_loop.get().unsent.with(py, |unsent| *unsent += added);
        }
        match next {
            Next::SendNow => Self::send(slf, &event_loop)?,
            Next::Enlist => {
                let writer = slf.clone().unbind();
                event_loop
                    .get()
                    .writers
                    .with(py, |writers| writers.push_back(writer));
                return Ok(());
            }
            Next::Wait => {}
        }
        Self::pause_if_full(slf)
    }

    /// A write to a connection that is lost: dropped, and from the fifth on told of.
    fn note_lost_write(&self, py: Python<'_>) -> PyResult<()> {
        let before = self.with(py, |state| {
            let before = state.lost_count;
            state.lost_count = before.saturating_add(1);
            before
        });
        if before >= UNTOLD_LOST_WRITES {
            let text = "socket.send() raised exception.";
            logger(py)?.call_method1(intern!(py, "warning"), (text,))?;
        }
        Ok(())
    }

    /// Sends what was written in this turn, now.
    ///
    /// # Errors
    /// As `send`.
    pub(super) fn send_unsent(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if let Some(tls) = slf.get().tls(py) {
            TlsProtocol::encrypt_waiting(&tls)?;
        }
        if !slf.get().with(py, |state| state.unsent) {
            return Ok(());
        }
        match slf.get().event_loop(py) {
            Some(event_loop) => Self::send(slf, &event_loop),
            None => Ok(()),
        }
    }

    /// There is room for what waits: as `send`, in the context of the write that had to wait, where the protocol was
    /// told of it.
    ///
    /// # Errors
    /// As `send`.
    pub(super) fn send_waiting(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
    ) -> PyResult<()> {
        let py = slf.py();
        let context = slf.get().with(py, |state| {
            let context = state.rare.as_ref()?.writer_context.as_ref();
            context.map(|context| context.bind(py).clone())
        });
        match context {
            Some(context) => context::run_in_or_copy(&context, || Self::send(slf, event_loop)),
            None => Self::send(slf, event_loop),
        }
    }

    /// Offers what waits to the kernel, and draws the consequences.
    ///
    /// # Errors
    /// SystemExit and KeyboardInterrupt that the protocol raised; RuntimeError when the loop is closed.
    pub(super) fn send(slf: &Bound<'_, Self>, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.with(py, |state| state.lifecycle.is_closed()) {
            return Ok(());
        }
        match Self::offer(slf) {
            Sent::Failed(error) => {
                let exception = os_error(error).into_value(py).into_any();
                Self::report_fatal(
                    slf,
                    exception.bind(py),
                    "Fatal write error on socket transport",
                )?;
                Self::fail_empty_waiter(slf, exception.bind(py))?;
                return Self::force_close(slf, Some(exception));
            }
            Sent::Part => {
                if !this.with(py, |state| std::mem::replace(&mut state.wants_room, true)) {
                    Self::settle_watch(slf, event_loop)?;
                }
            }
            Sent::All => {
                if this.with(py, |state| std::mem::replace(&mut state.wants_room, false)) {
                    let context = this.with(py, |state| state.rare.as_mut()?.writer_context.take());
                    drop(context);
                    Self::settle_watch(slf, event_loop)?;
                }
            }
        }
        Self::resume_if_drained(slf)?;
        // `resume_writing` may have written more.
        if this.with(py, |state| state.buffer.is_empty()) {
            Self::drained(slf)
        } else {
            Ok(())
        }
    }

    /// Offers what waits to the kernel, until it takes no more. Calls nothing of the program's.
    pub(super) fn offer(slf: &Bound<'_, Self>) -> Sent {
        let py = slf.py();
        let this = slf.get();
        let fd = match this.live_fd(py) {
            Ok(fd) => fd,
            Err(error) => return Sent::Failed(error),
        };
        let mut finished = Finished::default();
        let sent = this.with(py, |state| {
            state.unsent = false;
            // SAFETY: B7: `live_fd` has just said so, and nothing is called here that could close it.
            offer_all(state, unsafe { borrow(fd) }, &mut finished)
        });
        drop(finished);
        sent
    }

    /// Nothing waits any more: what was to come afterwards comes now.
    fn drained(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let waiter = this.with(py, |state| {
            state.rare.as_ref().and_then(|rare| {
                rare.empty_waiter
                    .as_ref()
                    .map(|waiter| waiter.clone_ref(py))
            })
        });
        if let Some(waiter) = waiter
            && !waiter
                .call_method0(py, intern!(py, "done"))?
                .is_truthy(py)?
        {
            waiter.call_method1(py, intern!(py, "set_result"), (py.None(),))?;
        }
        match this.with(py, |state| state.lifecycle.drained()) {
            Drained::Idle => Ok(()),
            Drained::ShutDown => this.shut_down_writing(py),
            Drained::Report => Self::schedule_lost(slf, None),
        }
    }

    fn fail_empty_waiter(slf: &Bound<'_, Self>, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let waiter = slf.get().with(py, |state| {
            state.rare.as_ref().and_then(|rare| {
                rare.empty_waiter
                    .as_ref()
                    .map(|waiter| waiter.clone_ref(py))
            })
        });
        match waiter {
            Some(waiter)
                if !waiter
                    .call_method0(py, intern!(py, "done"))?
                    .is_truthy(py)? =>
            {
                waiter
                    .call_method1(py, intern!(py, "set_exception"), (exception,))
                    .map(drop)
            }
            _ => Ok(()),
        }
    }

    /// `shutdown(SHUT_WR)`.
    ///
    /// # Errors
    /// OSError: ENOTCONN when the peer has reset the connection.
    fn shut_down_writing(&self, py: Python<'_>) -> PyResult<()> {
        let fd = self.live_fd(py).map_err(os_error)?;
        // SAFETY: B7: `live_fd` has just said so.
        net::shutdown_write(unsafe { borrow(fd) }).map_err(os_error)
    }

    // Flow control.

    /// Tells the protocol to pause when more than the high mark waits.
    pub(super) fn pause_if_full(slf: &Bound<'_, Self>) -> PyResult<()> {
        let flow = slf.get().with(slf.py(), |state| {
            state.watermarks.after_growth(state.buffer.len())
        });
        Self::tell_flow(slf, flow)
    }

    fn resume_if_drained(slf: &Bound<'_, Self>) -> PyResult<()> {
        let flow = slf.get().with(slf.py(), |state| {
            state.watermarks.after_drain(state.buffer.len())
        });
        Self::tell_flow(slf, flow)
    }

    fn tell_flow(slf: &Bound<'_, Self>, flow: Flow) -> PyResult<()> {
        let py = slf.py();
        match flow {
            Flow::Unchanged => return Ok(()),
            Flow::Pause if !version(py)?.streams_keep_context => {
                let context = Some(context::copy_current(py)?);
                let before = slf.get().with(py, |state| {
                    let rare = state.rare.get_or_insert_default();
                    std::mem::replace(&mut rare.writer_context, context)
                });
                drop(before);
            }
            Flow::Pause | Flow::Resume => {}
        }
        let (event_loop, protocol) = (slf.get().event_loop(py), slf.get().protocol(py));
        flow::tell(event_loop.as_ref(), slf.as_any(), protocol.as_ref(), flow)
    }

    // Ends of the sending side.

    /// `write_eof`: the peer reads an end of stream after what was written.
    ///
    /// # Errors
    /// OSError from shutdown(2).
    pub(super) fn end_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        Self::send_unsent(slf)?;
        match slf
            .get()
            .with(py, |state| state.lifecycle.write_eof(state.buffer.len()))
        {
            WriteEof::Ignored | WriteEof::AfterDrain => Ok(()),
            WriteEof::ShutDown => slf.get().shut_down_writing(py),
        }
    }

    /// `close`: no more is read, what waits is sent, then the connection is lost.
    ///
    /// # Errors
    /// RuntimeError when the loop is closed.
    pub(super) fn shut(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.with(py, |state| state.lifecycle.is_closing()) {
            return Ok(());
        }
        Self::send_unsent(slf)?;
        match this.with(py, |state| state.lifecycle.close(state.buffer.len())) {
            Close::Ignored => Ok(()),
            Close::StopAndReport => Self::schedule_lost(slf, None),
            Close::StopReading => match this.event_loop(py) {
                Some(event_loop) => Self::settle_watch(slf, &event_loop),
                None => Ok(()),
            },
        }
    }
}

/// Sends until the kernel takes no more or nothing waits.
fn offer_all(state: &mut State, fd: std::os::fd::BorrowedFd<'_>, finished: &mut Finished) -> Sent {
    while !state.buffer.is_empty() {
        let (offered, outcome) = match state.buffer.only() {
            Some(only) => (only.len(), net::send(fd, only)),
            None => {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let used = state.buffer.io_slices(&mut slices);
                let offered = slices[..used].iter().map(|slice| slice.len()).sum();
                (offered, net::send_vectored(fd, &slices[..used]))
            }
        };
        match outcome {
            Ok(sent) => {
                state.buffer.advance(sent, finished);
                if sent < offered {
                    return Sent::Part;
                }
            }
            Err(error) if error.is_would_block() || error.is_interrupted() => return Sent::Part,
            Err(error) => return Sent::Failed(error),
        }
    }
    Sent::All
}

impl EventLoop {
    /// Sends what was written since the last time: one vectored write a socket.
    ///
    /// # Errors
    /// SystemExit and KeyboardInterrupt that a protocol raised; the other transports keep their place.
    #[inline]
    pub fn flush_writers(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.get().has_writers(slf.py()) {
            true => Self::flush_all(slf),
            false => Ok(()),
        }
    }

    fn flush_all(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        Self::flush_encrypters(slf)?;
        // Those that write again when they are told to go on are for the next turn.
        this.unsent.set(py, 0);
        if !this.has_writers(py) {
            return Ok(());
        }
        Self::leave_task(slf)?;
        let mut left = this
            .writers
            .with(py, |writers: &mut VecDeque<_>| writers.len());
        while left > 0 {
            left -= 1;
            let Some(writer) = this.writers.with(py, |writers| writers.pop_front()) else {
                break;
            };
            let writer = writer.into_bound(py);
            let (waits, context) = writer.get().with(py, |state| {
                state.enlisted = false;
                let context = state
                    .context
                    .as_ref()
                    .map(|context| context.bind(py).clone());
                (std::mem::take(&mut state.unsent), context)
            });
            if let (true, Some(context)) = (waits, context) {
                context::run_in_or_copy(&context, || StreamTransport::send(&writer, slf))?;
            }
        }
        Ok(())
    }

    /// As `flush_writers`, if so much waits that it had better leave now: asked between two callbacks.
    ///
    /// # Errors
    /// As `flush_writers`.
    #[inline]
    pub fn flush_much(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.get().unsent.get(slf.py()) > MUCH {
            true => Self::flush_writers(slf),
            false => Ok(()),
        }
    }

    /// Whether transports have something to write.
    #[inline]
    pub fn has_writers(&self, py: Python<'_>) -> bool {
        self.writers.with(py, |writers| !writers.is_empty())
            || self
                .encrypters
                .with(py, |encrypters| !encrypters.is_empty())
    }
}
