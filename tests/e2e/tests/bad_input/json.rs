//! Bodies that are no JSON, and JSON that is no body of ours.

use serde_json::{Value, json};

use portwright_e2e::TestApp;

use crate::{Operation, document, documented_operations, operations};

const JSON: &str = "application/json";

#[tokio::test]
async fn what_is_not_json_is_a_malformed_body() {
    let app = TestApp::embedded().await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    let bodies: &[&[u8]] = &[
        b"",
        b" ",
        b"{",
        b"}",
        b"[1,",
        b"{\"a\":}",
        b"{\"a\":1,}",
        b"{a:1}",
        b"{'a':1}",
        b"{\"a\":1}{\"b\":2}",
        b"{\"a\":1} x",
        b"nul",
        b"True",
        b"NaN",
        b"Infinity",
        b"-",
        b"01",
        b"1.",
        b".5",
        b"0x10",
        b"1e999",
        b"\"\x01\"",
        b"\"\\x41\"",
        b"\"\\u12\"",
        b"// comment\n{}",
        b"{}/**/",
        // A byte order mark, UTF-16, and what is no UTF-8 at all.
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\0}\0",
        b"\0{\0}",
        b"{}\0",
        b"\0",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\xc0\x80\"}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"{\"\xff\":1}",
        // Half a character.
        b"{\"a\":\"\\ud800\"}",
        b"{\"a\":\"\\udc00\\ud800\"}",
        b"{\"a\":\"\\ud800\\u0041\"}",
        b"{\"\\ud800\":1}",
        b"<a/>",
        b"email=a",
    ];
    for operation in operations(&app, &user).await {
        for body in bodies {
            let answer = operation.send(&admin, JSON, body.to_vec()).await;
            let shown = String::from_utf8_lossy(body);
            assert_eq!(answer.status, 400, "{} {shown}: {}", operation.name(), answer.text);
            answer.expect_problem(400, "malformed-body");
        }
        let whole = operation.body.to_string();
        for length in (1..whole.len()).step_by(7) {
            operation
                .send(&admin, JSON, whole[..length].to_owned())
                .await
                .expect_problem(400, "malformed-body");
        }
    }
}

#[tokio::test]
async fn sixty_four_levels_and_no_more() {
    let app = TestApp::embedded().await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    // The body itself is the first level.
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    for operation in operations(&app, &user).await {
        let with = |levels: usize| {
            let text = operation.body.to_string();
            format!("{},\"surprise\":{}}}", &text[..text.len() - 1], nested(levels))
        };
        let answer = operation.send(&admin, JSON, with(64)).await;
        answer.expect_invalid(&[("/surprise", "unknown-field")]);
        for levels in [65, 1_000, 100_000] {
            let answer = operation.send(&admin, JSON, with(levels)).await;
            assert_eq!(answer.status, 400, "{levels}: {}", answer.text);
            answer.expect_problem(400, "malformed-body");
        }
        operation.send(&admin, JSON, "{\"a\":".repeat(50_000)).await.expect_problem(400, "malformed-body");
    }
}

