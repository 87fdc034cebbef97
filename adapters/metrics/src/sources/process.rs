//! [`Process`]: this process, as the kernel sees it.

use std::fs;
use std::io;

use async_trait::async_trait;
use portwright_domain::{ErrorKind, PortError};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use crate::exposition::{Readings, Source};
use crate::table::name;

/// This process. Where there is no `/proc`, it does not answer.
#[derive(Debug, Clone, Copy)]
pub struct Process;

#[async_trait]
impl Source for Process {
    fn name(&self) -> &'static str {
        "process"
    }

    async fn read(&self) -> Result<Readings, PortError> {
        let unavailable = |error: io::Error| {
            PortError::new(ErrorKind::Unavailable, "process.read", "/proc is not readable").with_source(error)
        };
        // Files of the kernel: nothing is waited for.
        let (stat, boot) = (read("/proc/self/stat"), read("/proc/stat"));
        let (stat, boot) = (stat.map_err(unavailable)?, boot.map_err(unavailable)?);
        let open = fs::read_dir("/proc/self/fd").map_err(unavailable)?.count();
        let stat = Stat::parse(&stat, &boot).ok_or_else(|| unavailable(io::ErrorKind::InvalidData.into()))?;
        let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let mut readings = Readings::default()
            .with(&name::PROCESS_CPU, &[], stat.cpu_seconds)
            .with(&name::PROCESS_MEMORY, &[], stat.resident_bytes)
            .with(&name::PROCESS_VIRTUAL, &[], stat.virtual_bytes)
            .with(&name::PROCESS_THREADS, &[], stat.threads)
            .with(&name::PROCESS_START, &[], stat.started_at)
            // Without the one that this look takes.
            .with(&name::PROCESS_FDS, &[], number(open.saturating_sub(1)));
        if let Some(most) = getrlimit(Resource::Nofile).current {
            let most = number(usize::try_from(most).unwrap_or(usize::MAX));
            readings = readings.with(&name::PROCESS_MAX_FDS, &[], most);
        }
        Ok(readings)
    }
}

fn read(file: &str) -> io::Result<String> {
    fs::read_to_string(file)
}

/// What `/proc/self/stat` says; see proc(5).
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    threads: f64,
    started_at: f64,
    virtual_bytes: f64,
    resident_bytes: f64,
}

impl Stat {
    fn parse(stat: &str, system: &str) -> Option<Self> {
        // The name of the program is in brackets, and may have anything in it.
        let (_, behind_name) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = behind_name.split_ascii_whitespace().collect();
        // Counted from 1 as in the manual, where the first behind the name is the third.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let booted =
            system.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok())?;
        let ticks = f64::from(u32::try_from(clock_ticks_per_second()).ok()?);
        let page = f64::from(u32::try_from(page_size()).ok()?);
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / ticks,
            threads: field(20)?,
            started_at: booted + field(22)? / ticks,
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * page,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_the_kernel_are_read_whatever_the_program_is_called() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 9 0 0 0 250 150 0 0 20 0 12 0 4200 8192 3 184 1 1\n";
        let system = "cpu  1 2 3\nbtime 1700000000\nprocesses 5\n";
        let (ticks, page) = (clock_ticks_per_second(), page_size());
        assert_eq!((ticks, page), (100, 4096), "of the machines that tests run on");
        let expected = Stat {
            cpu_seconds: 4.0,
            threads: 12.0,
            started_at: 1_700_000_042.0,
            virtual_bytes: 8192.0,
            resident_bytes: 12_288.0,
        };
        assert_eq!(Stat::parse(stat, system), Some(expected));
        assert_eq!(Stat::parse("7 (x) S 1", system), None);
        assert_eq!(Stat::parse(stat, "cpu 1"), None);
    }
}
