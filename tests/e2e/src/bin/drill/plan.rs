//! [`Plan`]: which faults there are, and when. The same seed and length give the same plan.

use std::fmt;
use std::time::Duration;

use portwright_testkit::Noise;
use portwright_testkit::servers::{Stop, s3};

use crate::fault::{Fault, NODES, Peer, Wire};

/// Nothing fails before this, so that there is something to lose.
const FIRST: Duration = Duration::from_secs(4);
/// A longer one than its lease makes a worker one that was given up.
const LONGER_THAN_A_LEASE: u64 = 2_500;

/// One fault of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    /// When, counted from the beginning of the drill.
    pub(crate) at: Duration,
    /// How long it lasts, without the time that healing takes.
    pub(crate) lasts: Duration,
    pub(crate) fault: Fault,
}

impl Event {
    fn end(&self) -> Duration {
        self.at + self.lasts
    }
}

/// Faults in the order in which they begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan(pub(crate) Vec<Event>);

impl Plan {
    /// Draws one: a fault every few seconds, at most two at a time and never two of one thing, and all over at the end of
    /// this length.
    pub(crate) fn draw(seed: u64, length: Duration) -> Self {
        let mut noise = Noise::new(seed);
        let mut events: Vec<Event> = Vec::new();
        // When nothing, and when at most one thing, fails any more.
        let (mut quiet, mut half_quiet) = (FIRST, FIRST);
        loop {
            let overlaps = noise.below(4) == 0;
            let pause = millis(&mut noise, 500, 3_000);
            let at = if overlaps { half_quiet + pause / 2 } else { quiet + pause };
            let fault = draw(&mut noise);
            let lasts = duration(fault, &mut noise);
            let event = Event { at, lasts, fault };
            if event.end() > length {
                return Self(events);
            }
            let is_taken = |other: &Event| other.end() > at && other.fault.thing() == fault.thing();
            if events.iter().rev().take(4).any(is_taken) {
                continue;
            }
            (half_quiet, quiet) = (quiet.min(event.end()).max(at), quiet.max(event.end()));
            events.push(event);
        }
    }
}

fn millis(noise: &mut Noise, least: u64, most: u64) -> Duration {
    Duration::from_millis(least + noise.number() % (most - least))
}

fn duration(fault: Fault, noise: &mut Noise) -> Duration {
    match fault {
        // Over at once.
        Fault::Wire(_, _, Wire::Cut) | Fault::KillWorker(_) => millis(noise, 100, 200),
        Fault::FreezeWorkers(_) => millis(noise, LONGER_THAN_A_LEASE, 5_000),
        Fault::RestartNode(_) => millis(noise, 100, 500),
        _ => millis(noise, 700, 5_000),
    }
}

fn draw(noise: &mut Noise) -> Fault {
    let node = noise.below(NODES);
    match noise.below(20) {
        0 | 1 => Fault::KillWorker(node),
        2 => Fault::FreezeWorkers(node),
        3 | 4 => Fault::KillNode(node),
        5 => Fault::RestartNode(node),
        6 => Fault::FreezeNode(node),
        7 | 8 => {
            Fault::Stop(Peer::Primary, *noise.one_of(&[Stop::Kill, Stop::Kill, Stop::Immediate, Stop::Fast]))
        }
        9 => Fault::Freeze(Peer::Primary),
        10 => Fault::Stop(Peer::Standby, *noise.one_of(&[Stop::Kill, Stop::Fast])),
        11 => *noise.one_of(&[
            Fault::Freeze(Peer::Standby),
            Fault::PauseReplay,
            Fault::Lag(Duration::from_millis(500)),
        ]),
        12 | 13 => Fault::Stop(Peer::Redis, Stop::Kill),
        14 => Fault::Freeze(Peer::Redis),
        15 => Fault::Stop(Peer::Files, Stop::Kill),
        16 => Fault::FailFiles(
            *noise.one_of(&[
                s3::Fault::SlowDown,
                s3::Fault::InternalError,
                s3::Fault::ErrorBody,
                s3::Fault::LostAnswer,
                s3::Fault::CutOff,
                s3::Fault::WrongByte,
            ]),
            3,
        ),
        _ => Fault::Wire(node, *noise.one_of(&Peer::ALL), wire(noise)),
    }
}

fn wire(noise: &mut Noise) -> Wire {
    match noise.below(5) {
        0 => Wire::Slow(millis(noise, 50, 400)),
        1 | 2 => Wire::Blackhole,
        3 => Wire::Refuse,
        _ => Wire::Cut,
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Event { at, lasts, fault } in &self.0 {
            let (at, lasts) = (at.as_secs_f64(), lasts.as_secs_f64());
            writeln!(f, "  {at:>9.3}  {fault}, for {lasts:.3} s")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_mins(3);

    #[test]
    fn a_seed_gives_the_same_plan_again_and_another_seed_another() {
        assert_eq!(Plan::draw(7, LENGTH), Plan::draw(7, LENGTH));
        assert_ne!(Plan::draw(7, LENGTH), Plan::draw(8, LENGTH));
    }

    #[test]
    fn something_fails_every_few_seconds_never_one_thing_twice_at_once_nor_three_and_all_is_over_at_the_end()
    {
        for seed in 0..50 {
            let Plan(events) = Plan::draw(seed, LENGTH);
            assert!(events.len() > 25, "{}", events.len());
            for (number, event) in events.iter().enumerate() {
                assert!(event.end() <= LENGTH);
                assert!(number == 0 || events[number - 1].at <= event.at);
                let meanwhile = events[..number].iter().filter(|other| other.end() > event.at);
                let meanwhile: Vec<_> = meanwhile.map(|other| other.fault.thing()).collect();
                assert!(
                    meanwhile.len() < 2 && !meanwhile.contains(&event.fault.thing()),
                    "seed {seed}: {event:?}"
                );
            }
        }
    }

    #[test]
    fn a_longer_plan_begins_as_a_shorter_one() {
        let (short, long) = (Plan::draw(7, LENGTH), Plan::draw(7, 2 * LENGTH));
        assert_eq!(short.0[..], long.0[..short.0.len()]);
    }
}
