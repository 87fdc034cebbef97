//! Access tokens that prove nothing: all of them get one and the same answer, whatever is wrong with them.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod claims;
mod forged;
mod keys;
mod mint;
mod scheme;

use portwright_e2e::{Answer, Caller, TestApp};
use reqwest::Method;
use reqwest::header::AUTHORIZATION;

/// Who tries tokens on a server, and knows what refusal looks like there.
struct Gate<'a> {
    app: &'a TestApp,
    refusal: Answer,
}

impl<'a> Gate<'a> {
    async fn of(app: &'a TestApp) -> Self {
        let refusal = with_headers(app, &["Bearer nonsense"]).await;
        refusal.expect_problem(401, "unauthorized");
        assert_eq!(refusal.header("www-authenticate"), r#"Bearer error="invalid_token""#);
        Self { app, refusal }
    }

    /// Panics unless the header is refused in the same words as any other.
    async fn refuses_header(&self, authorization: &str, how: &str) {
        self.is_refusal(&with_headers(self.app, &[authorization]).await, how);
    }

    /// Panics unless the token is refused in the same words as any other.
    async fn refuses(&self, token: &str, how: &str) {
        self.refuses_header(&format!("Bearer {token}"), how).await;
    }

    fn is_refusal(&self, answer: &Answer, how: &str) {
        assert_eq!(answer.status, 401, "{how}: {}", answer.text);
        assert_eq!(answer.text, self.refusal.text, "{how}");
        for name in ["www-authenticate", "content-type", "cache-control"] {
            assert_eq!(answer.header(name), self.refusal.header(name), "{how}: {name}");
        }
    }

    async fn accepts(&self, token: &str) {
        with_headers(self.app, &[&format!("Bearer {token}")]).await.expect(200);
    }
}

/// `GET /auth/me` with these `Authorization` headers. The request id is always the same, and so is the whole body of a
/// refusal.
async fn with_headers(app: &TestApp, authorization: &[&str]) -> Answer {
    let caller = app.nobody();
    let request = caller.request(Method::GET, "/auth/me").header("X-Request-Id", "the-same");
    let request = authorization.iter().fold(request, |request, value| request.header(AUTHORIZATION, *value));
    caller.send(request).await
}

async fn somebody(app: &TestApp) -> Caller {
    app.user("user").await
}
