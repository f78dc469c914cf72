//! The operating system's counters for this process: CPU time, context switches, memory.
//! It knows nothing of what the process does.

use std::fs;
use std::ops::Sub;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// Counters that only grow.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// CPU time in user mode, in microseconds.
    pub user_us: u64,
    /// CPU time in the kernel, in microseconds.
    pub sys_us: u64,
    /// Context switches, voluntary and involuntary.
    pub switches: u64,
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            user_us: self.user_us - before.user_us,
            sys_us: self.sys_us - before.sys_us,
            switches: self.switches - before.switches,
        }
    }
}

/// The counters of the whole process, all threads together.
pub fn now() -> Usage {
    let raw = getrusage(UsageWho::RUSAGE_SELF).expect("getrusage cannot fail for the calling process");
    let micros = |t: TimeVal| t.tv_sec() as u64 * 1_000_000 + t.tv_usec() as u64;
    Usage {
        user_us: micros(raw.user_time()),
        sys_us: micros(raw.system_time()),
        switches: (raw.voluntary_context_switches() + raw.involuntary_context_switches()) as u64,
    }
}

/// Sets the peak of memory back to what is in use now, and returns that, in KiB.
/// Where the kernel refuses, the peak stays that of the whole process.
pub fn reset_peak_kib() -> u64 {
    let _ = fs::write("/proc/self/clear_refs", "5");
    status_kib("VmRSS:")
}

/// The peak of memory since [`reset_peak_kib`], in KiB; 0 where `/proc` is not to be had.
pub fn peak_kib() -> u64 {
    status_kib("VmHWM:")
}

fn status_kib(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
