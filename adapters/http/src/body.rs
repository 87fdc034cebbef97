//! JSON bodies of requests: one type documents the shape, and reading it gives what the use case takes.
//!
//! The derive of `poem-openapi` reads up to the first mistake and lets unknown fields pass or tells them apart from
//! invalid ones; here every mistake of a body is told at once (see [`Fields`]).

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use mime::Mime;
use poem::error::ReadBodyError;
use poem::http::HeaderValue;
use poem::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use poem::{Body, Request, Result};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde_json::Value;

use crate::fields::Fields;
use crate::json;
use crate::problem::{FieldError, Problem, ProblemCode};

/// The most bytes of a JSON body.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;

/// A documented shape of a body, and how it is read.
pub(crate) trait JsonShape: Type {
    /// What reading it gives.
    type Parsed: Send;

    /// Reads every field; `None` if any was not right.
    fn read(fields: &mut Fields) -> Option<Self::Parsed>;
}

/// The body of a request, read.
pub(crate) struct JsonBody<T: JsonShape>(pub(crate) T::Parsed);

impl<T: JsonShape> Payload for JsonBody<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<'a, T: JsonShape> ApiExtractor<'a> for JsonBody<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        <Self as Payload>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = vec![MetaMediaType { content_type: Self::CONTENT_TYPE, schema: Self::schema_ref() }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut poem::RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        if !is_json(request) {
            return Err(Problem::new(ProblemCode::UnsupportedMediaType)
                .with_detail("send the body as application/json")
                .into());
        }
        if is_encoded(request) {
            return Err(Problem::new(ProblemCode::UnsupportedMediaType)
                .with_detail("send the body without a content coding")
                .with_header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
                .into());
        }
        let bytes = whole(body.take()?).await.map_err(|error| match error {
            ReadBodyError::PayloadTooLarge => {
                Problem::new(ProblemCode::PayloadTooLarge).with_detail("a JSON body has at most 1 MiB").into()
            }
            error => poem::Error::from(error),
        })?;
        let value = json::parse(&bytes)
            .map_err(|malformed| Problem::new(ProblemCode::MalformedBody).with_detail(malformed.0))?;
        let Value::Object(members) = value else {
            let error = FieldError::new("", "invalid-type", "must be a JSON object");
            return Err(Problem::new(ProblemCode::ValidationFailed).with_errors([error]).into());
        };
        let mut fields = Fields::of(members);
        let parsed = T::read(&mut fields);
        let errors = fields.into_errors();
        match parsed {
            Some(parsed) if errors.is_empty() => Ok(Self(parsed)),
            _ => Err(Problem::new(ProblemCode::ValidationFailed).with_errors(errors).into()),
        }
    }
}

/// All of a body of at most [`MAX_BYTES`]. poem's own way keeps a buffer of 4 KiB in the future of the handler, and each piece until
/// the next one comes, with the 8 KiB that hyper reads into: dear where thousands of clients are slow.
pub(crate) async fn whole(body: Body) -> Result<Bytes, ReadBodyError> {
    let mut pieces = body.into_bytes_stream();
    let mut whole = BytesMut::new();
    while let Some(piece) = pieces.try_next().await.map_err(ReadBodyError::Io)? {
        if whole.len() + piece.len() > MAX_BYTES {
            return Err(ReadBodyError::PayloadTooLarge);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// `application/json`, with or without UTF-8 as its charset (JSON has no other, RFC 8259, section 8.1).
fn is_json(request: &Request) -> bool {
    let Some(Ok(given)) = request.content_type().map(str::parse::<Mime>) else { return false };
    given.essence_str() == "application/json"
        && given.get_param("charset").is_none_or(|charset| charset == "utf-8")
}

/// Whether the body is compressed. What would come out of it has no bound, so nobody looks.
fn is_encoded(request: &Request) -> bool {
    request
        .headers()
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}
