//! In which order a stream ends.
//!
//! CPython: `asyncio.selector_events._SelectorTransport` and `_SelectorSocketTransport`.
//!
//! * `write_eof` ends the sending side, after what still waits; reading goes on.
//! * `close` stops reading, sends what still waits, then the connection is lost.
//! * `abort` stops everything and forgets what waits; the connection is lost.
//! * Lost is told once, whatever came first and however often.

/// How far a stream is on its way from open to lost.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Phase {
    Open,
    /// Closed by its user while bytes wait to be sent.
    Draining,
    /// Nothing more is sent or received; the protocol is to be told.
    Closed,
    /// The protocol was told.
    Lost,
}

/// The sending side.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Sending {
    Open,
    /// To be shut down once nothing waits.
    EofQueued,
    ShutDown,
}

/// The state of one stream's two sides.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Lifecycle {
    phase: Phase,
    sending: Sending,
}

/// What becomes of a write.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Admission {
    /// It is sent, also while a closing stream still has bytes to send.
    Accepted,
    /// An error of the program: `write_eof` was called before.
    AfterEof,
    /// The connection is gone: dropped without an error, asyncio warns from the fifth on.
    Discarded,
}

/// What `write_eof` leads to.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum WriteEof {
    /// Shut the sending side down now.
    ShutDown,
    /// [`Lifecycle::drained`] will ask for it.
    AfterDrain,
    /// Nothing: it was asked for before, or the stream is closing.
    Ignored,
}

/// What `close` leads to.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Close {
    /// Stop reading and go on sending; [`Lifecycle::drained`] will ask for the rest.
    StopReading,
    /// Stop reading, and tell the protocol in a later step of the loop.
    StopAndReport,
    /// Nothing: the stream is closing already.
    Ignored,
}

/// What `abort` leads to, or an error that ends the stream.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Abort {
    /// Forget what waits, stop reading and writing, and tell the protocol in a later step
    /// of the loop.
    StopAndReport,
    /// Nothing: the stream has ended already.
    Ignored,
}

/// What the last byte's departure leads to.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Drained {
    /// Nothing more: stop waiting for room.
    Idle,
    /// Shut the sending side down.
    ShutDown,
    /// The stream was closed: tell the protocol, now.
    Report,
}

/// Whether the protocol is to be told that the connection is lost.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Lost {
    /// Tell it; this is answered once in a stream's life.
    Report,
    /// It was told.
    AlreadyReported,
}

impl Lifecycle {
    /// An open stream.
    pub const fn new() -> Self {
        Self {
            phase: Phase::Open,
            sending: Sending::Open,
        }
    }

    /// Whether `close` or `abort` was called, or the connection is lost (`is_closing`).
    pub fn is_closing(&self) -> bool {
        self.phase != Phase::Open
    }

