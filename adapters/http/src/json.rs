//! JSON as this API reads and writes it.
//!
//! Reading is strict: 64 levels at most, and no member twice, because two parsers that choose different ones of two
//! members let a request mean two things (RFC 8259, section 4). Writing goes straight from the type to bytes.

use std::fmt;

use poem::http::StatusCode;
use poem::{IntoResponse, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How deep a body may nest.
pub(crate) const MAX_DEPTH: usize = 64;

/// Why a text is not JSON to us. Says where, never what stood there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

/// Reads a whole text.
pub(crate) fn parse(text: &[u8]) -> Result<Value, Malformed> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Strict { depth: 0 }.deserialize(&mut deserializer);
    let value = value.and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| {
        let problem = match error.to_string() {
            text if text.starts_with(TOO_DEEP) => TOO_DEEP,
            text if text.starts_with(DUPLICATE) => DUPLICATE,
            _ if error.is_eof() => "the JSON text ends too early",
            _ => "the body is not JSON",
        };
        Malformed(format!("{problem} (line {}, column {})", error.line(), error.column()))
    })
}

const TOO_DEEP: &str = "the JSON text nests more than 64 levels";
const DUPLICATE: &str = "a member of a JSON object stands there twice";

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH { Err(E::custom(TOO_DEEP)) } else { Ok(Self { depth: self.depth + 1 }) }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom(DUPLICATE));
            }
        }
        Ok(Value::Object(object))
    }
}

macro_rules! json_payload {
    ($(#[$doc:meta])* $name:ident, $content_type:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub(crate) struct $name<T>(pub(crate) T);

        impl<T: Type> Payload for $name<T> {
            const CONTENT_TYPE: &'static str = $content_type;

            fn schema_ref() -> MetaSchemaRef {
                T::schema_ref()
            }

            fn register(registry: &mut Registry) {
                T::register(registry);
            }
        }

        impl<T: Type + serde::Serialize> IntoResponse for $name<T> {
            fn into_response(self) -> Response {
                match serde_json::to_vec(&self.0) {
                    Ok(body) => Response::builder().content_type(Self::CONTENT_TYPE).body(body),
                    Err(error) => poem::Error::new(error, StatusCode::INTERNAL_SERVER_ERROR).into_response(),
                }
            }
        }
    };
}

json_payload!(
    /// A body to be answered.
    Json,
    "application/json"
);
json_payload!(
    /// A report on health (draft-inadarei-api-health-check).
    HealthJson,
    "application/health+json"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_four_levels_and_no_more() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(nested(64).as_bytes()).is_ok());
        assert_eq!(parse(nested(65).as_bytes()), Err(Malformed(format!("{TOO_DEEP} (line 1, column 66)"))));
        assert!(parse(nested(100_000).as_bytes()).is_err());
    }

    #[test]
    fn no_member_stands_twice_at_any_level() {
        for text in [r#"{"a":1,"a":2}"#, r#"{"b":[{"a":1,"\u0061":2}]}"#] {
            assert!(parse(text.as_bytes()).expect_err("refused").0.starts_with(DUPLICATE), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused_without_repeating_it() {
        for text in
            ["", "{", "{]", "secret", "nul", "{\"a\":1}x", "[1,]", "\u{feff}{}", "NaN", "'a'", "\"\\ud800\""]
        {
            let Malformed(message) = parse(text.as_bytes()).expect_err(text);
            assert!(!message.contains("secret"));
        }
        assert!(parse(b"\"\xff\"").is_err());
    }
}
