//! What somebody without the key can make of a genuine token.

use portwright_e2e::TestApp;
use portwright_testkit::Noise;
use portwright_testkit::forgery::{Forgery, forgeries};

use crate::{Gate, somebody, with_headers};

#[tokio::test]
async fn no_forgery_is_accepted() {
    let app = TestApp::embedded().await;
    let gate = Gate::of(&app).await;
    let user = somebody(&app).await;
    let forgeries: Vec<_> = forgeries(user.token()).into_iter().filter(Forgery::fits_a_header).collect();
    assert!(forgeries.len() > 2_000, "only {}", forgeries.len());
    for forgery in forgeries {
        gate.refuses(&forgery.token, &forgery.how).await;
    }
    gate.accepts(user.token()).await;
}

#[tokio::test]
async fn no_mutation_is_accepted() {
    let app = TestApp::embedded().await;
    let gate = Gate::of(&app).await;
    let user = somebody(&app).await;
    let mut noise = Noise::new(20_260_101);
    for _ in 0..3_000 {
        let token = mutated(user.token(), &mut noise);
        gate.refuses(&token, &token).await;
    }
    gate.accepts(user.token()).await;
}

/// One to four changes of single characters, of which some come out as a difference.
fn mutated(genuine: &str, noise: &mut Noise) -> String {
    let alphabet: Vec<u8> = (b'!'..=b'~').collect();
    loop {
        let mut token = genuine.as_bytes().to_vec();
        for _ in 0..=noise.below(4) {
            let (at, other) = (noise.below(token.len()), noise.below(token.len()));
            let byte = *noise.one_of(&alphabet);
            match noise.below(4) {
                0 => token.insert(at, byte),
                1 => drop(token.remove(at)),
                2 => token.swap(at, other),
                _ => token[at] = byte,
            }
        }
        if token != genuine.as_bytes() {
            return String::from_utf8(token).expect("ASCII");
        }
    }
}

#[tokio::test]
async fn a_token_over_eight_kilobytes_is_refused_unread() {
    let app = TestApp::embedded().await;
    let gate = Gate::of(&app).await;
    let genuine = somebody(&app).await.token().to_owned();
    for token in ["A".repeat(8_193), "A.".repeat(6_000), format!("{genuine}{}", "A".repeat(9_000))] {
        gate.refuses(&token, "too long").await;
    }
    // More than a whole request head may have.
    let answer = with_headers(&app, &[&format!("Bearer {}", "A".repeat(17_000))]).await;
    answer.expect_refused(431, "headers-too-large");
}

#[tokio::test]
async fn one_kind_of_token_is_not_good_for_another() {
    let app = TestApp::embedded().await;
    let gate = Gate::of(&app).await;
    let admin = app.admin().await;
    let change = admin.patch(&admin.path(), &serde_json::json!({"firstName": "Grace"})).await;
    change.expect(200);
    somebody(&app).await;
    let cursor = admin.get("/users?cursor=&limit=1").await.expect(200)["pagination"]["nextCursor"].clone();
    for (token, how) in [
        (admin.refresh_token(), "a refresh token"),
        (change.header("consistency-token"), "a consistency token"),
        (change.header("etag"), "an entity tag"),
        (cursor.as_str().expect("there are two users"), "a cursor"),
        (admin.id(), "a user id"),
    ] {
        assert_ne!(token, "", "{how}");
        gate.refuses(token, how).await;
    }
}
