//! The description of the door for programs, at `/openapi.json`: what `docs/api.md` is for people.
//!
//! The body of a submission is described by the schema of the job file (`docs/job.schema.json`), with the published example.
//!
//! To add an endpoint: its row in [`OPERATIONS`]; a test holds the rows against the router.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use serde_json::{Value, json};
use utoipa::openapi::path::{HttpMethod, Operation, OperationBuilder, ParameterBuilder, ParameterIn, PathItem, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ComponentsBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{ContentBuilder, InfoBuilder, OpenApiBuilder, Ref, Required, ResponseBuilder};

/// The schema of a submission.
const JOB: &str = include_str!("../../docs/job.schema.json");
/// The published example of a submission.
const EXAMPLE: &str = include_str!("../../tests/api/published/request.json");
/// What it is answered where cloud 2 has no proxy.
const ANSWER: &str = include_str!("../../tests/api/published/response.json");

/// What an operation takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    /// An object; its keys stand in `docs/api.md`.
    Object,
    /// A submission.
    Job,
}

/// One operation: method, path, what it does, its body, its query.
type Row = (HttpMethod, &'static str, &'static str, Takes, &'static [(&'static str, Type, bool)]);

const OPERATIONS: &[Row] = &[
    (HttpMethod::Post, "/api/job/install/", "Submit a job", Takes::Job, &[]),
    (HttpMethod::Post, "/api/job/operate/", "Submit a job on known hosts", Takes::Object, &[]),
    (HttpMethod::Post, "/api/job/job_list/", "List jobs", Takes::Object, &[]),
    (HttpMethod::Get, "/api/job/{id}/details/", "A job with its first hosts", Takes::Nothing, &[]),
    (HttpMethod::Post, "/api/job/{id}/details/", "A job with a page of its hosts", Takes::Object, &[]),
    (
        HttpMethod::Get,
        "/api/job/{id}/log/",
        "The log of a host; with offset or limit a tail of what it printed",
        Takes::Nothing,
        &[("instance_id", Type::String, true), ("offset", Type::Integer, false), ("limit", Type::Integer, false)],
    ),
    (HttpMethod::Post, "/api/job/{id}/retry/", "Try hosts again that failed or were cancelled", Takes::Object, &[]),
    (HttpMethod::Post, "/api/job/{id}/retry_node/", "Try one host again", Takes::Object, &[]),
    (HttpMethod::Post, "/api/job/{id}/revoke/", "Cancel a job", Takes::Object, &[]),
    (
        HttpMethod::Get,
        EVENTS,
        "What happens to a job, as server-sent events; resumable by Last-Event-ID",
        Takes::Nothing,
        &[("after", Type::Integer, false)],
    ),
    (HttpMethod::Post, "/api/encrypt_rsa/fetch_public_keys/", "The key that secrets may be sealed with", Takes::Object, &[]),
    (HttpMethod::Post, "/api/encrypt_asymmetric/fetch_public_keys/", "The same at upstream's other path", Takes::Object, &[]),
    (HttpMethod::Get, "/healthz", "Does the process answer?", Takes::Nothing, &[]),
    (HttpMethod::Get, "/readyz", "Can it work?", Takes::Nothing, &[]),
    (HttpMethod::Get, "/openapi.json", "This description", Takes::Nothing, &[]),
];

const EVENTS: &str = "/api/job/{id}/events/";

/// The document, written once.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());

