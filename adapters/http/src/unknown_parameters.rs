//! Query parameters that an operation does not have: refused, because a misspelt filter must not be a missing one.
//!
//! An operation that has parameters tells unknown ones together with everything else that is wrong with them
//! ([`Parameters`](crate::parameters::Parameters)); this layer speaks for all that have none.

use std::collections::BTreeSet;

use poem::http::Method;
use poem::{Endpoint, Request, Response, Result};
use serde_json::Value;

use crate::middleware::Routes;
use crate::parameters::Parameters;

/// An endpoint whose operations without parameters get none.
pub(crate) struct KnownParameters<E> {
    inner: E,
    routes: Routes,
    without: BTreeSet<(String, String)>,
}

impl<E> KnownParameters<E> {
    /// Refuses what the document does not have.
    pub(crate) fn new(inner: E, document: &Value, routes: Routes) -> Self {
        let mut without = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in operations.as_object().into_iter().flatten() {
                let mut parameters = operation["parameters"].as_array().into_iter().flatten();
                if parameters.all(|parameter| parameter["in"] != "query") {
                    without.insert((path.clone(), method.to_uppercase()));
                }
            }
        }
        Self { inner, routes, without }
    }

    fn has_none(&self, request: &Request) -> bool {
        let Some(route) = self.routes.find(request.uri().path()) else { return false };
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        self.without.contains(&(route.template().to_owned(), method.as_str().to_owned()))
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for KnownParameters<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        if request.uri().query().is_some_and(|query| !query.is_empty()) && self.has_none(&request) {
            Parameters::of(&request).finish()?;
        }
        self.inner.call(request).await
    }
}
