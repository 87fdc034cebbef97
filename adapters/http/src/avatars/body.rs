//! The body of an upload: what it is said to be, and its bytes as they come.

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use mime::Mime;
use poem::{Request, Result};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use portwright_domain::avatar::PictureKind;
use portwright_domain::ports::ObjectBody;
use portwright_domain::{ErrorKind, PortError};

use crate::problem::{Problem, ProblemCode};

/// A picture that a client sends.
pub(crate) struct PictureBody {
    pub(crate) kind: PictureKind,
    pub(crate) body: Box<dyn ObjectBody>,
}

/// Any bytes, as the document says it.
pub(super) fn binary() -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(MetaSchema { format: Some("binary"), ..MetaSchema::new("string") }))
}

/// Bytes of every kind of picture.
pub(super) fn pictures() -> Vec<MetaMediaType> {
    let described = |kind: PictureKind| MetaMediaType { content_type: kind.media_type(), schema: binary() };
    PictureKind::ALL.map(described).into()
}

impl<'a> ApiExtractor<'a> for PictureBody {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest { description: None, content: pictures(), required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut poem::RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let named = request.content_type().and_then(|named| named.parse::<Mime>().ok());
        let kind = named.and_then(|named| named.essence_str().parse().ok()).ok_or_else(|| {
            Problem::new(ProblemCode::UnsupportedMediaType)
                .with_detail("send the body as image/png, image/jpeg or image/webp")
        })?;
        Ok(Self { kind, body: Box::new(Received(body.take()?.into_bytes_stream().boxed())) })
    }
}

/// A body as it comes over the connection.
struct Received(BoxStream<'static, io::Result<Bytes>>);

#[async_trait]
impl ObjectBody for Received {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        let part = self.0.next().await.transpose();
        part.map_err(|error| {
            PortError::new(ErrorKind::Unavailable, "http.body", "the rest did not come").with_source(error)
        })
    }
}
