//! `/health`: for probes, balancers and people.

use std::collections::BTreeMap;
use std::sync::Arc;

use poem::Request;
use poem_openapi::{ApiResponse, Object, OpenApi};
use portwright_application::Sessions;
use portwright_application::health::{HealthChecks, Report};
use portwright_domain::access::Role;
use portwright_domain::ports::HealthStatus;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::json::HealthJson;
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

/// The operations that tell how the service is.
pub(crate) struct HealthApi {
    pub(crate) health: Arc<HealthChecks>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) details: HealthDetails,
    /// Cancelled when no more requests should be sent here.
    pub(crate) unready: CancellationToken,
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

#[expect(clippy::unused_async, reason = "every operation is asynchronous, whatever it does")]
#[OpenApi(tag = "Tag::Operations")]
impl HealthApi {
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
        if self.unready.is_cancelled() {
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
}

impl HealthApi {
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
