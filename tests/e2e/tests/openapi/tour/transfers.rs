//! Users from files and into them.

use portwright_e2e::TestApp;
use serde_json::{Value, json};

use super::Tourist;

pub(super) async fn visit(app: &TestApp, tourist: &mut Tourist) {
    let (admin, user, nobody) = (app.admin().await, app.user("user").await, app.nobody());
    let import = "POST /users/import";
    let file = |media_type| Some((media_type, b"email,firstName,lastName,role,password\n".to_vec()));
    for (caller, status) in [(&admin, 202), (&user, 403), (&nobody, 401)] {
        tourist.send(caller, import, file("text/csv"), &[], status).await;
    }
    tourist.send(&admin, import, file("text/plain"), &[], 415).await;
    let (export, order) = ("POST /users/export", json!({"format": "csv"}));
    for (caller, status) in [(&user, 403), (&nobody, 401)] {
        tourist.ask(caller, export, order.clone(), status).await;
    }
    tourist.ask(&admin, export, json!({"filter": {}}), 422).await;
    let job = tourist.ask(&admin, export, order.clone(), 202).await.json();
    app.drain_jobs().await;
    let download = format!("GET /users/exports/{}", job["id"].as_str().expect("an id"));
    for (caller, status) in [(&admin, 200), (&user, 403), (&nobody, 401)] {
        tourist.ask(caller, &download, Value::Null, status).await;
    }
    tourist.ask(&admin, "GET /users/exports/nonsense", Value::Null, 404).await;
    let full = TestApp::with(|config| config.jobs.limits.waiting = 0).await;
    let admin = full.admin().await;
    tourist.send(&admin, import, file("text/csv"), &[], 503).await;
    tourist.ask(&admin, export, order, 503).await;
}
