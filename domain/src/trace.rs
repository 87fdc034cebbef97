//! The trace that a request and everything it causes belong to, as W3C Trace Context (level 1) writes it.
//!
//! ```text
//! traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//!              │  └ trace, 16 bytes                │                └ flags: 01 is sampled
//!              └ version                           └ span, 8 bytes: whoever causes what comes next
//! ```
//! Random numbers come from outside: nothing here is made up.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

/// Which trace: 32 hexadecimal digits, shown in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub NonZeroU128);

/// Which part of a trace: 16 hexadecimal digits, shown in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(pub NonZeroU64);

/// A place in a trace. What is caused there gets it as its parent.
///
/// Shown as a `traceparent` of version 00.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The place.
    pub span_id: SpanId,
    /// Whether it is recorded, or was by whoever handed it to us.
    pub is_sampled: bool,
    /// What others noted along the way; passed on as it came.
    pub state: Option<TraceState>,
}

impl TraceContext {
    /// Reads a `traceparent`. A version that we do not know is read as far as we know it; `ff` is none, and neither are
    /// identities of zeros, capitals, or anything after a version 00.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
        let (known, more) = traceparent.split_at_checked(55)?;
        let mut parts = known.split('-');
        let mut next = |length| parts.next().filter(|part| part.len() == length && is_lower_hex(part));
        let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        let ends = if version == "00" { more.is_empty() } else { more.is_empty() || more.starts_with('-') };
        if version == "ff" || !ends || parts.next().is_some() {
            return None;
        }
        Some(Self {
            trace_id: TraceId(NonZeroU128::new(u128::from_str_radix(trace, 16).ok()?)?),
            span_id: SpanId(NonZeroU64::new(u64::from_str_radix(span, 16).ok()?)?),
            is_sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
            state: None,
        })
    }

    /// The same place with this state.
    #[must_use]
    pub fn with_state(self, state: Option<TraceState>) -> Self {
        Self { state, ..self }
    }

    /// A place in the same trace, caused by this one.
    #[must_use]
    pub fn child(&self, span_id: SpanId, is_sampled: bool) -> Self {
        Self { trace_id: self.trace_id, span_id, is_sampled, state: self.state.clone() }
    }
}

/// What others noted along the way (`tracestate`): at most 32 members and 512 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceState(String);

impl TraceState {
    /// The most bytes that are passed on.
    pub const MAX_BYTES: usize = 512;

    /// Reads a `tracestate`. One that breaks the rules, or is longer, is none; the trace goes on without it.
    #[must_use]
    pub fn parse(tracestate: &str) -> Option<Self> {
        let members: Vec<&str> =
            tracestate.split(',').map(|member| member.trim_matches([' ', '\t'])).collect();
        // Empty members are allowed, and mean nothing.
        let members: Vec<&str> = members.into_iter().filter(|member| !member.is_empty()).collect();
        let mut keys = Vec::with_capacity(members.len());
        for member in &members {
            let (key, value) = member.split_once('=')?;
            if !is_key(key) || !is_value(value) || keys.contains(&key) {
                return None;
            }
            keys.push(key);
        }
        let text = members.join(",");
        ((1..=32).contains(&keys.len()) && text.len() <= Self::MAX_BYTES).then_some(Self(text))
    }

    /// The members, separated by commas.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a trace is recorded: OpenTelemetry's samplers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Whether the decision of whoever handed us a trace holds for us.
    pub obeys_parent: bool,
    /// The share of the others that is recorded, from 0 to 1. Every process decides the same for the same trace.
    pub ratio: f64,
}

impl Sampler {
    /// Records what its parent records, and nothing of its own.
    pub const OFF: Self = Self { obeys_parent: true, ratio: 0.0 };
    /// Records what its parent records, and everything that has none.
    pub const PARENT_OR_ALL: Self = Self { obeys_parent: true, ratio: 1.0 };

    /// Whether this trace is recorded, of which a parent, if there is one, said so or not.
    #[must_use]
    pub fn samples(self, trace_id: TraceId, parent: Option<bool>) -> bool {
        match parent {
            Some(sampled) if self.obeys_parent => sampled,
            // The lower half of an identity is the random one, wherever it was made.
            _ => share_of(trace_id) < self.ratio,
        }
    }
}

