//! Bodies that are written once and shared by all answers: they are large, anybody may ask for them, and whoever does and
//! then does not read must not cost a copy.

use bytes::Bytes;
use poem::{IntoResponse, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::{Any, Type};
use serde_json::Value;

macro_rules! written {
    ($(#[$doc:meta])* $name:ident, $content_type:literal, $schema:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub(crate) struct $name(pub(crate) Bytes);

        impl Payload for $name {
            const CONTENT_TYPE: &'static str = $content_type;

            fn schema_ref() -> MetaSchemaRef {
                <$schema>::schema_ref()
            }

            fn register(registry: &mut Registry) {
                <$schema>::register(registry);
            }
        }

        impl IntoResponse for $name {
            fn into_response(self) -> Response {
                Response::builder().content_type(Self::CONTENT_TYPE).body(self.0)
            }
        }
    };
}

written!(
    /// JSON of any form.
    WrittenJson,
    "application/json",
    Any<Value>
);
written!(
    /// YAML (RFC 9512) of any form.
    WrittenYaml,
    "application/yaml",
    Any<Value>
);
written!(
    /// A page for people.
    WrittenPage,
    "text/html; charset=utf-8",
    String
);
