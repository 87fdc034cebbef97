//! Pictures of users.

use portwright_domain::avatar::PictureKind;
use portwright_domain::job::Outcome;
use portwright_e2e::TestApp;
use portwright_e2e::work::InHand;
use portwright_testkit::pictures::picture;
use serde_json::Value;

use super::Tourist;

pub(super) async fn visit(app: &TestApp, tourist: &mut Tourist) {
    let (admin, moderator, user) = (app.admin().await, app.user("moderator").await, app.user("user").await);
    let path = format!("{}/avatar", user.path());
    let [put, get, delete] = ["PUT", "GET", "DELETE"].map(|method| format!("{method} {path}"));
    let png = || Some(("image/png", picture(PictureKind::Png, 9, 9)));
    let hasty = [("Prefer", "respond-async")];
    for (caller, status) in [(&user, 202), (&admin, 202), (&moderator, 403), (&app.nobody(), 401)] {
        tourist.send(caller, &put, png(), &hasty, status).await;
    }
    tourist.send(&admin, "PUT /users/nonsense/avatar", png(), &hasty, 404).await;
    app.drain_jobs().await;
    let cancelled = async { InHand::next(app.jobs()).await.end(Outcome::Cancelled).await };
    let (_, ()) = tokio::join!(tourist.send(&user, &put, png(), &[("Prefer", "wait=20")], 502), cancelled);
    let worker = app.work();
    tourist.send(&user, &put, png(), &[("Prefer", "wait=20")], 200).await;
    drop(worker);
    for (bytes, status) in [(Vec::new(), 422), (picture(PictureKind::Jpeg, 9, 9), 415)] {
        tourist.send(&user, &put, Some(("image/png", bytes)), &hasty, status).await;
    }
    for (caller, status) in [(&moderator, 200), (&app.nobody(), 401)] {
        tourist.ask(caller, &format!("{get}?size=64"), Value::Null, status).await;
    }
    tourist.ask(&user, &format!("{get}?size=1"), Value::Null, 422).await;
    tourist.ask_with(&user, &get, Value::Null, &[("If-None-Match", "*")], 304).await;
    tourist.ask_with(&user, &get, Value::Null, &[("Consistency-Token", "nonsense")], 400).await;
    let stale = [("If-Match", "\"stale\"")];
    tourist.send(&user, &put, png(), &stale, 412).await;
    tourist.send(&user, &delete, None, &stale, 412).await;
    for (caller, status) in [(&app.nobody(), 401), (&moderator, 403), (&user, 204)] {
        tourist.ask(caller, &delete, Value::Null, status).await;
    }
    tourist.ask(&admin, "DELETE /users/nonsense/avatar", Value::Null, 404).await;
    tourist.ask(&user, &get, Value::Null, 404).await;
    let full = TestApp::with(|config| config.jobs.limits.waiting = 0).await;
    let user = full.user("user").await;
    tourist.send(&user, &format!("PUT {}/avatar", user.path()), png(), &hasty, 503).await;
}
