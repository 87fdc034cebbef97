//! The variables of traces, as OpenTelemetry names and reads them.

use std::time::Duration;

use super::parse;
use super::spec::DefaultValue::{Is, Unset};
use super::spec::Variable;
use crate::config::Secret;
use crate::config::duration::Bare;
use crate::config::tracing::SamplerName;

pub(in crate::config) static OTEL_SDK_DISABLED: Variable<bool> = Variable::new(
    "OTEL_SDK_DISABLED",
    "true or false",
    |text| parse::one_of(&text.to_ascii_lowercase(), &[("true", true), ("false", false)]),
    Is("false"),
    "Exports no traces, whatever else is set.",
);

pub(in crate::config) static OTEL_EXPORTER_OTLP_ENDPOINT: Variable<String> = Variable::new(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "an http:// or https:// URL",
    parse::url,
    Unset("traces are not exported"),
    "The collector that takes traces (OTLP over HTTP, protobuf) at /v1/traces below it. Only programs that are built \
     with the feature otlp export.",
);

pub(in crate::config) static OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: Variable<String> = Variable::new(
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "an http:// or https:// URL",
    parse::url,
    Unset("/v1/traces of OTEL_EXPORTER_OTLP_ENDPOINT"),
    "The collector that takes traces, at exactly this URL.",
);

pub(in crate::config) static OTEL_EXPORTER_OTLP_HEADERS: Variable<Vec<(String, Secret)>> = Variable::new(
    "OTEL_EXPORTER_OTLP_HEADERS",
    "names and values such as authorization=Basic%20…, separated by commas",
    |text| Ok(parse::pairs(text)?.into_iter().map(|(name, value)| (name, Secret::new(value))).collect()),
    Unset("no more than an export needs"),
    "Headers of each export.",
)
.or_named(&["OTEL_EXPORTER_OTLP_TRACES_HEADERS"])
.secret();

pub(in crate::config) static OTEL_EXPORTER_OTLP_TIMEOUT: Variable<Duration> = Variable::new(
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "a duration from 1ms to 1m (a bare number counts milliseconds)",
    |text| parse::duration(text, Bare::Milliseconds, Duration::from_millis(1)..=Duration::from_mins(1)),
    Is("10s"),
    "How long one export may take; what it holds is lost then.",
)
.or_named(&["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"]);

pub(in crate::config) static OTEL_SERVICE_NAME: Variable<String> = Variable::new(
    "OTEL_SERVICE_NAME",
    "1 to 255 visible characters",
    |text| parse::characters(text, 1..=255, |c| c.is_ascii_graphic()),
    Is("portwright"),
    "Who we are for those who read traces.",
);

pub(in crate::config) static OTEL_RESOURCE_ATTRIBUTES: Variable<Vec<(String, String)>> = Variable::new(
    "OTEL_RESOURCE_ATTRIBUTES",
    "names and values such as deployment.environment.name=production, separated by commas",
    parse::pairs,
    Unset("no more than service.name, service.version and process.pid"),
    "What else they are told of us.",
);

pub(in crate::config) static OTEL_TRACES_SAMPLER: Variable<SamplerName> = Variable::new(
    "OTEL_TRACES_SAMPLER",
    "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio",
    |text| {
        let samplers = [
            ("always_on", (false, Some(1.0))),
            ("always_off", (false, Some(0.0))),
            ("traceidratio", (false, None)),
            ("parentbased_always_on", (true, Some(1.0))),
            ("parentbased_always_off", (true, Some(0.0))),
            ("parentbased_traceidratio", (true, None)),
        ];
        parse::one_of(text, &samplers)
    },
    Is("parentbased_always_on"),
    "Which requests and jobs are recorded; those of parentbased do what the traceparent of a request says, if it has one.",
);

pub(in crate::config) static OTEL_TRACES_SAMPLER_ARG: Variable<f64> = Variable::new(
    "OTEL_TRACES_SAMPLER_ARG",
    "a number from 0 to 1",
    |text| {
        let share = text.parse().map_err(|_| "it is no number".to_owned())?;
        if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("it is out of range".to_owned()) }
    },
    Is("1"),
    "The share that traceidratio and parentbased_traceidratio record.",
);