/// From 0, inclusive, to 1, exclusive.
#[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
fn share_of(trace_id: TraceId) -> f64 {
    let bits = trace_id.0.get() & ((1 << 53) - 1);
    bits as f64 / (1_u64 << 53) as f64
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// `key` or `tenant@system`.
fn is_key(key: &str) -> bool {
    let rest = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'*' | b'/')
    };
    let part = |text: &str, most: usize, begins: fn(&u8) -> bool| {
        (1..=most).contains(&text.len())
            && text.as_bytes().first().is_some_and(begins)
            && text.bytes().all(rest)
    };
    match key.split_once('@') {
        Some((tenant, system)) => {
            part(tenant, 241, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
                && part(system, 14, u8::is_ascii_lowercase)
        }
        None => part(key, 256, u8::is_ascii_lowercase),
    }
}

fn is_value(value: &str) -> bool {
    (1..=256).contains(&value.len()) && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=')
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.span_id, u8::from(self.is_sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_parent_reads_as_it_was_written() {
        let context = TraceContext::parse(PARENT).expect("valid");
        assert_eq!(context.to_string(), PARENT);
        assert_eq!(context.trace_id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.span_id.to_string(), "00f067aa0ba902b7");
        assert!(context.is_sampled);
    }

    #[test]
    fn only_what_the_specification_allows_is_a_parent() {
        for invalid in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ü1",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
        ] {
            assert_eq!(TraceContext::parse(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for more in ["", "-more", "-"] {
            let later = format!("cc{}{more}", &PARENT[2..]);
            assert_eq!(TraceContext::parse(&later), TraceContext::parse(PARENT), "{later}");
        }
    }

    #[test]
    fn of_the_flags_only_sampled_counts() {
        for (flags, written) in [("00", "00"), ("01", "01"), ("03", "01"), ("fe", "00"), ("ff", "01")] {
            let context = TraceContext::parse(&format!("{}{flags}", &PARENT[..53])).expect("valid");
            assert!(context.to_string().ends_with(&format!("-{written}")), "{flags}");
        }
    }

    #[test]
    fn a_state_is_passed_on_or_dropped_as_a_whole() {
        let (long, longest) = (format!("a={}", "x".repeat(257)), format!("a={}", "x".repeat(256)));
        for (given, kept) in [
            ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")),
            ("a=1 ,\tb=2,,", Some("a=1,b=2")),
            ("0tenant@system=1", Some("0tenant@system=1")),
            (&longest, Some(longest.as_str())),
            (&long, None),
            ("", None),
            (",", None),
            ("a", None),
            ("A=1", None),
            ("a=1,a=2", None),
            ("a=b=c", None),
            ("a=ä", None),
            ("0=1", None),
            ("a=", None),
        ] {
            assert_eq!(TraceState::parse(given).as_ref().map(TraceState::as_str), kept, "{given}");
        }
        let many: Vec<String> = (0..33).map(|number| format!("k{number}=v")).collect();
        assert!(TraceState::parse(&many[..32].join(",")).is_some());
        assert!(TraceState::parse(&many.join(",")).is_none());
        let large: Vec<String> = (0..3).map(|number| format!("k{number}={}", "v".repeat(200))).collect();
        assert!(TraceState::parse(&large.join(",")).is_none());
    }

    #[test]
    fn a_sampler_obeys_its_parent_or_takes_its_share() {
        let id = |number: u128| TraceId(NonZeroU128::new(number).expect("not zero"));
        for (sampler, without, parent_off, parent_on) in [
            (Sampler::OFF, false, false, true),
            (Sampler::PARENT_OR_ALL, true, false, true),
            (Sampler { obeys_parent: false, ratio: 1.0 }, true, true, true),
            (Sampler { obeys_parent: false, ratio: 0.0 }, false, false, false),
        ] {
            for id in [id(1), id(u128::MAX)] {
                let decided = [None, Some(false), Some(true)].map(|parent| sampler.samples(id, parent));
                assert_eq!(decided, [without, parent_off, parent_on], "{sampler:?} {id}");
            }
        }
        let quarter = Sampler { obeys_parent: true, ratio: 0.25 };
        let step = u128::from(u64::MAX / 1_000);
        let sampled = (1..=1_000).filter(|number| quarter.samples(id(number * step), None)).count();
        assert!((200..300).contains(&sampled), "{sampled}");
    }
}
