//! What tools ask for: public keys, the document and its page.

use std::sync::Arc;

use poem_openapi::types::Any;
use poem_openapi::{ApiResponse, OpenApi};
use portwright_domain::ports::TokenIssuer;
use serde_json::Value;

use crate::document::Document;
use crate::json::Json;
use crate::tags::Tag;
use crate::written::{WrittenJson, WrittenPage, WrittenYaml};

/// The operations on the service itself.
pub(crate) struct OperationsApi {
    pub(crate) tokens: Arc<dyn TokenIssuer>,
    pub(crate) written: WrittenDocument,
}

/// The document in every form in which it is served.
pub(crate) struct WrittenDocument {
    json: WrittenJson,
    yaml: WrittenYaml,
    page: WrittenPage,
    page_policy: String,
}

impl From<&Document> for WrittenDocument {
    fn from(document: &Document) -> Self {
        Self {
            json: WrittenJson(document.value.to_string().into()),
            yaml: WrittenYaml(document.yaml().into()),
            page: WrittenPage(document.page.clone().into()),
            page_policy: document.page_policy.clone(),
        }
    }
}

#[derive(ApiResponse)]
enum KeysAnswer {
    /// The keys.
    #[oai(status = 200)]
    Keys(Json<Any<Value>>),
}

#[derive(ApiResponse)]
enum DocumentAnswer {
    /// The document.
    #[oai(status = 200)]
    Document(WrittenJson),
}

#[derive(ApiResponse)]
enum YamlAnswer {
    /// The document.
    #[oai(status = 200)]
    Document(WrittenYaml),
}

#[derive(ApiResponse)]
enum DocsAnswer {
    /// The page.
    #[oai(status = 200)]
    Page(
        WrittenPage,
        /// Only the scripts of this page may run.
        #[oai(header = "Content-Security-Policy")]
        String,
    ),
}

#[expect(clippy::unused_async, reason = "every operation is asynchronous, whatever it does")]
#[OpenApi(tag = "Tag::Operations")]
impl OperationsApi {
    /// The public keys of access tokens
    ///
    /// A JSON Web Key Set (RFC 7517); empty where tokens are signed with a shared secret.
    #[oai(path = "/.well-known/jwks.json", method = "get", operation_id = "publicKeys")]
    async fn public_keys(&self) -> KeysAnswer {
        let keys = serde_json::from_str(&self.tokens.public_keys()).unwrap_or_default();
        KeysAnswer::Keys(Json(Any(keys)))
    }

    /// This document
    #[oai(path = "/openapi.json", method = "get", operation_id = "openapiJson")]
    async fn openapi_json(&self) -> DocumentAnswer {
        DocumentAnswer::Document(self.written.json.clone())
    }

    /// This document as YAML
    #[oai(path = "/openapi.yaml", method = "get", operation_id = "openapiYaml")]
    async fn openapi_yaml(&self) -> YamlAnswer {
        YamlAnswer::Document(self.written.yaml.clone())
    }

    /// This document as a page
    #[oai(path = "/docs", method = "get", operation_id = "docs")]
    async fn docs(&self) -> DocsAnswer {
        DocsAnswer::Page(self.written.page.clone(), self.written.page_policy.clone())
    }
}
