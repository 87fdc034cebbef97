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
    let stat = stat(pid).expect("it runs");
    time(&stat[11..13])
}

/// The time of a process and of all its children, including those that have ended and were waited for.
#[must_use]
pub fn cpu_time_of_family(pid: u32) -> Duration {
    let parent = pid.to_string();
    let processes = std::fs::read_dir("/proc").expect("a Linux").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let children = pids.filter_map(stat).filter(|stat| stat[1] == parent);
    time(&stat(pid).expect("it runs")[11..15]) + children.map(|stat| time(&stat[11..13])).sum::<Duration>()
}

/// What the system says of a process, from its state on; `None` if it has ended.
fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit(')').next()?.split_whitespace().map(str::to_owned).collect())
}

fn time(ticks: &[String]) -> Duration {
    let ticks: u64 = ticks.iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    // A tick is 10 ms on every Linux that this runs on.
    Duration::from_millis(ticks * 10)
}
