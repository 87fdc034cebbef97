//! Whatever happens, a circuit does what its definition says: a model that remembers everything and counts anew each time.

use std::time::Duration;

use proptest::prelude::*;

use super::circuit::{Circuit, State, Ticket, Verdict};
use crate::policy::Thresholds;

const THRESHOLDS: Thresholds = Thresholds {
    window: Duration::from_secs(10),
    calls: 4,
    failed_percent: 50,
    slow_after: Duration::from_secs(1),
    slow_percent: 75,
    open: Duration::from_secs(8),
    probes: 2,
};

const WORKED: Verdict = Verdict { failed: false, slow: false };

/// Calls are known by small numbers, so that steps meet.
#[derive(Debug, Clone)]
enum Step {
    Call,
    Ask,
    MakeRoom { call: usize },
    End { call: usize, verdict: Option<Verdict>, chance: f64 },
    Advance { by: Duration },
}

fn step() -> impl Strategy<Value = Step> {
    let verdict = prop_oneof![
        1 => Just(None),
        5 => (prop::bool::weighted(0.4), prop::bool::weighted(0.3))
            .prop_map(|(failed, slow)| Some(Verdict { failed, slow })),
    ];
    prop_oneof![
        5 => Just(Step::Call),
        1 => Just(Step::Ask),
        1 => (0..6_usize).prop_map(|call| Step::MakeRoom { call }),
        6 => (0..6_usize, verdict, 0.0..=1.0)
            .prop_map(|(call, verdict, chance)| Step::End { call, verdict, chance }),
        2 => (1..7_000_u64).prop_map(|by| Step::Advance { by: Duration::from_millis(by) }),
    ]
}

/// Remembers every call since the latest change of state.
struct Model {
    state: State,
    opens_until: Duration,
    /// What ended since then, and when.
    ended: Vec<(Duration, Verdict)>,
    /// The changes of state so far.
    era: usize,
    /// For each call under way, the era that it began in, and whether it was let through to try.
    under_way: Vec<(usize, bool)>,
}

impl Model {
    const NEW: Self = Self {
        state: State::Closed,
        opens_until: Duration::ZERO,
        ended: Vec::new(),
        era: 0,
        under_way: Vec::new(),
    };

    fn turn(&mut self, state: State) {
        self.state = state;
        self.ended.clear();
        self.era += 1;
    }

    fn call(&mut self, now: Duration) -> bool {
        if self.state == State::Open && now >= self.opens_until {
            self.turn(State::HalfOpen);
        }
        let trying = self.under_way.iter().filter(|(era, tries)| *tries && *era == self.era).count();
        let is_let_through = match self.state {
            State::Closed => true,
            State::Open => false,
            State::HalfOpen => trying < THRESHOLDS.probes as usize,
        };
        if is_let_through {
            self.under_way.push((self.era, self.state == State::HalfOpen));
        }
        is_let_through
    }

    fn end(&mut self, call: usize, verdict: Option<Verdict>, chance: f64, now: Duration) {
        let (era, _) = self.under_way.swap_remove(call);
        let Some(verdict) = verdict.filter(|_| era == self.era) else { return };
        self.ended.push((now, verdict));
        let is_bad = match self.state {
            State::Closed => self.is_too_much(now),
            State::HalfOpen => verdict.failed || verdict.slow,
            State::Open => return,
        };
        if is_bad {
            self.opens_until = now + THRESHOLDS.open.mul_f64(1.0 + chance / 2.0);
            self.turn(State::Open);
        } else if self.state == State::HalfOpen && self.ended.len() == THRESHOLDS.probes as usize {
            self.turn(State::Closed);
        }
    }

    fn is_too_much(&self, now: Duration) -> bool {
        // A window of ten seconds consists of whole seconds.
        let counts = |at: &Duration| at.as_secs() + 10 > now.as_secs();
        let within: Vec<_> = self.ended.iter().filter(|(at, _)| counts(at)).map(|(_, it)| it).collect();
        let share = |is: fn(&Verdict) -> bool| {
            100 * within.iter().filter(|verdict| is(verdict)).count() / within.len().max(1)
        };
        within.len() >= 4 && (share(|it| it.failed) >= 50 || share(|it| it.slow) >= 75)
    }
}

proptest! {
    #[test]
    fn it_does_what_the_model_does(steps in prop::collection::vec(step(), 1..200)) {
        let (mut circuit, mut model) = (Circuit::new(THRESHOLDS), Model::NEW);
        let mut now = Duration::ZERO;
        let mut tickets: Vec<Ticket> = Vec::new();
        for step in steps {
            match step {
                Step::Call => {
                    let ticket = circuit.admit(now);
                    prop_assert_eq!(ticket.is_some(), model.call(now));
                    tickets.extend(ticket);
                }
                Step::Ask => {
                    tickets.push(circuit.within());
                    model.under_way.push((model.era, false));
                }
                Step::MakeRoom { call } => {
                    if call < tickets.len() {
                        circuit.make_room(&mut tickets[call]);
                        model.under_way[call].1 = false;
                    }
                }
                Step::End { call, verdict, chance } => {
                    if call < tickets.len() {
                        circuit.settle(&tickets.swap_remove(call), verdict, now, chance);
                        model.end(call, verdict, chance, now);
                    }
                }
                Step::Advance { by } => now += by,
            }
            prop_assert_eq!(circuit.state(), model.state);
        }
    }

    #[test]
    fn a_port_that_works_again_is_called_again_whatever_happened_before(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut circuit = Circuit::new(THRESHOLDS);
        let mut now = Duration::ZERO;
        let mut tickets: Vec<Ticket> = Vec::new();
        for step in steps {
            match step {
                Step::Call => tickets.extend(circuit.admit(now)),
                Step::Ask => tickets.push(circuit.within()),
                Step::End { call, verdict, chance } if call < tickets.len() => {
                    circuit.settle(&tickets.swap_remove(call), verdict, now, chance);
                }
                Step::MakeRoom { call } if call < tickets.len() => circuit.make_room(&mut tickets[call]),
                Step::End { .. } | Step::MakeRoom { .. } => {}
                Step::Advance { by } => now += by,
            }
        }
        // Whoever still waited has given up.
        for ticket in tickets {
            circuit.settle(&ticket, None, now, 0.5);
        }
        now += THRESHOLDS.open * 3 / 2;
        for _ in 0..THRESHOLDS.probes {
            let ticket = circuit.admit(now).expect("there is room to try");
            circuit.settle(&ticket, Some(WORKED), now, 0.5);
        }
        prop_assert_eq!(circuit.state(), State::Closed);
    }
}
