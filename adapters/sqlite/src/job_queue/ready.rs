//! [`Candidates`]: the ready jobs that a worker may lease, in the order in which they start.

use std::collections::VecDeque;

use portwright_domain::ports::job_queue::AGEING;
use rusqlite::{Connection, Result, params};

/// The jobs of one line in one lane, those that could run first at the front: (since, number).
struct Line {
    line: u8,
    lane: i64,
    jobs: VecDeque<(i64, i64)>,
}

pub(super) struct Candidates {
    lines: Vec<Line>,
    /// Starts so far, of all workers.
    starts: u64,
}

/// One job that may start.
pub(super) struct Candidate {
    pub(super) number: i64,
    pub(super) lane: i64,
    place: usize,
}

impl Candidates {
    /// Enough to lease `max` jobs from these lanes.
    pub(super) fn read(connection: &Connection, lanes: &[i64], max: u32, starts: u64) -> Result<Self> {
        let mut candidates = Self { lines: Vec::new(), starts };
        let ages = starts / AGEING != (starts + u64::from(max)) / AGEING;
        for &lane in lanes {
            candidates.read_lane(connection, lane, max, ages)?;
        }
        Ok(candidates)
    }

    /// The first `max` jobs of a lane are enough where priority decides; where age does, the first of each line.
    fn read_lane(&mut self, connection: &Connection, lane: i64, max: u32, every_line: bool) -> Result<()> {
        const SQL: &str = "SELECT line, since, number FROM jobs WHERE state = 1 AND lane = ? AND line > ? \
             ORDER BY line, since, number LIMIT ?";
        let mut statement = connection.prepare_cached(SQL)?;
        let mut behind = -1;
        loop {
            let mut found = 0;
            let mut rows = statement.query(params![lane, behind, max])?;
            while let Some(row) = rows.next()? {
                let (line, job): (u8, _) = (row.get(0)?, (row.get(1)?, row.get(2)?));
                match self.lines.last_mut().filter(|last| last.lane == lane && last.line == line) {
                    Some(last) => last.jobs.push_back(job),
                    None => self.lines.push(Line { line, lane, jobs: VecDeque::from([job]) }),
                }
                (behind, found) = (i64::from(line), found + 1);
            }
            if found < max || !every_line {
                return Ok(());
            }
        }
    }

    /// The one that starts next.
    pub(super) fn next(&self) -> Option<Candidate> {
        let by_age = (self.starts + 1).is_multiple_of(AGEING);
        let heads = self.lines.iter().enumerate().filter_map(|(place, line)| {
            let job = *line.jobs.front()?;
            // What was handed back is first in any case.
            let priority = if by_age && line.line > 0 { 1 } else { line.line };
            Some(((priority, job), Candidate { number: job.1, lane: line.lane, place }))
        });
        heads.min_by_key(|(order, _)| *order).map(|(_, candidate)| candidate)
    }

    /// That one started.
    pub(super) fn started(&mut self, candidate: &Candidate) {
        self.starts += 1;
        if let Some(line) = self.lines.get_mut(candidate.place) {
            line.jobs.pop_front();
        }
    }

    pub(super) const fn starts(&self) -> u64 {
        self.starts
    }
}
