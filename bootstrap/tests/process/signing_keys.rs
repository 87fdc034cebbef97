//! The key that signs is changed in steps, and nobody notices.

use std::path::PathBuf;

use portwright_security::SigningKey;
use serde_json::{Value, json};

use crate::place::Place;
use crate::server::Server;

/// The ids of the keys that a server publishes.
async fn published(server: &Server) -> Vec<String> {
    let keys = server.api().get("/.well-known/jwks.json").await.expect(200);
    let id = |key: &Value| key["kid"].as_str().expect("an id").to_owned();
    keys["keys"].as_array().expect("keys").iter().map(id).collect()
}

/// Serves with the first of these keys, and takes the tokens of all.
async fn serve(place: &Place, keys: &[&PathBuf]) -> Server {
    let accepted: Vec<_> = keys.iter().map(|path| path.to_str().expect("a text")).collect();
    let mut command = place.command(["serve"]);
    command.env("JWT_PRIVATE_KEY_FILE", keys[0]).env("JWT_ACCEPTED_KEY_FILES", accepted.join(","));
    Server::start(&mut command).await
}

#[tokio::test]
async fn a_change_of_keys_signs_nobody_out() {
    let place = Place::empty();
    let [(old, old_id), (new, new_id)] = ["old.pem", "new.pem"].map(|name| {
        let path = place.path().join(name);
        let id = SigningKey::create(&path).expect("a key").id().to_owned();
        (path, id)
    });
    // Servers that sign with the old key take the new one, before any signs with it.
    let server = serve(&place, &[&old, &new]).await;
    assert_eq!(published(&server).await, [&*old_id, &*new_id], "each once");
    let admin = place.first_admin(&server).await;
    server.api().registered("ada@example.com").await;
    let page = admin.get("/users?limit=1&cursor=").await.expect(200);
    let next = page["pagination"]["nextCursor"].as_str().expect("a second page").to_owned();
    server.stop().await;

    let server = serve(&place, &[&new, &old]).await;
    assert_eq!(published(&server).await, [&*new_id, &*old_id]);
    let admin = server.api().with_session(admin.session);
    admin.get("/auth/me").await.expect(200);
    admin.get(&format!("/users?limit=1&cursor={next}")).await.expect(200);
    let refresh = json!({"refreshToken": admin.session["refreshToken"]});
    let renewed = admin.post("/auth/refresh", &refresh).await.expect(200);
    server.stop().await;

    // Once the last token of the old key has ended, it is taken out.
    let server = serve(&place, &[&new]).await;
    assert_eq!(published(&server).await, [new_id]);
    server.api().with_session(renewed).get("/auth/me").await.expect(200);
    server.api().with_session(admin.session).get("/auth/me").await.expect(401);
}

#[tokio::test]
async fn a_key_that_is_none_is_told_before_anything_starts() {
    let place = Place::empty();
    let path = place.path().join("other.pem");
    std::fs::write(&path, "-----BEGIN NONSENSE-----").expect("written");
    let mut command = place.command(["serve"]);
    command.env("JWT_ACCEPTED_KEY_FILES", &path);
    let ran = crate::place::ran(&mut command, b"").await;
    ran.expect_failure(78, &["other.pem"]);
}
