//! [`Candidates`]: the ready jobs that a worker may lease, in the order in which they start.

use std::collections::VecDeque;

use portwright_domain::ports::job_queue::AGEING;
use rusqlite::{Connection, Result, params};

/// The jobs of one rank in one lane, those that could run first at the front: (since, number).
struct Stream {
    rank: u8,
    lane: i64,
    jobs: VecDeque<(i64, i64)>,
}

pub(super) struct Candidates {
    streams: Vec<Stream>,
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
        let mut candidates = Self { streams: Vec::new(), starts };
        let ages = starts / AGEING != (starts + u64::from(max)) / AGEING;
        for &lane in lanes {
            candidates.read_lane(connection, lane, max, ages)?;
        }
        Ok(candidates)
    }

    /// The first `max` jobs of a lane are enough where priority decides; where age does, the first of each rank.
    fn read_lane(&mut self, connection: &Connection, lane: i64, max: u32, every_rank: bool) -> Result<()> {
        const SQL: &str = "SELECT rank, since, number FROM jobs WHERE state = 1 AND lane = ? AND rank > ? \
             ORDER BY rank, since, number LIMIT ?";
        let mut statement = connection.prepare_cached(SQL)?;
        let mut behind = -1;
        loop {
            let mut found = 0;
            let mut rows = statement.query(params![lane, behind, max])?;
            while let Some(row) = rows.next()? {
                let (rank, job): (u8, _) = (row.get(0)?, (row.get(1)?, row.get(2)?));
                match self.streams.last_mut().filter(|last| last.lane == lane && last.rank == rank) {
                    Some(last) => last.jobs.push_back(job),
                    None => self.streams.push(Stream { rank, lane, jobs: VecDeque::from([job]) }),
                }
                (behind, found) = (i64::from(rank), found + 1);
            }
            if found < max || !every_rank {
                return Ok(());
            }
        }
    }

    /// The one that starts next.
    pub(super) fn next(&self) -> Option<Candidate> {
        let by_age = (self.starts + 1).is_multiple_of(AGEING);
        let heads = self.streams.iter().enumerate().filter_map(|(place, stream)| {
            let job = *stream.jobs.front()?;
            // What was handed back is first in any case.
            let rank = if by_age { stream.rank.min(1) } else { stream.rank };
            Some(((rank, job), Candidate { number: job.1, lane: stream.lane, place }))
        });
        heads.min_by_key(|(order, _)| *order).map(|(_, candidate)| candidate)
    }

    /// That one started.
    pub(super) fn started(&mut self, candidate: &Candidate) {
        self.starts += 1;
        if let Some(stream) = self.streams.get_mut(candidate.place) {
            stream.jobs.pop_front();
        }
    }

    pub(super) const fn starts(&self) -> u64 {
        self.starts
    }
}
