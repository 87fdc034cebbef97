//! The OpenAPI document: what the code declares, completed with what holds for every operation.
//!
//! `poem-openapi` derives paths, bodies and answers from the handlers. What it cannot know is added here by rule: the
//! problems that any request may meet, the headers that every answer carries, the headers that requests may send, and
//! that bodies have no other fields.

use std::collections::{BTreeSet, HashMap};
use std::marker::PhantomData;

use poem::endpoint::BoxEndpoint;
use poem::http::Method;
use poem_openapi::registry::{MetaApi, Registry};
use poem_openapi::{LicenseObject, OpenApi, OpenApiService};
use serde_json::{Map, Value, json};

use crate::docs::content_security_policy;
use crate::middleware::unmetered;
use crate::parameters::Parameter;
use crate::preference::PREFER;
use crate::problem::{PROBLEM_JSON, ProblemCode};
use crate::{avatars, jobs, users};

const TITLE: &str = "portwright";
const DESCRIPTION: &str = "Every error is a problem (RFC 9457): `application/problem+json` with a stable `code`. Every \
    answer carries `X-Request-Id`; send your own to find a request in the logs. Writes answer a `Consistency-Token`; a \
    read that sends it back sees at least that write. Where replicas answer, reads of users answer one, too: who always \
    sends the newest back never sees an older state than before.";

/// The document of an API, in every form in which it is served.
pub struct Document {
    /// As JSON.
    pub value: Value,
    /// As a page that needs nothing from elsewhere.
    pub page: String,
    /// The content security policy under which the page works.
    pub page_policy: String,
}

impl Document {
    /// The document of these operations.
    pub(crate) fn of<T: OpenApi>() -> Self {
        let service = OpenApiService::new(Described::<T>(PhantomData), TITLE, env!("CARGO_PKG_VERSION"))
            .description(DESCRIPTION)
            .license(LicenseObject::new("MIT").url("https://spdx.org/licenses/MIT.html"));
        let declared = service.spec();
        let mut value: Value = serde_json::from_str(&declared).unwrap_or_default();
        complete(&mut value);
        let page = service.swagger_ui_html().replace(&declared, &value.to_string());
        let page_policy = content_security_policy(&page);
        Self { value, page, page_policy }
    }

    /// As JSON with line breaks, the form of the committed file.
    #[must_use]
    pub fn json(&self) -> String {
        format!("{:#}\n", self.value)
    }

    /// As YAML.
    #[must_use]
    pub fn yaml(&self) -> String {
        serde_yaml::to_string(&self.value).unwrap_or_default()
    }
}

/// Describes an API without having one: its operations are known by their type alone.
struct Described<T>(PhantomData<T>);

