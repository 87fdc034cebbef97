//! [`PathId`]: the identity of a user where it stands in a path.

use std::borrow::Cow;

use poem_openapi::registry::MetaSchemaRef;
use poem_openapi::types::{ParseError, ParseFromParameter, ParseResult, Type};
use portwright_domain::user::UserId;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// A UUID as RFC 9562, section 4, writes it. The parser of `uuid` also takes braces, a URN and bare digits; here they
/// are other paths, at which there is nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PathId(pub(crate) UserId);

impl Type for PathId {
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

impl ParseFromParameter for PathId {
    fn parse_from_parameter(text: &str) -> ParseResult<Self> {
        let id: Uuid = text.parse().map_err(ParseError::custom)?;
        if text.len() == Hyphenated::LENGTH {
            Ok(Self(UserId(id)))
        } else {
            Err(ParseError::custom("not a UUID"))
        }
    }
}
