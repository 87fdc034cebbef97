//! What a process uses.

use std::time::Duration;

/// Memory that is resident.
#[must_use]
pub fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
}

/// The time of this process on the processor so far.
#[must_use]
pub fn cpu_time() -> Duration {
    cpu_time_of(std::process::id())
}

/// The time of a process on the processor so far.
#[must_use]
pub fn cpu_time_of(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    // A tick is 10 ms on every Linux that this runs on.
    Duration::from_millis(ticks * 10)
}
