//! CPU time and memory of this process.

use std::fs;

use rustix::time::{ClockId, clock_gettime};

/// The CPU time of all threads since it was started.
pub struct Cpu(f64);

impl Cpu {
    /// Starts to count.
    pub fn start() -> Self {
        Self(cpu_time())
    }

    /// Nanoseconds for each of `count`.
    pub fn each(&self, count: usize) -> f64 {
        (cpu_time() - self.0) / count as f64
    }
}

/// Nanoseconds of CPU time that this process has used, in all its threads.
pub fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Bytes of memory that are this process's: the kernel's exact count (`smaps_rollup`, proc(5)).
///
/// # Panics
///
/// Where there is no such file: the count is all there is to report.
pub fn resident() -> f64 {
    let text = fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Anonymous:"));
    let kibibytes =
        line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    kibibytes.unwrap_or_else(|| panic!("/proc/self/smaps_rollup does not say what is resident"))
        * 1024.0
}