    /// Whether the connection is over, told or not: nothing may be sent or received.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed | Phase::Lost)
    }

    /// Whether `write_eof` was called.
    pub fn eof_was_asked(&self) -> bool {
        self.sending != Sending::Open
    }

    /// Whether more may be written now.
    pub fn admit_write(&self) -> Admission {
        if self.eof_was_asked() {
            Admission::AfterEof
        } else if self.is_closed() {
            Admission::Discarded
        } else {
            Admission::Accepted
        }
    }

    /// Ends the sending side, `pending` bytes still waiting.
    pub fn write_eof(&mut self, pending: usize) -> WriteEof {
        if self.is_closing() || self.eof_was_asked() {
            return WriteEof::Ignored;
        }
        if pending > 0 {
            self.sending = Sending::EofQueued;
            return WriteEof::AfterDrain;
        }
        self.sending = Sending::ShutDown;
        WriteEof::ShutDown
    }

    /// Ends the stream, `pending` bytes still waiting.
    pub fn close(&mut self, pending: usize) -> Close {
        if self.is_closing() {
            return Close::Ignored;
        }
        if pending > 0 {
            self.phase = Phase::Draining;
            return Close::StopReading;
        }
        self.phase = Phase::Closed;
        Close::StopAndReport
    }

    /// Ends the stream at once, by `abort` or for an error.
    pub fn abort(&mut self) -> Abort {
        if self.is_closed() {
            return Abort::Ignored;
        }
        self.phase = Phase::Closed;
        Abort::StopAndReport
    }

    /// To be asked when the last waiting byte was written.
    ///
    /// A queued end of stream needs no call of its own if the stream is closing: the
    /// socket's close sends it.
    pub fn drained(&mut self) -> Drained {
        match (self.phase, self.sending) {
            (Phase::Draining, _) => {
                self.phase = Phase::Closed;
                Drained::Report
            }
            (Phase::Open, Sending::EofQueued) => {
                self.sending = Sending::ShutDown;
                Drained::ShutDown
            }
            _ => Drained::Idle,
        }
    }

    /// To be asked directly before `connection_lost` is called.
    pub fn report_lost(&mut self) -> Lost {
        if self.phase == Phase::Lost {
            return Lost::AlreadyReported;
        }
        self.phase = Phase::Lost;
        Lost::Report
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_with_nothing_to_send_reports_at_once() {
        let mut stream = Lifecycle::new();
        assert_eq!(stream.close(0), Close::StopAndReport);
        assert_eq!(stream.admit_write(), Admission::Discarded);
        assert_eq!(stream.report_lost(), Lost::Report);
    }

    #[test]
    fn close_sends_what_waits_before_it_reports() {
        let mut stream = Lifecycle::new();
        assert_eq!(stream.close(7), Close::StopReading);
        assert_eq!(stream.admit_write(), Admission::Accepted);
        assert!(stream.is_closing() && !stream.is_closed());
        assert_eq!(stream.drained(), Drained::Report);
        assert_eq!(stream.drained(), Drained::Idle);
    }

    #[test]
    fn an_end_of_stream_follows_what_waits() {
        let mut stream = Lifecycle::new();
        assert_eq!(stream.write_eof(3), WriteEof::AfterDrain);
        assert_eq!(stream.admit_write(), Admission::AfterEof);
        assert_eq!(stream.write_eof(3), WriteEof::Ignored);
        assert_eq!(stream.drained(), Drained::ShutDown);
        assert_eq!(stream.drained(), Drained::Idle);
        assert!(!stream.is_closing());
    }

    #[test]
    fn an_end_of_stream_with_nothing_waiting_is_sent_now() {
        assert_eq!(Lifecycle::new().write_eof(0), WriteEof::ShutDown);
    }

    #[test]
    fn closing_takes_over_a_queued_end_of_stream() {
        let mut stream = Lifecycle::new();
        assert_eq!(stream.write_eof(3), WriteEof::AfterDrain);
        assert_eq!(stream.close(3), Close::StopReading);
        assert_eq!(stream.drained(), Drained::Report);
    }

    #[test]
    fn abort_ends_a_stream_that_is_still_sending() {
        let mut stream = Lifecycle::new();
        assert_eq!(stream.close(7), Close::StopReading);
        assert_eq!(stream.abort(), Abort::StopAndReport);
        assert_eq!(stream.abort(), Abort::Ignored);
        assert_eq!(stream.close(0), Close::Ignored);
        assert_eq!(stream.write_eof(0), WriteEof::Ignored);
    }

    /// Every sequence of six calls: the protocol is told at most once, and told exactly
    /// once if a call asked for it.
    #[test]
    fn lost_is_reported_exactly_once_in_every_order() {
        for sequence in 0..5usize.pow(6) {
            let mut stream = Lifecycle::new();
            let (mut asked, mut calls) = (0, sequence);
            for _ in 0..6 {
                asked += usize::from(match calls % 5 {
                    0 => stream.close(0) == Close::StopAndReport,
                    1 => stream.close(1) == Close::StopAndReport,
                    2 => stream.abort() == Abort::StopAndReport,
                    3 => stream.drained() == Drained::Report,
                    _ => stream.write_eof(1) == WriteEof::ShutDown,
                });
                calls /= 5;
            }
            assert!(asked <= 1, "sequence {sequence}");
            assert_eq!(asked == 1, stream.is_closed());
            assert_eq!(stream.report_lost(), Lost::Report);
            assert_eq!(stream.report_lost(), Lost::AlreadyReported);
        }
    }
}
