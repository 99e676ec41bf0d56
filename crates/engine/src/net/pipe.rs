//! Pipes, and whatever else is read and written rather than received and sent.
//!
//! `write` has no MSG_NOSIGNAL. Rust's runtime and CPython both ignore SIGPIPE, so a pipe
//! that nobody reads gives EPIPE; a program that restored the signal wanted it.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::fs::{FileType, fstat};
use rustix::io;

use crate::error::{Error, Result};

/// Reads at most `buffer.len()` bytes and says how many; 0 is the end of the file.
///
/// # Errors
///
/// Those of read(2), with its name.
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> Result<usize> {
    io::read(fd, buffer).map_err(|errno| Error::from_rustix("read", errno))
}

/// As [`read`], into memory that holds nothing yet: as many bytes at its start are
/// initialized as are returned.
///
/// # Errors
///
/// Those of read(2), with its name.
pub fn read_uninit(fd: impl AsFd, buffer: &mut [MaybeUninit<u8>]) -> Result<usize> {
    let (filled, _) = io::read(fd, buffer).map_err(|errno| Error::from_rustix("read", errno))?;
    Ok(filled.len())
}

/// Writes what there is room for, and says how many bytes that was.
///
/// # Errors
///
/// Those of write(2), with its name.
pub fn write(fd: impl AsFd, bytes: &[u8]) -> Result<usize> {
    io::write(fd, bytes).map_err(|errno| Error::from_rustix("write", errno))
}

/// Writes what there is room for of several slices, in order, and says how many bytes that
/// was.
///
/// # Errors
///
/// Those of writev(2), with its name.
pub fn write_vectored(fd: impl AsFd, slices: &[IoSlice<'_>]) -> Result<usize> {
    let slices = &slices[..slices.len().min(super::MAX_SLICES)];
    io::writev(fd, slices).map_err(|errno| Error::from_rustix("writev", errno))
}

/// What a descriptor that is used as a pipe is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PipeKind {
    /// A pipe or a FIFO.
    Fifo,
    /// A socket.
    Socket,
    /// A terminal and its like.
    CharacterDevice,
    /// A regular file, a directory, a block device: always ready, so nothing to wait for.
    Other,
}

/// What `fd` is, asked of the kernel.
///
/// # Errors
///
/// Those of fstat(2), with its name.
pub fn kind(fd: impl AsFd) -> Result<PipeKind> {
    let status = fstat(fd).map_err(|errno| Error::from_rustix("fstat", errno))?;
    Ok(match FileType::from_raw_mode(status.st_mode) {
        FileType::Fifo => PipeKind::Fifo,
        FileType::Socket => PipeKind::Socket,
        FileType::CharacterDevice => PipeKind::CharacterDevice,
        _ => PipeKind::Other,
    })
}

/// Makes reads and writes return at once (`O_NONBLOCK`), for everybody who shares the open file.
///
/// # Errors
///
/// Those of ioctl(2), with its name.
pub fn set_nonblocking(fd: impl AsFd) -> Result<()> {
    io::ioctl_fionbio(fd, true).map_err(|errno| Error::from_rustix("ioctl", errno))
}
