//! The OpenAPI document is true: it is the committed one, it and the router know the same operations, and no operation
//! answers what it does not list.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use portwright::config::Registration;
use portwright_e2e::TestApp;
use reqwest::Method;
use serde_json::Value;

mod tour;

/// Every operation: its path template, its method, and what the document says of it.
fn operations(document: &Value) -> Vec<(&str, Method, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let all = paths.iter().flat_map(|(path, operations)| {
        operations.as_object().expect("operations").iter().map(|(method, operation)| {
            (path.as_str(), Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method"), operation)
        })
    });
    all.collect()
}

fn statuses(operation: &Value) -> BTreeSet<u16> {
    let answers = operation["responses"].as_object().expect("answers");
    answers.keys().map(|status| status.parse().expect("a status")).collect()
}

#[test]
fn the_committed_document_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi/openapi.json");
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let generated = portwright_http::document().json();
    let line = committed.lines().zip(generated.lines()).position(|(old, new)| old != new).unwrap_or_default() + 1;
    assert!(
        committed == generated,
        "openapi/openapi.json is not what the code says (line {line}); write it anew: cargo run -- openapi --write"
    );
}

#[tokio::test]
async fn the_served_document_is_the_committed_one_in_every_form() {
    let app = TestApp::embedded().await;
    let generated = portwright_http::document();
    let json = app.nobody().get("/openapi.json").await;
    assert_eq!(json.expect(200), generated.value);
    assert!(json.expect(200)["openapi"].as_str().is_some_and(|version| version.starts_with("3.")));
    let yaml = app.nobody().get("/openapi.yaml").await;
    yaml.expect(200);
    assert_eq!(yaml.text, generated.yaml());
    let page = app.nobody().get("/docs").await;
    page.expect(200);
    assert!(page.text.contains(&generated.value["info"]["title"].as_str().expect("a title").to_owned()));
    assert!(!page.text.contains("src=\"http") && !page.text.contains("href=\"http"), "the page loads from elsewhere");
}
