//! Where traces go, and which of them: the variables that OpenTelemetry names.

use std::time::Duration;

use portwright_domain::trace::Sampler;

use super::Secret;
use super::reader::Reader;
use super::variables as v;

/// Where traces go, and which of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracing {
    /// The URL that takes them; `None` if nobody does.
    pub collector: Option<String>,
    /// What each export carries besides: names and values.
    pub headers: Vec<(String, Secret)>,
    /// How long one export may take.
    pub timeout: Duration,
    /// Who we are for those who read traces.
    pub service_name: String,
    /// What else they are told of us: names and values.
    pub attributes: Vec<(String, String)>,
    /// Which requests and jobs are recorded, where traces go anywhere.
    pub chosen: Sampler,
}

impl Tracing {
    /// Which requests and jobs this program records: none that nobody asked for, if it cannot export them.
    #[must_use]
    pub fn sampler(&self) -> Sampler {
        if cfg!(feature = "otlp") && self.collector.is_some() { self.chosen } else { Sampler::OFF }
    }
}

/// What `OTEL_TRACES_SAMPLER` says: whether the parent decides, and the share of the others; `None` for the argument's.
pub(super) type SamplerName = (bool, Option<f64>);

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Tracing> {
    let disabled = reader.read(&v::OTEL_SDK_DISABLED);
    let whole = reader.read(&v::OTEL_EXPORTER_OTLP_ENDPOINT);
    let traces = reader.read(&v::OTEL_EXPORTER_OTLP_TRACES_ENDPOINT);
    let headers = reader.read(&v::OTEL_EXPORTER_OTLP_HEADERS);
    let timeout = reader.read(&v::OTEL_EXPORTER_OTLP_TIMEOUT);
    let service_name = reader.read(&v::OTEL_SERVICE_NAME);
    let attributes = reader.read(&v::OTEL_RESOURCE_ATTRIBUTES);
    let sampler = reader.read(&v::OTEL_TRACES_SAMPLER);
    let share = reader.read(&v::OTEL_TRACES_SAMPLER_ARG);
    let collector = traces.or_else(|| Some(format!("{}/v1/traces", whole?.trim_end_matches('/'))));
    let (obeys_parent, ratio) = sampler?;
    Some(Tracing {
        collector: collector.filter(|_| disabled != Some(true)),
        headers: headers.unwrap_or_default(),
        timeout: timeout?,
        service_name: service_name?,
        attributes: attributes.unwrap_or_default(),
        chosen: Sampler { obeys_parent, ratio: ratio.unwrap_or(share?) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Override, Sources};

    fn read(pairs: &[(&'static str, &str)]) -> Result<Tracing, String> {
        let given =
            pairs.iter().map(|(name, value)| Override { name, flag: "test", value: (*value).to_owned() });
        let config = Config::read(&Sources::only(given)).config;
        config.map(|config| config.tracing).map_err(|failure| failure.to_string())
    }

    #[test]
    fn nobody_takes_traces_unless_somebody_says_who() {
        let tracing = read(&[]).expect("valid");
        assert_eq!((tracing.collector.as_deref(), tracing.sampler()), (None, Sampler::OFF));
        assert_eq!((tracing.service_name.as_str(), tracing.chosen), ("portwright", Sampler::PARENT_OR_ALL));
        let disabled = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"), ("OTEL_SDK_DISABLED", "true")];
        assert_eq!(read(&disabled).expect("valid").collector, None);
    }

    #[test]
    fn the_endpoint_of_all_signals_has_a_path_for_traces_and_that_of_traces_is_as_it_is() {
        let whole = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4318/otlp/");
        let collector = |pairs: &[_]| read(pairs).expect("valid").collector;
        assert_eq!(collector(&[whole]).as_deref(), Some("https://collector:4318/otlp/v1/traces"));
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4318/here");
        assert_eq!(collector(&[whole, traces]).as_deref(), Some("http://traces:4318/here"));
    }

    #[test]
    fn samplers_have_the_names_of_opentelemetry() {
        for (name, share, obeys_parent, ratio) in [
            ("always_on", "0.5", false, 1.0),
            ("always_off", "0.5", false, 0.0),
            ("traceidratio", "0.5", false, 0.5),
            ("parentbased_always_on", "0.5", true, 1.0),
            ("parentbased_always_off", "0.5", true, 0.0),
            ("parentbased_traceidratio", "0.25", true, 0.25),
        ] {
            let read = read(&[("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", share)]);
            assert_eq!(read.expect("valid").chosen, Sampler { obeys_parent, ratio }, "{name}");
        }
        for wrong in [("OTEL_TRACES_SAMPLER", "sometimes"), ("OTEL_TRACES_SAMPLER_ARG", "1.5")] {
            assert!(read(&[wrong]).expect_err("invalid").contains(wrong.0));
        }
    }

    #[test]
    fn lists_are_names_and_values_and_headers_are_secret() {
        let tracing = read(&[
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20c2VzYW1l,x-tenant=a"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test, service.namespace=a%2Cb"),
        ])
        .expect("valid");
        let headers: Vec<_> =
            tracing.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(headers, [("authorization", "Basic c2VzYW1l"), ("x-tenant", "a")]);
        assert!(!format!("{tracing:?}").contains("c2VzYW1l"));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [pair("deployment.environment.name", "test"), pair("service.namespace", "a,b")];
        assert_eq!(tracing.attributes, expected);
        let wrong = read(&[("OTEL_EXPORTER_OTLP_HEADERS", "sesame")]).expect_err("invalid");
        assert!(!wrong.contains("sesame") && wrong.contains("OTEL_EXPORTER_OTLP_HEADERS"), "{wrong}");
    }
}
