//! The answer with a picture in it.

use std::io;

use futures::stream::unfold;
use poem::http::{HeaderValue, StatusCode, header};
use poem::{Body, IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaHeader, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;
use portwright_application::avatars::AvatarForm;
use portwright_domain::avatar::{Avatar, AvatarId};
use portwright_domain::ports::{Object, ObjectBody};
use tracing::{Instrument, Span};

use super::body::pictures;
use crate::users::USER_DATA;

/// Whatever a browser takes the bytes for, they load nothing and run nothing.
const HARMLESS: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'");

/// A picture, or that the client has it.
pub(crate) enum PictureAnswer {
    /// Which one, in which form, and its bytes.
    Picture(Avatar, AvatarForm, Object),
    /// The client has what this tag stands for.
    Known(String),
}

/// The strong entity tag of a form of a picture.
pub(super) fn etag_of(avatar: Avatar, form: AvatarForm) -> String {
    format!("\"{}-{}\"", avatar.id, form.as_str())
}

/// The picture that a strong entity tag of ours stands for, spelt as we spell it.
pub(super) fn picture_of(tag: &str) -> Option<AvatarId> {
    let (id, form) = tag.strip_prefix('"')?.strip_suffix('"')?.rsplit_once('-')?;
    let picture = AvatarId(id.parse().ok()?);
    (AvatarForm::parse(form).is_ok() && picture.to_string() == id).then_some(picture)
}

impl IntoResponse for PictureAnswer {
    fn into_response(self) -> Response {
        let response = Response::builder().header(header::CACHE_CONTROL, USER_DATA);
        match self {
            Self::Known(tag) => response.status(StatusCode::NOT_MODIFIED).header(header::ETAG, tag).finish(),
            Self::Picture(avatar, form, object) => response
                .content_type(avatar.kind.media_type())
                .header(header::CONTENT_LENGTH, object.info.size)
                .header(header::CONTENT_DISPOSITION, "inline")
                .header(header::CONTENT_SECURITY_POLICY, HARMLESS)
                .header(header::ETAG, etag_of(avatar, form))
                .body(sent(object.body)),
        }
    }
}

/// Sends bytes as they are read. If reading fails, the connection ends before it said it would, so that nobody takes a
/// part for the whole.
fn sent(body: Box<dyn ObjectBody>) -> Body {
    // It is read when the request is answered already, and belongs to it all the same.
    let request = Span::current();
    Body::from_bytes_stream(unfold(Some(body), move |body| {
        let part = async {
            let mut body = body?;
            match body.next().await {
                Ok(part) => part.map(|part| (Ok(part), Some(body))),
                Err(error) => {
                    tracing::error!(%error, "a picture was not sent to its end");
                    Some((Err(io::Error::other(error)), None))
                }
            }
        };
        part.instrument(request.clone())
    }))
}

impl ApiResponse for PictureAnswer {
    fn meta() -> MetaResponses {
        let header = |name: &str| MetaHeader {
            name: name.to_owned(),
            description: None,
            required: true,
            deprecated: false,
            schema: String::schema_ref(),
        };
        let always = ["ETag", "Cache-Control"];
        let of_pictures = ["Content-Disposition", "Content-Security-Policy"];
        let answer = |status, description, content, headers| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content,
            headers,
        };
        let headers = always.into_iter().chain(of_pictures).map(header).collect();
        let known = always.map(header).into();
        MetaResponses {
            responses: vec![
                answer(200, "The picture.", pictures(), headers),
                answer(304, "The client has this picture already.", Vec::new(), known),
            ],
        }
    }

    fn register(_: &mut Registry) {}
}

#[cfg(test)]
mod tests {
    use portwright_domain::avatar::PictureKind;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_tag_names_its_picture_in_every_form_and_no_other_text_does() {
        let avatar = Avatar { id: AvatarId(Uuid::from_u128(0xab)), kind: PictureKind::Png };
        for form in AvatarForm::ALL {
            assert_eq!(picture_of(&etag_of(avatar, form)), Some(avatar.id));
        }
        let id = avatar.id.to_string();
        for other in [
            format!("\"{id}\""),
            format!("\"{id}-63\""),
            format!("{id}-64"),
            format!("W/\"{id}-64\""),
            format!("\"{}-64\"", id.to_uppercase()),
            format!("\"{}-64\"", avatar.id.0.simple()),
            "\"\"".to_owned(),
            "*".to_owned(),
        ] {
            assert_eq!(picture_of(&other), None, "{other}");
        }
    }
}
