//! [`management`]: the port for operators and their tools, which no client reaches.

use std::sync::Arc;

use poem::EndpointExt;
use portwright_application::Services;
use portwright_domain::ports::{IdGenerator, Unobserved};
use portwright_domain::trace::Sampler;
use tokio_util::sync::CancellationToken;

use crate::api::routed;
use crate::document::Document;
use crate::health::{HealthApi, HealthDetails};
use crate::metrics::{Exposition, MetricsApi};
use crate::middleware::{Protected, Protection, Routes, TrustedProxies, protect};
use crate::server::ServerLimits;

/// `/metrics` and `/health*`, and nothing else. Nobody is counted or limited, whatever the API is going through: that is what
/// whoever asks here wants to know. `unready` is cancelled when no more requests should be sent to the API.
#[must_use]
pub fn management(
    services: &Services,
    ids: Arc<dyn IdGenerator>,
    exposition: Arc<dyn Exposition>,
    details: HealthDetails,
    unready: CancellationToken,
) -> Protected {
    let health =
        HealthApi { health: services.health.clone(), sessions: services.sessions.clone(), details, unready };
    let routes = Routes::of_document(&Document::of::<(HealthApi, MetricsApi)>().value);
    let operations = routed((health, MetricsApi { exposition: Some(exposition) })).map_to_response();
    let protection = Protection {
        limits: ServerLimits::default(),
        routes,
        proxies: TrustedProxies::default(),
        ids,
        observer: Arc::new(Unobserved),
        sampler: Sampler::OFF,
        shares: None,
        concurrency: None,
        // Each probe is given up in its own time.
        with_deadline: Arc::new(|_, handling| handling),
    };
    protect(operations, protection)
}
