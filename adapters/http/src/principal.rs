//! Who is calling: from a bearer token to a user with a session.

use std::sync::Arc;

use poem::http::HeaderValue;
use poem::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use poem::{Request, RequestBody, Result};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use portwright_application::Sessions;
use portwright_application::sessions::Authenticated;
use tracing::Span;
use tracing::field::display;

use crate::problem::{Problem, ProblemCode};

/// The signed-in caller. An operation that takes one is for the signed-in only, and says so in the document.
pub(crate) struct Caller(pub(crate) Authenticated);

const SCHEME: &str = "accessToken";

impl<'a> ApiExtractor<'a> for Caller {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme(
            SCHEME,
            MetaSecurityScheme {
                ty: "http",
                description: Some("The `accessToken` of a session."),
                name: None,
                key_in: None,
                scheme: Some("bearer"),
                bearer_format: Some("JWT"),
                flows: None,
                openid_connect_url: None,
            },
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let Some(token) = bearer_token(request) else {
            return Err(unauthorized(request.headers().contains_key(AUTHORIZATION)).into());
        };
        let sessions = request.data::<Arc<Sessions>>().ok_or_else(|| Problem::new(ProblemCode::Internal))?;
        let authenticated = sessions.authenticate(token).await.map_err(Problem::from)?;
        // From here on, what is logged of the request says for whom it is.
        Span::current().record("user_id", display(authenticated.principal.user_id));
        Ok(Self(authenticated))
    }
}

/// The token of `Authorization: Bearer …` (RFC 6750, section 2.1). Two such headers are none.
pub(crate) fn bearer_token(request: &Request) -> Option<&str> {
    let mut headers = request.headers().get_all(AUTHORIZATION).iter();
    let (Some(header), None) = (headers.next(), headers.next()) else { return None };
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

/// 401. Who gave no credentials is asked for them; who gave wrong ones is told that they are (RFC 6750, section 3.1).
pub(crate) fn unauthorized(credentials_given: bool) -> Problem {
    let challenge = if credentials_given { r#"Bearer error="invalid_token""# } else { "Bearer" };
    Problem::new(ProblemCode::Unauthorized).with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}
