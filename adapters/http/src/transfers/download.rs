//! [`Download`]: a file as an answer, sent as it is read.

use futures::stream::unfold;
use poem::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY};
use poem::{Body, IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use portwright_application::exports::{Export, ExportFormat};
use portwright_domain::ports::Object;
use tracing::{Instrument, Span};

/// The file of an export.
pub(super) struct Download(pub(super) Export);

/// A browser that shows the file all the same runs nothing of it.
const POLICY: &str = "sandbox; default-src 'none'";

const fn content_type(format: ExportFormat) -> &'static str {
    match format {
        ExportFormat::Csv => "text/csv; charset=utf-8",
        ExportFormat::Jsonl => "application/jsonl",
    }
}

impl IntoResponse for Download {
    fn into_response(self) -> Response {
        let Export { format, file: Object { info, body } } = self.0;
        let written = info.modified_at.to_string();
        let day = written.get(..10).unwrap_or_default();
        // It is read when the request is answered already, and belongs to it all the same.
        let request = Span::current();
        let bytes = unfold(Some(body), move |body| {
            let part = async {
                let mut body = body?;
                match body.next().await.transpose()? {
                    Ok(part) => Some((Ok(part), Some(body))),
                    // The length was promised, so the client sees that this is not all.
                    Err(error) => {
                        tracing::warn!(error = ?error, "a file could not be read to its end");
                        Some((Err(std::io::Error::other("the file cannot be read")), None))
                    }
                }
            };
            part.instrument(request.clone())
        });
        Response::builder()
            .content_type(content_type(format))
            .header(CONTENT_LENGTH, info.size)
            .header(CONTENT_DISPOSITION, format!("attachment; filename=\"users-{day}.{}\"", format.as_str()))
            .header(CONTENT_SECURITY_POLICY, POLICY)
            .header(CACHE_CONTROL, "private, no-store")
            .body(Body::from_bytes_stream(bytes))
    }
}

impl ApiResponse for Download {
    fn meta() -> MetaResponses {
        let content = ExportFormat::ALL.map(|format| MetaMediaType {
            content_type: content_type(format),
            schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", "binary"))),
        });
        let header = |name: &str, description: &str| MetaHeader {
            name: name.to_owned(),
            description: Some(description.to_owned()),
            required: true,
            deprecated: false,
            schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
        };
        let headers = vec![
            header("Content-Disposition", "To be saved, as `users-<day>.<format>`."),
            header("Content-Security-Policy", "Nothing of it is run."),
            header("Cache-Control", "Nobody keeps it."),
        ];
        let response = MetaResponse {
            description: "The file.",
            status: Some(200),
            status_range: None,
            content: content.into(),
            headers,
        };
        MetaResponses { responses: vec![response] }
    }

    fn register(_: &mut Registry) {}
}
