//! Streams as state machines: no sockets, no clock, no I/O.