pub(super) async fn show() -> Response<Body> {
    let mut response = Response::new(Body::from(DOCUMENT.as_str()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn document() -> Value {
    let paths =
        OPERATIONS.iter().fold(PathsBuilder::new(), |paths, row| paths.path(row.1, PathItem::new(row.0.clone(), operation(row))));
    let info = InfoBuilder::new().title("Landfall job API").version(env!("CARGO_PKG_VERSION"));
    let components = ComponentsBuilder::new().schema("Envelope", envelope()).schema("Fault", fault()).build();
    let document = OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).build();
    let mut document = serde_json::to_value(document).unwrap_or_default();
    // The definitions of the job file become components of their own.
    let mut job: Value = serde_json::from_str(&JOB.replace("#/$defs/", "#/components/schemas/")).unwrap_or_default();
    let schemas = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
    if let (Some(fields), Some(schemas)) = (job.as_object_mut(), schemas) {
        fields.remove("$schema");
        if let Some(Value::Object(definitions)) = fields.remove("$defs") {
            schemas.extend(definitions);
        }
        schemas.insert("Job".into(), job);
    }
    document
}

fn operation((method, path, summary, takes, query): &Row) -> Operation {
    let word = path.trim_matches('/').replace("api/job/", "").replace("{id}/", "").replace(['/', '.'], "_");
    let name = if *method == HttpMethod::Get { format!("get_{word}") } else { word };
    let mut operation = OperationBuilder::new().operation_id(Some(name)).summary(Some(*summary));
    if path.contains("{id}") {
        let id = ParameterBuilder::new().name("id").parameter_in(ParameterIn::Path).required(Required::True);
        operation = operation.parameter(id.schema(Some(typed(Type::Integer))));
    }
    for (name, kind, required) in *query {
        let required = if *required { Required::True } else { Required::False };
        let parameter = ParameterBuilder::new().name(*name).parameter_in(ParameterIn::Query).required(required);
        operation = operation.parameter(parameter.schema(Some(typed(kind.clone()))));
    }
    let content = match takes {
        Takes::Nothing => None,
        Takes::Object => Some(ContentBuilder::new().schema(Some(ObjectBuilder::new())).build()),
        Takes::Job => Some(ContentBuilder::new().schema(Some(Ref::from_schema_name("Job"))).example(parsed(EXAMPLE)).build()),
    };
    if let Some(content) = content {
        operation = operation.request_body(Some(RequestBodyBuilder::new().content("application/json", content).build()));
    }
    let events = *path == EVENTS;
    let document = path.ends_with(".json");
    let yes = ResponseBuilder::new().description(if events { "the events, or why there are none" } else { "what came of it" });
    let yes = if document {
        yes.content("application/json", ContentBuilder::new().schema(Some(ObjectBuilder::new())).build())
    } else {
        let example = (*takes == Takes::Job).then(|| parsed(ANSWER)).flatten();
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Envelope")));
        yes.content("application/json", content.example(example).build())
    };
    let text = ContentBuilder::new().schema(Some(typed(Type::String))).build();
    operation = operation.response("200", if events { yes.content("text/event-stream", text) } else { yes });
    if events {
        operation = operation.response("204", ResponseBuilder::new().description("the job has ended and all is told"));
    }
    for (status, why) in WRONG {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Envelope"))).build();
        operation = operation.response(*status, ResponseBuilder::new().description(*why).content("application/json", content));
    }
    operation.build()
}

/// What HTTP itself has a word for.
const WRONG: &[(&str, &str)] = &[
    ("400", "the body broke off"),
    ("403", "a page of another site asks"),
    ("404", "there is no such path"),
    ("405", "the path has no such method"),
    ("413", "the body is over 64 MiB"),
    ("500", "a fault of ours"),
    ("503", "stopping, or too slow"),
];

fn typed(kind: impl Into<SchemaType>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(kind)
}

fn parsed(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

fn envelope() -> Schema {
    let nullable = |kind: Type| SchemaType::Array(vec![kind, Type::Null]);
    ObjectBuilder::new()
        .description(Some("Every answer. `errors` is null or one entry for every fault."))
        .property("result", typed(Type::Boolean))
        .property("code", typed(Type::Integer))
        .property("data", typed(SchemaType::AnyValue))
        .property("message", typed(Type::String))
        .property("errors", ArrayBuilder::new().schema_type(nullable(Type::Array)).items(Ref::from_schema_name("Fault")))
        .required("result")
        .required("code")
        .required("data")
        .required("message")
        .required("errors")
        .into()
}

fn fault() -> Schema {
    ObjectBuilder::new()
        .property("path", typed(Type::String))
        .property("message", typed(Type::String))
        .required("path")
        .required("message")
        .examples([json!({"path": "hosts[3].port", "message": "70000 must be between 1 and 65535"})])
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let source = include_str!("mod.rs");
        let routes = source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next());
        let routes: std::collections::BTreeSet<&str> = routes.collect();
        let document = document();
        let described = document["paths"].as_object().unwrap().keys();
        assert_eq!(described.map(|path| path.trim_end_matches('/')).collect::<std::collections::BTreeSet<_>>(), routes);
        assert!(document["paths"]["/api/job/{id}/details/"]["get"].is_object());
        assert!(document["paths"]["/api/job/{id}/details/"]["post"].is_object());
    }

    #[test]
    fn a_submission_is_described_by_the_job_file_and_the_published_example() {
        let document = document();
        let content = &document["paths"]["/api/job/install/"]["post"]["requestBody"]["content"]["application/json"];
        assert_eq!(content["schema"]["$ref"], "#/components/schemas/Job");
        assert_eq!(content["example"]["job_type"], "INSTALL_AGENT");
        let text = document.to_string();
        for reference in text.split("\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
        assert!(!text.contains("$defs"));
    }
}