#[tokio::test]
async fn no_member_stands_twice() {
    let app = TestApp::embedded().await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    for operation in operations(&app, &user).await {
        let text = operation.body.to_string();
        let fields: Vec<_> = operation.body.as_object().expect("an object").iter().collect();
        for (name, value) in fields {
            let escaped =
                name.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect::<Vec<_>>().concat();
            for name in [name, &escaped] {
                let twice = text.replacen('{', &format!("{{\"{name}\":{value},"), 1);
                operation.send(&admin, JSON, twice).await.expect_problem(400, "malformed-body");
            }
        }
        let unknown = text.replacen('{', r#"{"surprise":1,"surprise":1,"#, 1);
        operation.send(&admin, JSON, unknown).await.expect_problem(400, "malformed-body");
        let deep = text.replacen('{', r#"{"surprise":{"a":1,"a":1},"#, 1);
        operation.send(&admin, JSON, deep).await.expect_problem(400, "malformed-body");
    }
}

#[tokio::test]
async fn what_is_json_and_no_object_has_one_error() {
    let app = TestApp::embedded().await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    for operation in operations(&app, &user).await {
        let in_array = json!([operation.body]);
        for body in [json!(null), json!(true), json!(1), json!(-0.5), json!("text"), json!([]), in_array] {
            operation.send_json(&admin, &body).await.expect_invalid(&[("", "invalid-type")]);
        }
    }
}

#[tokio::test]
async fn no_operation_takes_unknown_fields() {
    let app = TestApp::embedded().await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    for operation in operations(&app, &user).await {
        let mut body = operation.body.clone();
        let names = [
            "id",
            "Email",
            "EMAIL",
            "first_name",
            "passwordHash",
            "isEmailVerified",
            "createdAt",
            "version",
            "admin",
            "__proto__",
            "constructor",
            "",
            " ",
            "$ref",
            "€",
            "a/b~c",
            "email ",
            "\u{0}",
        ];
        for name in names {
            body[name] = json!(1);
        }
        let pointers = names.map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1")));
        let expected: Vec<_> = pointers.iter().map(|pointer| (pointer.as_str(), "unknown-field")).collect();
        operation.send_json(&admin, &body).await.expect_invalid(&expected);

        // A name that is too long to be one of ours is not repeated whole.
        let long = json!({"x".repeat(10_000): 1});
        let answer = operation.send_json(&admin, &long).await;
        answer.expect_problem(422, "validation-failed");
        assert!(answer.text.len() < 2_000, "{} bytes", answer.text.len());
    }
}

#[tokio::test]
async fn many_unknown_fields_cost_no_more_than_few() {
    let app = TestApp::embedded().await;
    let body: serde_json::Map<_, _> = (0..50_000).map(|n| (format!("f{n}"), Value::Null)).collect();
    let answer = app.nobody().post("/auth/login", &Value::Object(body)).await;
    answer.expect_problem(422, "validation-failed");
    assert!(answer.text.len() < 64 * 1024, "an answer of {} bytes", answer.text.len());
}

#[tokio::test]
async fn every_field_has_one_type_and_null_is_none() {
    let app = TestApp::embedded().await;
    let (admin, user) = (app.admin().await, app.user("user").await);
    let document = document(&app).await;
    for operation in operations(&app, &user).await {
        for name in fields(&document, &operation) {
            let is_text = operation.body[&name].is_string();
            let other = if is_text { json!(true) } else { json!("true") };
            for wrong in [
                json!(null),
                json!(0),
                json!(1),
                json!(-1.5),
                json!(1e30),
                json!(u64::MAX),
                json!([]),
                json!({}),
                json!([operation.body[&name]]),
                other,
            ] {
                // Which numbers a number may be, and what stands in an object, are questions of their own.
                let right = &operation.body[&name];
                if (wrong.is_number() && right.is_number()) || (wrong.is_object() && right.is_object()) {
                    continue;
                }
                let mut body = operation.body.clone();
                body[&name] = wrong.clone();
                let answer = operation.send_json(&admin, &body).await;
                assert_eq!(answer.status, 422, "{} {name}: {wrong}: {}", operation.name(), answer.text);
                answer.expect_invalid(&[(&format!("/{name}"), "invalid-type")]);
            }
        }
        // All of them at once.
        let mut body = operation.body.clone();
        body.as_object_mut().expect("an object").values_mut().for_each(|value| *value = json!([]));
        let pointers: Vec<_> = fields(&document, &operation).iter().map(|name| format!("/{name}")).collect();
        let expected: Vec<_> = pointers.iter().map(|pointer| (pointer.as_str(), "invalid-type")).collect();
        operation.send_json(&admin, &body).await.expect_invalid(&expected);
    }
    assert_eq!(admin.get("/users").await.expect(200)["pagination"]["total"], 2);
}

/// The documented fields of a body, all of which the example has.
fn fields(document: &Value, operation: &Operation) -> Vec<String> {
    let (_, _, described) = documented_operations(document)
        .find(|(path, method, _)| *path == operation.template && *method == operation.method)
        .expect("it is documented");
    let reference = &described["requestBody"]["content"][JSON]["schema"]["$ref"];
    let schema = reference.as_str().and_then(|path| path.strip_prefix('#')).expect("a reference");
    let schema = document.pointer(schema).expect("a schema");
    assert_eq!(schema["additionalProperties"], false, "{}", operation.name());
    let mut documented: Vec<_> = schema["properties"].as_object().expect("fields").keys().cloned().collect();
    let mut ours: Vec<_> = operation.body.as_object().expect("an object").keys().cloned().collect();
    documented.sort();
    ours.sort();
    assert_eq!(ours, documented, "tell this test about the fields of {}", operation.name());
    ours
}
