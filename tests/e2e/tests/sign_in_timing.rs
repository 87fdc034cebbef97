//! How long a refused sign-in takes must not tell whether the account exists.
//!
//! The measure is the area under the ROC curve: how often, of one sample each of two kinds, the second took longer. An
//! attacker who learns nothing is right half of the time (0.5), one who can tell for sure always (0 or 1).

use std::cmp::Ordering;
use std::time::Duration;

use portwright_e2e::app::{PASSWORD, new_user};
use portwright_e2e::{Caller, TestApp};
use portwright_testkit::Noise;
use serde_json::json;
use tokio::time::Instant;

const SAMPLES: usize = 200;
const WARM_UP: usize = 10;

/// With 200 samples of two kinds that do not differ, the standard error is
/// `sqrt((200 + 200 + 1) / (12 · 200 · 200))` = 0.029, so chance leaves these bounds once in millions of runs (five
/// standard errors), and noise of the machine does not matter, because it hits the interleaved kinds alike. A sign-in
/// that skips the hash is some 20 ms shorter, which nothing on the way hides: its area is 0 or 1.
const CANNOT_TELL: std::ops::Range<f64> = 0.35..0.65;

async fn refusal(nobody: &Caller, email: &str, password: &str) -> Duration {
    let body = json!({"email": email, "password": password});
    let start = Instant::now();
    let answer = nobody.post("/auth/login", &body).await;
    let took = start.elapsed();
    answer.expect_problem(401, "invalid-credentials");
    took
}

/// The probability that one of `second` is longer than one of `first` (Mann and Whitney's U, as a share).
fn area(first: &[Duration], second: &[Duration]) -> f64 {
    let pairs = first.iter().flat_map(|a| second.iter().map(move |b| b.cmp(a)));
    let (wins, all) = pairs.fold((0.0, 0.0), |(wins, all), order| match order {
        Ordering::Greater => (wins + 1.0, all + 1.0),
        Ordering::Equal => (wins + 0.5, all + 1.0),
        Ordering::Less => (wins, all + 1.0),
    });
    wins / all
}

fn median(samples: &[Duration]) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

#[tokio::test]
async fn the_time_of_a_refusal_does_not_tell_why() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    admin.post("/users", &new_user("known@example.com", &json!({}))).await.expect(201);
    admin.post("/users", &new_user("inactive@example.com", &json!({"isActive": false}))).await.expect(201);
    let kinds = [
        ("known@example.com", "not-the-password"),
        ("unknown@example.com", "not-the-password"),
        ("inactive@example.com", PASSWORD),
    ];
    let nobody = app.nobody();
    let mut noise = Noise::new(1);
    let mut samples = kinds.map(|_| Vec::new());
    for round in 0..WARM_UP + SAMPLES {
        // Whoever comes first in a round is another one each time.
        let first = noise.below(kinds.len());
        for kind in (0..kinds.len()).map(|step| (first + step) % kinds.len()) {
            let took = refusal(&nobody, kinds[kind].0, kinds[kind].1).await;
            if round >= WARM_UP {
                samples[kind].push(took);
            }
        }
    }
    let [known, unknown, inactive] = &samples;
    for (name, other) in [("unknown", unknown), ("inactive", inactive)] {
        let area = area(known, other);
        let (ours, theirs) = (median(known), median(other));
        assert!(
            CANNOT_TELL.contains(&area),
            "{name} accounts take {theirs:?}, known ones {ours:?}; area {area:.3}"
        );
    }
}

#[test]
fn the_measure_sees_a_difference() {
    let samples = |from: u64| (from..from + 200).map(Duration::from_micros).collect::<Vec<_>>();
    assert!((area(&samples(0), &samples(0)) - 0.5).abs() < 1e-9);
    assert!((area(&samples(0), &samples(1000)) - 1.0).abs() < 1e-9);
    assert!((area(&samples(1000), &samples(0))).abs() < 1e-9);
    assert!(!CANNOT_TELL.contains(&area(&samples(0), &samples(50))));
}
