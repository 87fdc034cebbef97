//! Values of the right type that are wrong all the same.

use portwright_e2e::TestApp;
use portwright_e2e::app::new_user;
use serde_json::json;

#[tokio::test]
async fn what_is_no_address_is_refused_and_what_is_odd_is_taken() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for text in [
        "",
        " ",
        "a",
        "@",
        "a@",
        "@b",
        "a@b@c",
        "a b@c",
        " a@b",
        "a@b ",
        "a@b c",
        "a@-b",
        "a@b-",
        "a@b..c",
        "a@.b",
        "a@b.",
        ".a@b",
        "a.@b",
        "a..b@c",
        "a@b_c",
        "a@[127.0.0.1]",
        "a@b:25",
        "\"a b\"@c",
        "a(comment)@b",
        "<a@b>",
        "a,b@c",
        "a;b@c",
        "a@b,c@d",
        "mailto:a@b\u{0}",
        "a\u{0}@b",
        "a@b\u{0}",
        "a\n@b",
        "a@b\r\nBcc: c@d",
        "a\t@b",
        "a\u{7f}@b",
        "a\u{85}@b",
        "a\u{a0}@b",
        "a\u{2028}@b",
        "a\u{200b}@b",
        "a@b\u{200d}",
        "a\u{202e}@b",
        "\u{feff}a@b",
        "a＠b@c",
        "a\\@b",
        "a@b/c",
        "a@b?c",
        "a@b#c",
        "a@b%00",
        "a@🔑",
    ] {
        let answer = admin.post("/users", &new_user(text, &json!({}))).await;
        assert_eq!(answer.status, 422, "{text:?}: {}", answer.text);
        answer.expect_invalid(&[("/email", "invalid-email")]);
    }
    for text in [
        "a@b",
        "admin@localhost",
        "o'brien+tag@sub.example.co.uk",
        "!#$%&'*+/=?^_`{|}~-@example.com",
        "用户@例え.jp",
        "José@Example.com",
        "1@1",
        "a-b@c-d.e",
        "a@xn--bcher-kva.example",
        "ＡＢ@example.com",
    ] {
        let user = admin.post("/users", &new_user(text, &json!({}))).await.expect(201);
        assert_eq!(user["email"], text, "kept as given");
    }
}

#[tokio::test]
async fn names_are_text_for_people() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for (name, code) in [
        ("", "required"),
        (" \t\n ", "required"),
        ("\u{a0}\u{3000}", "required"),
        ("a\u{0}b", "invalid-character"),
        ("a\nb", "invalid-character"),
        ("a\u{1b}[31mb", "invalid-character"),
        ("a\u{7f}b", "invalid-character"),
        ("a\u{202e}b", "invalid-character"),
        ("a\u{2066}b", "invalid-character"),
    ] {
        let body = new_user("ada@example.com", &json!({"firstName": name, "lastName": name}));
        admin.post("/users", &body).await.expect_invalid(&[("/firstName", code), ("/lastName", code)]);
    }
    // Nothing in them means anything to us.
    let texts = [
        "<script>alert(1)</script>",
        "'; DROP TABLE users; --",
        "{{7*7}}",
        "%s%n",
        "../../etc/passwd",
        "O’Brien",
        "张伟",
        "👩‍💻",
        "null",
        "=1+1",
    ];
    for (number, name) in texts.iter().enumerate() {
        let body = new_user(&format!("{number}@example.com"), &json!({"firstName": name, "lastName": name}));
        let user = admin.post("/users", &body).await.expect(201);
        assert_eq!((&user["firstName"], &user["lastName"]), (&json!(name), &json!(name)));
        let path = format!("/users/{}", user["id"].as_str().expect("an id"));
        assert_eq!(admin.get(&path).await.expect(200), user);
    }
}

#[tokio::test]
async fn roles_are_three_words() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    for role in ["", "Admin", "ADMIN", " admin", "admin ", "root", "user,admin", "admin\u{0}"] {
        let body = new_user("ada@example.com", &json!({"role": role}));
        admin.post("/users", &body).await.expect_invalid(&[("/role", "unknown-role")]);
    }
}

#[tokio::test]
async fn parameters_of_the_list_are_what_the_document_says() {
    let app = TestApp::embedded().await;
    let admin = app.admin().await;
    let long = "x".repeat(255);
    for (query, expected) in [
        ("page=0", vec![("page", "out-of-range")]),
        ("page=-1", vec![("page", "out-of-range")]),
        ("page=1.0", vec![("page", "out-of-range")]),
        ("page=", vec![("page", "out-of-range")]),
        ("page=%201", vec![("page", "out-of-range")]),
        ("page=1e3", vec![("page", "out-of-range")]),
        ("page=0x1", vec![("page", "out-of-range")]),
        ("page=%D9%A1", vec![("page", "out-of-range")]),
        ("page=99999999999999999999", vec![("page", "out-of-range")]),
        ("limit=0", vec![("limit", "out-of-range")]),
        ("limit=101", vec![("limit", "out-of-range")]),
        ("limit=-9223372036854775809", vec![("limit", "out-of-range")]),
        ("page=1&page=1", vec![("page", "repeated-parameter")]),
        ("isActive=1", vec![("isActive", "invalid-type")]),
        ("isActive=True", vec![("isActive", "invalid-type")]),
        ("role=Admin", vec![("role", "unknown-role")]),
        ("sortBy=password", vec![("sortBy", "unknown-value")]),
        ("sortBy=email;drop", vec![("sortBy", "unknown-value")]),
        ("sortOrder=up", vec![("sortOrder", "unknown-value")]),
        ("cursor=nonsense", vec![("cursor", "invalid-cursor")]),
        ("cursor=&page=1", vec![("cursor", "conflicting-parameters")]),
        (&format!("search={long}"), vec![("search", "too-long")]),
        (&format!("email={long}"), vec![("email", "too-long")]),
        ("search=%ff", vec![("", "invalid-encoding")]),
        (
            "page=0&limit=0&role=x&nothing=1",
            vec![
                ("page", "out-of-range"),
                ("limit", "out-of-range"),
                ("role", "unknown-role"),
                ("nothing", "unknown-parameter"),
            ],
        ),
    ] {
        let answer = admin.get(&format!("/users?{query}")).await;
        assert_eq!(answer.status, 422, "{query}: {}", answer.text);
        answer.expect_invalid(&expected);
    }
    for harmless in [
        "search=%00",
        "search=%25",
        "search=_",
        "search=%5C",
        "search=%27%22",
        "search=*",
        "search=%F0%9F%94%91",
        "page=1000000000",
    ] {
        let page = admin.get(&format!("/users?{harmless}")).await.expect(200);
        // All of them mean themselves, and nobody has them.
        assert_eq!(page["data"], json!([]), "{harmless}");
    }
}
