//! From the peer to the program: what arrives, decrypted, record by record.

use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use riata_engine::stream::Flow;

use super::objects::{Answer, answer, is_interrupt, logger};
use super::protocol::{Phase, TlsProtocol, Told};
use crate::event_loop::EventLoop;
use crate::part::part;
use crate::transport::stream::Reception;
use crate::transport::window::{WINDOW_SIZE, Window};
use crate::unwind;

/// The most data that a record carries: RFC 8446, 5.1. A read with so much room leaves nothing of a record behind.
const RECORD: usize = 1 << 14;

/// Why reading has come to an end.
enum Read {
    /// No whole record is left.
    Dry,
    /// There is no room for another record.
    Full,
    /// The peer has said that nothing more comes.
    Closed,
}

/// What has arrived and is still to be given to `ssl`.
struct Wire<'py> {
    window: Bound<'py, Window>,
    start: usize,
    end: usize,
}

impl Wire<'_> {
    /// Gives `ssl` the next records, at least `enough` bytes of them, or all that is left. How many bytes that were.
    fn feed(&mut self, tls: &TlsProtocol, enough: usize) -> PyResult<usize> {
        let py = self.window.py();
        let (start, end) = (self.start, self.end);
        let fed = tls.with(py, |state| {
            self.window.get().read(py, end, |bytes| {
                state.records.feed_records(&bytes[start..], enough)
            })
        });
        self.start += fed;
        self.window.get().show(py, start..self.start);
        let incoming = tls.part(py, |state| &state.incoming)?;
        unwind::call_method(&incoming, intern!(py, "write"), [self.window.as_any()])?;
        Ok(fed)
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

impl TlsProtocol {
    /// Takes the first `length` bytes of `window` from the transport below, gives the window back, and goes on with
    /// whatever waited for them.
    ///
    /// # Errors
    /// As `advance`.
    pub fn feed(
        slf: &Bound<'_, Self>,
        event_loop: &EventLoop,
        window: Bound<'_, Window>,
        length: usize,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let mut wire = Wire {
            window,
            start: 0,
            end: length,
        };
        let (phase, at_once) = this.with(py, |state| {
            let buffered = matches!(state.reception, Reception::Buffered);
            (state.phase, buffered || state.app_reading_paused)
        });
        match phase {
            // Nobody will read it any more.
            Phase::Unwrapped => {
                event_loop.put_window(wire.window);
                Ok(())
            }
            Phase::Wrapped if !at_once => Self::read_app_data_from(slf, Some(wire)),
            _ => {
                let fed = wire.feed(this, usize::MAX);
                event_loop.put_window(wire.window);
                fed?;
                Self::advance(slf)
            }
        }
    }

    /// Goes on with whatever waited for bytes from the peer.
    ///
    /// # Errors
    /// What the handshake and the shutdown raise; of the program's protocol only what is no Exception.
    pub(super) fn advance(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.get().with(slf.py(), |state| state.phase) {
            Phase::Unwrapped => Ok(()),
            Phase::Handshake => Self::shake_hands(slf),
            Phase::Wrapped => Self::read_app_data(slf),
            Phase::Flushing => Self::flush(slf),
            Phase::Shutdown => Self::shut_down(slf),
        }
    }

    /// Gives the program what has arrived, unless it has paused reading.
    ///
    /// # Errors
    /// What is no Exception; everything else ends the connection.
    pub(super) fn read_app_data(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.get().with(slf.py(), |state| state.reads_data()) {
            true => Self::read_app_data_from(slf, None),
            false => Ok(()),
        }
    }

    fn read_app_data_from(slf: &Bound<'_, Self>, wire: Option<Wire<'_>>) -> PyResult<()> {
        let py = slf.py();
        match Self::read_all(slf, wire) {
            Err(error) if error.is_instance_of::<PyException>(py) => {
                let exception = error.into_value(py).into_bound(py).into_any();
                Self::fail(slf, Some(&exception), "Fatal error on SSL protocol")
            }
            outcome => outcome,
        }
    }

    fn read_all(slf: &Bound<'_, Self>, wire: Option<Wire<'_>>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let (paused, reception) =
            this.with(py, |state| (state.app_reading_paused, state.reception));
        if paused {
            let unread = this.unread(py)?;
            return Self::control_reading(slf, unread);
        }
        let unread = match reception {
            Reception::Data | Reception::Tls => Self::read_into_window(slf, reception, wire)?,
            Reception::Buffered => Self::read_into_buffer(slf)?,
        };
        // Reading may have made `ssl` say something to the peer. What the program has written meanwhile goes at the
        // turn's end, and takes that along.
        let (waits, enlisted) = this.with(py, |state| (!state.backlog.is_empty(), state.enlisted));
        match (waits, enlisted) {
            (_, true) => {}
            (true, false) => Self::encrypt(slf)?,
            (false, false) => Self::process_outgoing(slf)?,
        }
        Self::control_reading(slf, unread)
    }

    /// How many bytes have arrived that `ssl` has not taken.
    pub(super) fn unread(&self, py: Python<'_>) -> PyResult<usize> {
        self.part(py, |state| &state.incoming)?
            .getattr(intern!(py, "pending"))?
            .extract()
    }

    /// Whether `ssl` may have data: `unread` bytes have arrived that it has not taken.
    fn may_read(&self, py: Python<'_>, unread: usize) -> bool {
        self.with(py, |state| {
            state.leftover || state.records.whole_among(unread)
        })
    }

    /// Decrypts into a window, and gives the program everything at once. Gives back how much is left unread.
    fn read_into_window(
        slf: &Bound<'_, Self>,
        mut reception: Reception,
        mut wire: Option<Wire<'_>>,
    ) -> PyResult<usize> {
        let py = slf.py();
        let this = slf.get();
        let event_loop = this.event_loop(py)?;
        loop {
            let unread = this.unread(py)?;
            if wire.is_none() && !this.may_read(py, unread) {
                return Ok(unread);
            }
            let window = event_loop.get().take_window(py)?;
            let filled = this.fill_window(&window, wire.as_mut(), unread);
            // The program may do anything, and what has arrived must not be overtaken.
            let fed = match &mut wire {
                Some(wire) if !wire.is_empty() => wire.feed(this, usize::MAX),
                _ => Ok(0),
            };
            if let Some(wire) = wire.take() {
                event_loop.get().put_window(wire.window);
            }
            let (length, read, unread) = match filled.and_then(|filled| fed.map(|_| filled)) {
                Ok(filled) => filled,
                Err(error) => {
                    event_loop.get().put_window(window);
                    return Err(error);
                }
            };
            Self::deliver(slf, window, length, reception)?;
            match read {
                Read::Dry => return Ok(unread),
                Read::Closed => return Self::peer_closed(slf).map(|()| unread),
                Read::Full => {}
            }
            // The program may have paused, closed, or set another protocol.
            let goes_on = this.with(py, |state| {
                reception = state.reception;
                let same = !matches!(reception, Reception::Buffered);
                same && state.reads_data() && !state.app_reading_paused
            });
            if !goes_on {
                return this.unread(py);
            }
        }
    }

    /// Gives the program, or TLS within this TLS, the first `length` bytes of `window`, and the window back.
    fn deliver(
        slf: &Bound<'_, Self>,
        window: Bound<'_, Window>,
        length: usize,
        reception: Reception,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let event_loop = this.event_loop(py)?;
        let Some(protocol) = this.app_protocol(py).filter(|_| length > 0) else {
            event_loop.get().put_window(window);
            return Ok(());
        };
        if matches!(reception, Reception::Tls) {
            let inner = protocol.cast_into::<Self>()?;
            return Self::feed(&inner, event_loop.get(), window, length);
        }
        let data = window.get().copy(py, length);
        event_loop.get().put_window(window);
        unwind::call_method(&protocol, intern!(py, "data_received"), [data.as_any()]).map(drop)
    }

    /// Reads records into `window`, from its start, as long as there are any and there is room. They are what `ssl` has,
    /// `unread` bytes, then those of `wire`, a few at a time, so that they stay in the processor's nearest cache. Gives
    /// back how much it read, why it ended, and how much `ssl` has not read.
    fn fill_window(
        &self,
        window: &Bound<'_, Window>,
        mut wire: Option<&mut Wire<'_>>,
        mut unread: usize,
    ) -> PyResult<(usize, Read, usize)> {
        let py = window.py();
        let io = self.part(py, |state| &state.io)?;
        let room = RECORD.into_pyobject(py)?;
        let (mut length, mut asked) = (0, false);
        while length + RECORD <= WINDOW_SIZE {
            if asked || !self.may_read(py, unread) {
                match &mut wire {
                    Some(wire) if !wire.is_empty() => unread += wire.feed(self, RECORD)?,
                    _ => return Ok((length, Read::Dry, unread)),
                }
                asked = false;
                continue;
            }
            window.get().show(py, length..length + RECORD);
            let outcome =
                unwind::call_method(&io, intern!(py, "read"), [room.as_any(), window.as_any()]);
            let count = match answer(py, outcome)? {
                Answer::Again => 0,
                Answer::Done(count) => match count.extract::<usize>()? {
                    0 => return Ok((length, Read::Closed, unread)),
                    count => count,
                },
            };
            asked = count == 0;
            length += count;
            self.with(py, |state| state.leftover = false);
            unread = self.unread(py)?;
        }
        Ok((length, Read::Full, unread))
    }

    /// Reads into the buffer that the program lends. Gives back how much is left unread.
    fn read_into_buffer(slf: &Bound<'_, Self>) -> PyResult<usize> {
        let py = slf.py();
        let this = slf.get();
        let mut unread = this.unread(py)?;
        let Some(protocol) = this.app_protocol(py).filter(|_| this.may_read(py, unread)) else {
            return Ok(unread);
        };
        let hint = unread.into_pyobject(py)?;
        let buffer = unwind::call_method(&protocol, intern!(py, "get_buffer"), [hint.as_any()])?;
        let room = buffer.len()?;
        if room == 0 {
            return Err(PyRuntimeError::new_err(
                "get_buffer() returned an empty buffer",
            ));
        }
        let io = this.part(py, |state| &state.io)?;
        let mut offset = 0;
        let mut read = Read::Full;
        while offset < room {
            if !this.may_read(py, unread) {
                read = Read::Dry;
                break;
            }
            let part = match offset {
                0 => buffer.clone(),
                _ => rest(&buffer, offset)?,
            };
            let wanted = (room - offset).into_pyobject(py)?;
            let outcome =
                unwind::call_method(&io, intern!(py, "read"), [wanted.as_any(), part.as_any()]);
            let count = match answer(py, outcome)? {
                Answer::Again => {
                    read = Read::Dry;
                    break;
                }
                Answer::Done(count) => count.extract::<usize>()?,
            };
            if count == 0 {
                read = Read::Closed;
                break;
            }
            offset += count;
            this.with(py, |state| state.leftover = offset == room);
            unread = this.unread(py)?;
        }
        if matches!(read, Read::Full) {
            let again = slf.getattr(intern!(py, "_do_read"))?;
            this.event_loop(py)?
                .call_method1(intern!(py, "call_soon"), (again,))?;
        }
        if offset > 0 {
            let count = offset.into_pyobject(py)?;
            unwind::call_method(&protocol, intern!(py, "buffer_updated"), [count.as_any()])?;
        }
        match read {
            Read::Closed => Self::peer_closed(slf).map(|()| unread),
            Read::Dry | Read::Full => Ok(unread),
        }
    }

    /// The peer has said that nothing more comes: TLS has no half-closed connections in asyncio.
    fn peer_closed(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::tell_eof(slf)?;
        Self::start_shutdown(slf)
    }

    /// Tells the program's protocol of the end, once.
    ///
    /// # Errors
    /// SystemExit and KeyboardInterrupt; everything else ends the connection.
    pub(super) fn tell_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let tell = slf.get().with(py, |state| {
            let tell = state.told == Told::Made;
            if tell {
                state.told = Told::Eof;
            }
            tell
        });
        let Some(protocol) = slf.get().app_protocol(py).filter(|_| tell) else {
            return Ok(());
        };
        let answer = unwind::call_method(&protocol, intern!(py, "eof_received"), [])
            .and_then(|keep| keep.is_truthy());
        match answer {
            Ok(false) => Ok(()),
            Ok(true) => {
                let text = "returning true from eof_received() has no effect when using ssl";
                logger(py)?
                    .call_method1(intern!(py, "warning"), (text,))
                    .map(drop)
            }
            Err(error) if is_interrupt(py, &error) => Err(error),
            Err(error) => {
                let exception = error.into_value(py).into_bound(py).into_any();
                Self::fail(slf, Some(&exception), "Error calling eof_received()")
            }
        }
    }

    // Flow control.

    /// Lets the transport below pause or resume, now that `unread` bytes wait.
    pub(super) fn control_reading(slf: &Bound<'_, Self>, unread: usize) -> PyResult<()> {
        let py = slf.py();
        let flow = slf.get().with(py, |state| state.reads.look(unread));
        let method = match flow {
            Flow::Unchanged => return Ok(()),
            Flow::Pause => intern!(py, "pause_reading"),
            Flow::Resume => intern!(py, "resume_reading"),
        };
        match slf.get().lower(py) {
            Some(lower) => lower.object(py).call_method0(method).map(drop),
            None => Ok(()),
        }
    }

    /// The program goes on reading: in a later step, it gets what has arrived meanwhile.
    pub(super) fn resume_app_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if !slf
            .get()
            .with(py, |state| std::mem::take(&mut state.app_reading_paused))
        {
            return Ok(());
        }
        let resume = slf.getattr(intern!(py, "_resume"))?;
        slf.get()
            .event_loop(py)?
            .call_method1(intern!(py, "call_soon"), (resume,))
            .map(drop)
    }
}

/// What of `buffer` comes after `offset`: a view, for slices of some buffers are copies.
fn rest<'py>(buffer: &Bound<'py, PyAny>, offset: usize) -> PyResult<Bound<'py, PyAny>> {
    part(PyMemoryView::from(buffer)?.as_any(), offset, None)
}
