//! Identities where they stand in a path: of users ([`PathId`]) and of jobs ([`PathJobId`]).

use std::borrow::Cow;

use poem_openapi::registry::MetaSchemaRef;
use poem_openapi::types::{ParseError, ParseFromParameter, ParseResult, Type};
use portwright_domain::job::JobId;
use portwright_domain::user::UserId;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// A UUID as RFC 9562, section 4, writes it. The parser of `uuid` also takes braces, a URN and bare digits; here they
/// are other paths, at which there is nothing.
fn read(text: &str) -> Option<Uuid> {
    text.parse().ok().filter(|_| text.len() == Hyphenated::LENGTH)
}

macro_rules! path_id {
    ($(#[$doc:meta])* $name:ident, $id:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $name(pub(crate) $id);

        impl Type for $name {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                Uuid::name()
            }

            fn schema_ref() -> MetaSchemaRef {
                Uuid::schema_ref()
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }

        impl ParseFromParameter for $name {
            fn parse_from_parameter(text: &str) -> ParseResult<Self> {
                read(text).map(|id| Self($id(id))).ok_or_else(|| ParseError::custom("not a UUID"))
            }
        }
    };
}

path_id!(
    /// Of a user.
    PathId,
    UserId
);
path_id!(
    /// Of a job.
    PathJobId,
    JobId
);
