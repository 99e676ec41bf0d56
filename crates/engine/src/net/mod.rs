//! Sockets and pipes: the system calls that move bytes.
