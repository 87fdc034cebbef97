//! Jobs, their queues, and the tasks that anybody may call.

use bytes::Bytes;
use portwright_domain::job::Outcome;
use portwright_e2e::TestApp;
use portwright_e2e::work::InHand;
use serde_json::{Value, json};

use super::Tourist;

pub(super) async fn visit(app: &TestApp, tourist: &mut Tourist) {
    jobs(app, tourist).await;
    queues(app, tourist).await;
    compute(app, tourist).await;
}

async fn jobs(app: &TestApp, tourist: &mut Tourist) {
    let (admin, user, nobody) = (app.admin().await, app.user("user").await, app.nobody());
    let waiting = format!("/jobs/{}", user.start_primes(100).await["id"].as_str().expect("an id"));
    for (caller, status) in [(&admin, 200), (&user, 403), (&nobody, 401)] {
        tourist.ask(caller, "GET /jobs?page=1&limit=2&state=ready", Value::Null, status).await;
    }
    tourist.ask(&admin, "GET /jobs?state=lost", Value::Null, 422).await;
    for (caller, path, status) in
        [(&user, &waiting, 200), (&nobody, &waiting, 401), (&admin, &"/jobs/nonsense".to_owned(), 404)]
    {
        tourist.ask(caller, &format!("GET {path}"), Value::Null, status).await;
    }
    let retry = format!("POST {waiting}/retry");
    for (caller, status) in [(&admin, 409), (&user, 403), (&nobody, 401)] {
        tourist.ask(caller, &retry, Value::Null, status).await;
    }
    let stop = format!("DELETE {waiting}");
    for (caller, status) in [(&nobody, 401), (&user, 204), (&user, 409)] {
        tourist.ask(caller, &stop, Value::Null, status).await;
    }
    tourist.ask(&admin, &retry, Value::Null, 202).await;
    tourist.ask(&admin, "POST /jobs/nonsense/retry", Value::Null, 404).await;
    app.drain_jobs().await;
    tourist.ask(&user, &stop, Value::Null, 409).await;
    let follow = format!("GET {waiting}/events");
    tourist.ask(&nobody, &follow, Value::Null, 401).await;
    let told = tourist.ask(&user, &follow, Value::Null, 200).await;
    let id = told.text.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id");
    tourist.ask_with(&user, &follow, Value::Null, &[("Last-Event-ID", id)], 204).await;
    for what in [&retry, &stop] {
        tourist.ask(&app.nobody(), what, Value::Null, 401).await;
    }
    let brief = TestApp::with(|config| config.jobs.limits.succeeded.jobs = 0).await;
    let gone =
        format!("/jobs/{}", brief.admin().await.start_primes(100).await["id"].as_str().expect("an id"));
    brief.drain_jobs().await;
    let admin = brief.admin().await;
    for (method, below) in [("GET", ""), ("GET", "/events"), ("DELETE", ""), ("POST", "/retry")] {
        tourist.ask(&admin, &format!("{method} {gone}{below}"), Value::Null, 410).await;
    }
}

async fn queues(app: &TestApp, tourist: &mut Tourist) {
    let (admin, user, nobody) = (app.admin().await, app.user("user").await, app.nobody());
    for (caller, status) in [(&admin, 200), (&user, 403), (&nobody, 401)] {
        tourist.ask(caller, "GET /queues", Value::Null, status).await;
    }
    for verb in ["pause", "resume"] {
        let what = format!("POST /queues/cpu/{verb}");
        for (caller, status) in [(&admin, 204), (&user, 403), (&nobody, 401)] {
            tourist.ask(caller, &what, Value::Null, status).await;
        }
        tourist.ask(&admin, &what.replace("cpu", "CPU"), Value::Null, 404).await;
    }
}

async fn compute(app: &TestApp, tourist: &mut Tourist) {
    let user = app.user("user").await;
    let what = "POST /compute/primes";
    let query = json!({"below": 100});
    tourist.ask(&app.nobody(), what, query.clone(), 401).await;
    tourist.ask(&user, what, json!({"below": -1}), 422).await;
    for outcome in [
        (Outcome::Succeeded(Bytes::from_static(br#"{"count":0,"largest":null}"#)), 200),
        (Outcome::Failed(Bytes::from_static(br#"{"code":"stopped"}"#)), 422),
        (Outcome::Cancelled, 502),
    ] {
        let (outcome, status) = outcome;
        let end = async { InHand::next(app.jobs()).await.end(outcome).await };
        let (_, ()) = tokio::join!(tourist.ask(&user, what, query.clone(), status), end);
    }
    let prefer = [("Prefer", "respond-async")];
    tourist.ask_with(&user, what, query.clone(), &prefer, 202).await;
    let full = TestApp::with(|config| config.jobs.limits.waiting = 0).await;
    tourist.ask_with(&full.user("user").await, what, query, &prefer, 503).await;
}