impl<T: OpenApi> OpenApi for Described<T> {
    fn meta() -> Vec<MetaApi> {
        T::meta()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn add_routes(self, _: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {}
}

fn complete(document: &mut Value) {
    close_bodies(document);
    name_headers(document);
    tell_null(document);
    document["components"]["headers"] = common_headers();
    document["components"]["responses"] = common_problems();
    for (path, operations) in members_mut(&mut document["paths"]) {
        let path = path.clone();
        for (method, operation) in members_mut(operations) {
            add_parameters(&path, method, operation);
            add_answers(&path, operation);
        }
    }
}

/// The name of a schema that stands somewhere else, with words of its own or without.
fn referred(schema: &Value) -> Option<String> {
    let reference = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
    reference.and_then(|path| path.rsplit('/').next()).map(str::to_owned)
}

/// A body has the fields that are described, and no others.
fn close_bodies(document: &mut Value) {
    let mut bodies = BTreeSet::new();
    for (_, operations) in members(&document["paths"]) {
        for (_, operation) in members(operations) {
            bodies.extend(referred(&operation["requestBody"]["content"]["application/json"]["schema"]));
        }
    }
    for body in &bodies {
        let fields = members(&document["components"]["schemas"][body]["properties"]);
        let objects: Vec<String> = fields.filter_map(|(_, field)| referred(field)).collect();
        for object in objects {
            let schema = &mut document["components"]["schemas"][object];
            if schema["type"] == "object" {
                schema["additionalProperties"] = json!(false);
            }
        }
    }
    for body in bodies {
        let schema = &mut document["components"]["schemas"][body];
        schema["additionalProperties"] = json!(false);
        if let Some(email) = schema["properties"].get_mut("email") {
            email["format"] = json!("email");
        }
    }
}

/// What is always there but may be null; the framework can only say of a field that it may be absent.
const NULLABLE: [(&str, &[&str]); 5] = [
    ("User", &["lastLogin", "avatarUrl"]),
    ("Job", &["result", "error", "createdBy", "scheduledFor", "startedAt", "finishedAt"]),
    ("JobProgress", &["total", "message"]),
    ("Queue", &["oldestReadySeconds"]),
    ("PrimesFound", &["largest"]),
];

fn tell_null(document: &mut Value) {
    for (schema, fields) in NULLABLE {
        let schema = &mut document["components"]["schemas"][schema];
        for field in fields {
            schema["properties"][field]["nullable"] = json!(true);
            if let Some(required) = schema["required"].as_array_mut() {
                required.push(json!(field));
            }
        }
    }
}

/// The framework writes names of headers in upper case.
fn name_headers(document: &mut Value) {
    const NAMES: [&str; 10] = [
        "Content-Location",
        "ETag",
        "Location",
        "Link",
        "Cache-Control",
        "Consistency-Token",
        "Content-Security-Policy",
        "Preference-Applied",
        "Retry-After",
        "X-Accel-Buffering",
    ];
    for (_, operations) in members_mut(&mut document["paths"]) {
        for (_, operation) in members_mut(operations) {
            for (_, answer) in members_mut(&mut operation["responses"]) {
                let Some(headers) = answer.get_mut("headers").and_then(Value::as_object_mut) else {
                    continue;
                };
                for name in NAMES {
                    if let Some(header) = headers.remove(&name.to_uppercase()) {
                        headers.insert(name.to_owned(), header);
                    }
                }
            }
        }
    }
}

fn common_headers() -> Value {
    let header = |description: &str, ty: &str| json!({"description": description, "schema": {"type": ty}});
    json!({
        "X-Request-Id": header("The identity of the request, as sent or as made here.", "string"),
        "RateLimit-Policy": header("The limit and its window in seconds.", "string"),
        "RateLimit": header("What is left of the limit, and in how many seconds it is whole again.", "string"),
        "X-RateLimit-Limit": header("The limit.", "integer"),
        "X-RateLimit-Remaining": header("What is left of it.", "integer"),
        "X-RateLimit-Reset": header("When it is whole again, in Unix seconds.", "integer"),
        "Retry-After": header("In how many seconds to try again.", "integer"),
        "WWW-Authenticate": header("What is wrong with the credentials.", "string"),
    })
}

/// What may be answered to any request.
const COMMON: [ProblemCode; 11] = [
    ProblemCode::MalformedRequest,
    ProblemCode::NotAcceptable,
    ProblemCode::RequestTimeout,
    ProblemCode::PayloadTooLarge,
    ProblemCode::UriTooLong,
    ProblemCode::ValidationFailed,
    ProblemCode::RateLimited,
    ProblemCode::HeadersTooLarge,
    ProblemCode::Internal,
    ProblemCode::Unavailable,
    ProblemCode::Timeout,
];

/// What may also be answered to a request with an idempotency key.
const IDEMPOTENCY: [ProblemCode; 2] = [ProblemCode::IdempotencyKeyRunning, ProblemCode::IdempotencyKeyReused];

fn common_problems() -> Value {
    let problems = COMMON.iter().chain(&IDEMPOTENCY).map(|code| {
        let content = json!({PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}});
        let answer = json!({"description": code.meaning(), "headers": headers_of(code.status().as_u16()), "content": content});
        (code.as_str().to_owned(), answer)
    });
    Value::Object(problems.collect())
}

fn headers_of(status: u16) -> Map<String, Value> {
    const EVERY: [&str; 6] = [
        "X-Request-Id",
        "RateLimit-Policy",
        "RateLimit",
        "X-RateLimit-Limit",
        "X-RateLimit-Remaining",
        "X-RateLimit-Reset",
    ];
    let more: &[&str] = match status {
        401 => &["WWW-Authenticate"],
        429 | 503 => &["Retry-After"],
        _ => &[],
    };
    let reference = |name: &str| json!({"$ref": format!("#/components/headers/{name}")});
    EVERY.iter().chain(more).map(|name| ((*name).to_owned(), reference(name))).collect()
}

fn add_answers(path: &str, operation: &mut Value) {
    let is_exempt = unmetered(path);
    let is_post = operation["parameters"].as_array().is_some_and(|parameters| {
        parameters.iter().any(|parameter| parameter["name"] == crate::idempotency::IDEMPOTENCY_KEY)
    });
    // Who has looked and found nothing has seen a state, too.
    let is_read = operation["parameters"].as_array().is_some_and(|parameters| {
        parameters.iter().any(|parameter| parameter["name"] == crate::consistency::CONSISTENCY_TOKEN)
    });
    let seen = operation.pointer("/responses/200/headers/Consistency-Token").filter(|_| is_read).cloned();
    for (status, answer) in members_mut(&mut operation["responses"]) {
        let mut headers = headers_of(status.parse().unwrap_or_default());
        if status == "404"
            && let Some(seen) = &seen
        {
            headers.insert(crate::consistency::CONSISTENCY_TOKEN.to_owned(), seen.clone());
        }
        if is_exempt {
            headers.retain(|name, _| !name.to_lowercase().contains("ratelimit"));
        }
        let own = answer.get("headers").and_then(Value::as_object).cloned().unwrap_or_default();
        headers.extend(own);
        answer["headers"] = Value::Object(headers);
    }
    let common = COMMON.iter().filter(|code| !(is_exempt && **code == ProblemCode::RateLimited));
    for code in common.chain(IDEMPOTENCY.iter().filter(|_| is_post)) {
        if let Some(answers) = operation["responses"].as_object_mut() {
            let reference = json!({"$ref": format!("#/components/responses/{}", code.as_str())});
            answers.entry(code.status().as_u16().to_string()).or_insert(reference);
        }
    }
}

fn add_parameters(path: &str, method: &str, operation: &mut Value) {
    let header = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "header", "required": false, "description": description, "schema": schema});
    let mut parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    let is_conditional = ["/users/{id}", avatars::PATH].contains(&path);
    match method {
        "post" => parameters.push(header(
            crate::idempotency::IDEMPOTENCY_KEY,
            "Sent again within 24 h with the same request, it gets the first answer.",
            json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}),
        )),
        "get" if path == "/jobs/{id}/events" => parameters.push(header(
            jobs::events::LAST_EVENT_ID,
            "The id of the last event that the client has.",
            json!({"type": "string"}),
        )),
        "get" if path == "/users" || is_conditional => {
            parameters.push(header(
                crate::consistency::CONSISTENCY_TOKEN,
                "Of an earlier answer: this one is at least as new.",
                json!({"type": "string"}),
            ));
            if is_conditional {
                let description = "An entity tag that the client has; if it is still right, 304.";
                parameters.push(header("If-None-Match", description, json!({"type": "string"})));
            }
        }
        "patch" | "put" | "delete" if is_conditional => {
            let description = "The entity tag that the change was made from; if it is no longer right, 412.";
            parameters.push(header("If-Match", description, json!({"type": "string"})));
        }
        _ => {}
    }
    if path.starts_with("/compute/") || (path, method) == (avatars::PATH, "put") {
        let description =
            "`wait=N`: wait so many seconds for the result, at most 55. `respond-async`: do not wait.";
        parameters.push(header(PREFER, description, json!({"type": "string"})));
    }
    let of_query: &[Parameter] = match (path, method) {
        ("/users", "get") => &users::query::PARAMETERS,
        (avatars::PATH, "get") => &avatars::PARAMETERS,
        ("/jobs", "get") => &jobs::query::PARAMETERS,
        _ => &[],
    };
    parameters.extend(of_query.iter().map(query_parameter));
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
}

fn query_parameter(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name,
        "in": "query",
        "required": false,
        "description": parameter.doc,
        "schema": (parameter.schema)(),
    })
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn members_mut(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flatten()
}
