//! How many workers there should be: a pure function, asked every second or so.

use std::time::Duration;

/// How long there must have been a worker too many before one goes. Starting one costs more than keeping it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What there is to do, and who does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Jobs that wait for a worker, in queues that are not paused.
    pub ready: u64,
    /// Jobs that run.
    pub running: u64,
    /// Workers that are there or starting, without those that drain.
    pub workers: usize,
    /// For how long fewer workers than these would have done.
    pub idle_for: Duration,
}

/// What the operator allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Never fewer workers.
    pub min: usize,
    /// Never more; at least `min`, whatever it says.
    pub max: usize,
    /// How many jobs one worker runs at a time; at least 1.
    pub concurrency: u32,
}

/// As many workers as give every job a place, within the bounds. Grows at once, because somebody waits; shrinks one at a
/// time, and only after [`PATIENCE`].
#[must_use]
pub fn desired_workers(load: &Load, bounds: &Bounds) -> usize {
    let needed = needed_workers(load, bounds);
    let shrunk = load.workers.saturating_sub(usize::from(load.idle_for >= PATIENCE));
    needed.max(shrunk).clamp(bounds.min, bounds.max.max(bounds.min))
}

/// As many workers as the jobs of this moment would fill, within the bounds. While it is below the number that there is,
/// [`Load::idle_for`] grows.
#[must_use]
pub fn needed_workers(load: &Load, bounds: &Bounds) -> usize {
    let jobs = load.ready.saturating_add(load.running);
    let workers = jobs.div_ceil(u64::from(bounds.concurrency.max(1)));
    usize::try_from(workers).unwrap_or(usize::MAX).clamp(bounds.min, bounds.max.max(bounds.min))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(29);

    #[test]
    fn there_are_as_many_workers_as_the_jobs_fill() {
        let cases = [
            // ready, running, workers, idle for, min, max, concurrency => workers
            ("nothing to do keeps the fewest", (0, 0, 1, PATIENCE), (1, 8, 4), 1),
            ("none is fine where none is allowed", (0, 0, 0, PATIENCE), (0, 8, 4), 0),
            ("the first job brings the first worker", (1, 0, 0, SHORT), (0, 8, 4), 1),
            ("a full worker is enough", (0, 4, 1, SHORT), (1, 8, 4), 1),
            ("one job more brings another", (1, 4, 1, SHORT), (1, 8, 4), 2),
            ("many bring all that are needed at once", (20, 4, 1, SHORT), (1, 8, 4), 6),
            ("never more than allowed", (1_000_000, 4, 1, SHORT), (1, 8, 4), 8),
            ("too many are kept for a while", (0, 1, 6, SHORT), (1, 8, 4), 6),
            ("then one goes", (0, 1, 6, PATIENCE), (1, 8, 4), 5),
            ("but never one that is needed", (10, 10, 5, PATIENCE), (1, 8, 4), 5),
            ("more than allowed go at once", (50, 0, 9, SHORT), (1, 8, 4), 8),
            ("fewer than allowed come at once", (0, 0, 0, SHORT), (2, 8, 4), 2),
            ("a maximum below the minimum counts as the minimum", (99, 0, 3, SHORT), (3, 1, 4), 3),
            ("a concurrency of nothing counts as one", (3, 0, 0, SHORT), (0, 8, 0), 3),
            ("numbers that overflow are many", (u64::MAX, u64::MAX, 1, SHORT), (1, 8, 1), 8),
        ];
        for (case, (ready, running, workers, idle_for), (min, max, concurrency), expected) in cases {
            let load = Load { ready, running, workers, idle_for };
            assert_eq!(desired_workers(&load, &Bounds { min, max, concurrency }), expected, "{case}");
        }
    }

    #[test]
    fn the_number_stays_when_nothing_changes() {
        let bounds = Bounds { min: 1, max: 8, concurrency: 4 };
        for ready in 0..64 {
            let mut load = Load { ready, running: 0, workers: 3, idle_for: Duration::ZERO };
            load.workers = desired_workers(&load, &bounds);
            assert_eq!(desired_workers(&load, &bounds), load.workers, "{ready}");
        }
    }
}
