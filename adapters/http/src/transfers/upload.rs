//! [`CsvUpload`]: a file in the body of a request, handed on as it arrives.

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use mime::Mime;
use poem::{Request, Result};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use portwright_domain::ports::ObjectBody;
use portwright_domain::{ErrorKind, PortError};

use crate::problem::{Problem, ProblemCode};

const CONTENT_TYPE: &str = "text/csv";

/// The operation of the error that a body ends with which did not arrive whole. Why is known beside the body, where the
/// answer is decided.
pub(crate) const ARRIVAL: &str = "http.body";

/// A CSV file, of which nothing has been read.
pub(crate) struct CsvUpload(pub(crate) Box<dyn ObjectBody>);

impl<'a> ApiExtractor<'a> for CsvUpload {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(_: &mut Registry) {}

    fn request_meta() -> Option<MetaRequest> {
        let schema = MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", "binary")));
        let content = vec![MetaMediaType { content_type: CONTENT_TYPE, schema }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut poem::RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        if !is_csv(request) {
            return Err(Problem::new(ProblemCode::UnsupportedMediaType)
                .with_detail("send the file as text/csv, in UTF-8")
                .into());
        }
        Ok(Self(Box::new(Arriving(body.take()?.into_bytes_stream().boxed()))))
    }
}

/// `text/csv` (RFC 7111), in no other character set than UTF-8 or the part of it that is ASCII.
fn is_csv(request: &Request) -> bool {
    let Some(Ok(given)) = request.content_type().map(str::parse::<Mime>) else { return false };
    let charset = given.get_param("charset");
    given.essence_str() == CONTENT_TYPE
        && charset.is_none_or(|charset| charset == "utf-8" || charset == "us-ascii")
}

/// A body, piece by piece.
struct Arriving(BoxStream<'static, io::Result<Bytes>>);

#[async_trait]
impl ObjectBody for Arriving {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        let piece = self.0.next().await.transpose();
        piece.map_err(|error| {
            PortError::new(ErrorKind::Unavailable, ARRIVAL, "the body did not arrive whole")
                .with_source(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_text_in_utf_8() {
        let is_csv = |text: &str| is_csv(&Request::builder().content_type(text).finish());
        for text in
            ["text/csv", "TEXT/CSV; charset=UTF-8", "text/csv; header=present", "text/csv;charset=us-ascii"]
        {
            assert!(is_csv(text), "{text} was refused");
        }
        for text in ["text/plain", "text/csv; charset=iso-8859-1", "application/csv", "text/csv+x", "csv", ""]
        {
            assert!(!is_csv(text), "{text} was taken");
        }
    }
}
