//! [`Routes`]: which paths there are, as the API document tells: for `Allow`, `OPTIONS`, limits and the log.

use mime::Mime;
use poem::http::{HeaderValue, Method};
use serde_json::Value;

use crate::server::RouteLimits;

/// The paths that are served, each with its methods and limits.
#[derive(Debug, Clone, Default)]
pub struct Routes(Vec<Route>);

/// One path template.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    template: String,
    methods: Vec<Method>,
    /// What each method answers when all goes well.
    produced: Vec<(Method, Mime)>,
    limits: Option<RouteLimits>,
}

/// In the order in which `Allow` lists them.
const METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

impl Routes {
    /// The paths of an OpenAPI document.
    #[must_use]
    pub fn of_document(document: &Value) -> Self {
        let mut routes = Self::default();
        for (template, operations) in document["paths"].as_object().into_iter().flatten() {
            let names = |method: &Method| operations.get(method.as_str().to_ascii_lowercase()).is_some();
            let methods: Vec<_> = METHODS.into_iter().filter(names).collect();
            let produced = methods.iter().flat_map(|method| produced(operations, method)).collect();
            routes = routes.with(Route { template: template.clone(), methods, produced, limits: None });
        }
        routes
    }

    /// One more path, for what the document does not list. Parameters are `{named}`; `GET` brings `HEAD`.
    #[must_use]
    pub fn and(self, template: &str, methods: impl IntoIterator<Item = Method>) -> Self {
        let methods = methods.into_iter().collect();
        self.with(Route { template: template.to_owned(), methods, produced: Vec::new(), limits: None })
    }

    fn with(mut self, route: Route) -> Self {
        self.0.push(route);
        // A literal segment wins over a parameter, as it does in the router.
        self.0.sort_by_cached_key(|route| route.template.split('/').map(is_parameter).collect::<Vec<_>>());
        self
    }

    /// Other limits than the usual ones for all methods of a path, which must be known already.
    #[must_use]
    pub fn with_limits(mut self, template: &str, limits: RouteLimits) -> Self {
        for route in self.0.iter_mut().filter(|route| route.template == template) {
            route.limits = Some(limits);
        }
        self
    }

    pub(crate) fn find(&self, path: &str) -> Option<&Route> {
        self.0.iter().find(|route| route.matches(path))
    }

    /// The methods of a route, or of the service as a whole, as `Allow` lists them.
    pub(super) fn allow(&self, route: Option<&Route>) -> HeaderValue {
        let routes = route.map_or(self.0.as_slice(), std::slice::from_ref);
        let has = |method: &Method| routes.iter().any(|route| route.methods.contains(method));
        let allowed =
            METHODS.iter().filter(|method| has(method) || (**method == Method::HEAD && has(&Method::GET)));
        let names: Vec<_> = allowed.chain([&Method::OPTIONS]).map(Method::as_str).collect();
        HeaderValue::try_from(names.join(", ")).unwrap_or_else(|_| HeaderValue::from_static("OPTIONS"))
    }
}

impl Route {
    pub(crate) fn template(&self) -> &str {
        &self.template
    }

    pub(crate) const fn limits(&self) -> Option<RouteLimits> {
        self.limits
    }

    /// The media types that a method answers; none if they are not known or there is no body.
    pub(super) fn produced(&self, method: &Method) -> impl Iterator<Item = &Mime> {
        let method = if *method == Method::HEAD { Method::GET } else { method.clone() };
        self.produced.iter().filter(move |(of, _)| *of == method).map(|(_, media_type)| media_type)
    }

    fn matches(&self, path: &str) -> bool {
        let mut segments = path.split('/');
        let all = self.template.split('/').all(|expected| {
            segments.next().is_some_and(|segment| {
                if is_parameter(expected) { !segment.is_empty() } else { segment == expected }
            })
        });
        all && segments.next().is_none()
    }
}

/// The media types of an operation's answers with 2xx.
fn produced(operations: &Value, method: &Method) -> Vec<(Method, Mime)> {
    let answers = operations[method.as_str().to_ascii_lowercase()]["responses"].as_object();
    let good = answers.into_iter().flatten().filter(|(status, _)| status.starts_with('2'));
    let media_types = good.filter_map(|(_, answer)| answer["content"].as_object()).flatten();
    media_types.filter_map(|(name, _)| Some((method.clone(), name.parse().ok()?))).collect()
}

fn is_parameter(segment: &str) -> bool {
    segment.starts_with('{') && segment.ends_with('}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes {
        Routes::of_document(&serde_json::json!({"paths": {
            "/users": {"get": {}, "post": {}},
            "/users/{id}": {"parameters": [], "get": {}, "patch": {}, "delete": {}},
            "/users/import": {"post": {}},
        }}))
    }

    fn found<'r>(routes: &'r Routes, path: &str) -> Option<&'r str> {
        routes.find(path).map(Route::template)
    }

    #[test]
    fn a_path_finds_its_template_and_a_literal_wins() {
        let routes = routes().and("/", [Method::GET]);
        assert_eq!(found(&routes, "/users"), Some("/users"));
        assert_eq!(found(&routes, "/users/7"), Some("/users/{id}"));
        assert_eq!(found(&routes, "/users/import"), Some("/users/import"));
        assert_eq!(found(&routes, "/"), Some("/"));
        for unknown in ["/users/", "/users/7/", "/users/7/avatar", "/user", "", "*"] {
            assert_eq!(found(&routes, unknown), None, "{unknown}");
        }
    }

    #[test]
    fn allow_lists_what_the_document_has_and_what_comes_with_it() {
        let routes = routes();
        let allow = |path| routes.allow(routes.find(path));
        assert_eq!(allow("/users"), "GET, HEAD, POST, OPTIONS");
        assert_eq!(allow("/users/7"), "GET, HEAD, PATCH, DELETE, OPTIONS");
        assert_eq!(allow("/users/import"), "POST, OPTIONS");
        assert_eq!(allow("/nowhere"), "GET, HEAD, POST, PATCH, DELETE, OPTIONS");
    }

    #[test]
    fn the_document_tells_what_an_operation_answers() {
        let answers = serde_json::json!({
            "200": {"content": {"application/json; charset=utf-8": {}}},
            "204": {},
            "404": {"content": {"application/problem+json": {}}},
        });
        let routes =
            Routes::of_document(&serde_json::json!({"paths": {"/": {"get": {"responses": answers}}}}));
        let route = routes.find("/").expect("a route");
        for method in [Method::GET, Method::HEAD] {
            assert!(route.produced(&method).eq(["application/json; charset=utf-8"].iter()), "{method}");
        }
        assert_eq!(route.produced(&Method::POST).count(), 0);
    }

    #[test]
    fn a_path_may_have_limits_of_its_own() {
        let limits = RouteLimits { body_bytes: 5, ..RouteLimits::default() };
        let routes = routes().with_limits("/users/import", limits);
        assert_eq!(routes.find("/users/import").and_then(Route::limits), Some(limits));
        assert_eq!(routes.find("/users").and_then(Route::limits), None);
    }
}
