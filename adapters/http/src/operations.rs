//! What operators and tools ask for: health, public keys, the document and its page.

use std::collections::BTreeMap;
use std::sync::Arc;

use poem::Request;
use poem_openapi::payload::Html;
use poem_openapi::types::Any;
use poem_openapi::{ApiResponse, Object, OpenApi};
use portwright_application::Sessions;
use portwright_application::health::{HealthChecks, Report};
use portwright_domain::access::Role;
use portwright_domain::ports::{HealthStatus, TokenIssuer};
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::document::Document;
use crate::json::{HealthJson, Json, Yaml};
use crate::principal::bearer_token;
use crate::tags::Tag;

/// Who sees more of the health than its status.
#[derive(Clone)]
pub enum HealthDetails {
    /// Everybody; for development and tests.
    Everybody,
    /// Admins, and whoever sends this secret in `X-Health-Key`, if there is one.
    Trusted(Option<String>),
}

/// The operations on the service itself.
pub(crate) struct OperationsApi {
    pub(crate) health: Arc<HealthChecks>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) details: HealthDetails,
    /// Set as soon as the service is about to stop.
    pub(crate) draining: CancellationToken,
    pub(crate) tokens: Arc<dyn TokenIssuer>,
    pub(crate) document: Arc<Document>,
}

/// The health of the service.
#[derive(Object, Serialize)]
#[oai(rename = "Health")]
struct HealthBody {
    /// The worst of all components: `pass`, `warn` (serving, but not as it should) or `fail`.
    status: String,
    /// Each component by its name.
    checks: BTreeMap<String, CheckBody>,
}

/// The health of one component.
#[derive(Object, Serialize)]
#[oai(rename = "HealthCheck")]
struct CheckBody {
    status: String,
    /// What else is known; only for those who may see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<BTreeMap<String, String>>,
}

#[derive(ApiResponse)]
enum LiveAnswer {
    /// The process answers.
    #[oai(status = 200)]
    Alive(HealthJson<HealthBody>),
}

#[derive(ApiResponse)]
enum HealthAnswer {
    /// It serves.
    #[oai(status = 200)]
    Serving(HealthJson<HealthBody>),
    /// It does not serve, or is about to stop.
    #[oai(status = 503)]
    NotServing(HealthJson<HealthBody>),
}

#[derive(ApiResponse)]
enum KeysAnswer {
    /// The keys.
    #[oai(status = 200)]
    Keys(Json<Any<Value>>),
}

#[derive(ApiResponse)]
enum DocumentAnswer {
    /// The document.
    #[oai(status = 200)]
    Document(Json<Any<Value>>),
}

#[derive(ApiResponse)]
enum YamlAnswer {
    /// The document.
    #[oai(status = 200)]
    Document(Yaml),
}

#[derive(ApiResponse)]
enum DocsAnswer {
    /// The page.
    #[oai(status = 200)]
    Page(
        Html<String>,
        /// Only the scripts of this page may run.
        #[oai(header = "Content-Security-Policy")]
        String,
    ),
}

#[expect(clippy::unused_async, reason = "every operation is asynchronous, whatever it does")]
#[OpenApi(tag = "Tag::Operations")]
impl OperationsApi {
    /// Is the process alive?
    ///
    /// Touches no dependency.
    #[oai(path = "/health/live", method = "get", operation_id = "healthLive")]
    async fn live(&self) -> LiveAnswer {
        LiveAnswer::Alive(HealthJson(HealthBody { status: "pass".into(), checks: BTreeMap::new() }))
    }

    /// May it get requests?
    #[oai(path = "/health/ready", method = "get", operation_id = "healthReady")]
    async fn ready(&self) -> HealthAnswer {
        let report = self.health.report().await;
        let mut body = body_of(&report, false);
        if self.draining.is_cancelled() {
            body.status = HealthStatus::Fail.as_str().into();
            return HealthAnswer::NotServing(HealthJson(body));
        }
        answer(&report, body)
    }

    /// How is everything?
    ///
    /// Admins, and whoever has the health key, also see details.
    #[oai(path = "/health", method = "get", operation_id = "health")]
    async fn health(&self, request: &Request) -> HealthAnswer {
        let report = self.health.report().await;
        let details = self.may_see_details(request).await;
        answer(&report, body_of(&report, details))
    }

    /// The public keys of access tokens
    ///
    /// A JSON Web Key Set (RFC 7517); empty where tokens are signed with a shared secret.
    #[oai(path = "/.well-known/jwks.json", method = "get", operation_id = "publicKeys")]
    async fn public_keys(&self) -> KeysAnswer {
        let keys = serde_json::from_str(&self.tokens.public_keys()).unwrap_or_default();
        KeysAnswer::Keys(Json(Any(keys)))
    }

    /// This document
    #[oai(path = "/openapi.json", method = "get", operation_id = "openapiJson")]
    async fn openapi_json(&self) -> DocumentAnswer {
        DocumentAnswer::Document(Json(Any(self.document.value.clone())))
    }

    /// This document as YAML
    #[oai(path = "/openapi.yaml", method = "get", operation_id = "openapiYaml")]
    async fn openapi_yaml(&self) -> YamlAnswer {
        YamlAnswer::Document(Yaml(self.document.yaml()))
    }

    /// This document as a page
    #[oai(path = "/docs", method = "get", operation_id = "docs")]
    async fn docs(&self) -> DocsAnswer {
        DocsAnswer::Page(Html(self.document.page.clone()), self.document.page_policy.clone())
    }
}

impl OperationsApi {
    async fn may_see_details(&self, request: &Request) -> bool {
        let HealthDetails::Trusted(secret) = &self.details else { return true };
        let given = request.header("X-Health-Key");
        if let (Some(secret), Some(given)) = (secret, given) {
            // Compared by digest, so that the time it takes says nothing about the secret.
            let digest = |text: &str| ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
            if digest(secret).as_ref() == digest(given).as_ref() {
                return true;
            }
        }
        let Some(token) = bearer_token(request) else { return false };
        self.sessions.authenticate(token).await.is_ok_and(|caller| caller.principal.role == Role::Admin)
    }
}

fn answer(report: &Report, body: HealthBody) -> HealthAnswer {
    match report.status {
        HealthStatus::Pass | HealthStatus::Warn => HealthAnswer::Serving(HealthJson(body)),
        HealthStatus::Fail => HealthAnswer::NotServing(HealthJson(body)),
    }
}

fn body_of(report: &Report, with_details: bool) -> HealthBody {
    let checks = report.checks.iter().map(|(name, health)| {
        let details = health.details.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let details = with_details.then(|| details.collect());
        ((*name).to_owned(), CheckBody { status: health.status.as_str().into(), details })
    });
    HealthBody { status: report.status.as_str().into(), checks: checks.collect() }
}
