//! `/metrics`: what Prometheus comes for.

use std::sync::Arc;

use async_trait::async_trait;
use poem::{IntoResponse, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, OpenApi};

use crate::problem::{Problem, ProblemCode};
use crate::refusals::refusals;
use crate::tags::Tag;

/// Writes down what was counted.
#[async_trait]
pub trait Exposition: Send + Sync + 'static {
    /// In the text format of Prometheus, version 0.0.4. Never fails and does not take long: a scraper does not wait.
    async fn text(&self) -> String;
}

/// The operation that shows what was counted, to whoever may see it.
pub(crate) struct MetricsApi {
    /// `None` where nobody may: then there is no such path.
    pub(crate) exposition: Option<Arc<dyn Exposition>>,
}

/// Text for Prometheus.
struct PrometheusText(String);

impl Payload for PrometheusText {
    const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4";

    fn schema_ref() -> MetaSchemaRef {
        String::schema_ref()
    }

    fn register(registry: &mut Registry) {
        String::register(registry);
    }
}

impl IntoResponse for PrometheusText {
    fn into_response(self) -> Response {
        Response::builder().content_type(Self::CONTENT_TYPE).body(self.0)
    }
}

#[derive(ApiResponse)]
enum MetricsAnswer {
    /// Everything that was counted.
    #[oai(status = 200)]
    Metrics(PrometheusText),
}

refusals!(MetricsRefused: NotFound);

#[OpenApi(tag = "Tag::Operations")]
impl MetricsApi {
    /// What was counted
    ///
    /// In the text format of Prometheus. In production only on the port for operators.
    #[oai(path = "/metrics", method = "get", operation_id = "metrics")]
    async fn metrics(&self) -> Result<MetricsAnswer, MetricsRefused> {
        match &self.exposition {
            Some(exposition) => Ok(MetricsAnswer::Metrics(PrometheusText(exposition.text().await))),
            None => Err(Problem::new(ProblemCode::NotFound).into()),
        }
    }
}
