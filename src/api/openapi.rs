//! The description of the door for programs, at `/openapi.json`: what `docs/api.md` is for people.
//!
//! The body of a submission is described by the schema of the job file (`docs/job.schema.json`), with the published example,
//! other bodies in `asks.json`; what is given, by the types that are written ([`shapes`]).
//!
//! To add an endpoint: its row in [`OPERATIONS`]; a test holds the rows against the router.

mod shapes;

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use serde_json::{Value, json};
use utoipa::openapi::path::{HttpMethod, Operation, OperationBuilder, ParameterBuilder, ParameterIn, PathItem, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, InfoBuilder, OpenApiBuilder, Ref, Required, Response as Told, ResponseBuilder};

use self::shapes::{REFUSED, Shape, Shapes, either, list_of, one, typed};
use super::by_hand::Heard;
use super::health::Ready;
use super::jobs_ask::RetriedNode;
use super::jobs_submit::Accepted;
use crate::service::collect::Collected;
use crate::service::details::Tail;
use crate::service::envelope::PublicKey;
use crate::service::inventory::HostList;
use crate::service::manual::Commands;
use crate::service::preview::Preview;
use crate::service::view::{JobList, JobView, StepLog};

/// The schema of a submission.
const JOB: &str = include_str!("../../docs/job.schema.json");
/// The schemas of other bodies, by name.
const ASKS: &str = include_str!("openapi/asks.json");
/// The published example of a submission.
const EXAMPLE: &str = include_str!("../../tests/api/published/request.json");
/// What it is answered where cloud 2 has no proxy.
const ANSWER: &str = include_str!("../../tests/api/published/response.json");

/// What an operation takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    /// A body of [`ASKS`].
    Body(&'static str),
    /// A submission.
    Job,
}

/// What it gives.
#[derive(Clone, Copy)]
enum Gives {
    /// An envelope with such `data`.
    Data(shapes::Data),
    /// The same, or which hosts are the reason that no job was made.
    Submission,
    /// The same as the first, or why a host did not give it.
    FromHost(shapes::Data),
    /// Server-sent events.
    Events,
    /// A document of its own.
    Document,
    /// Prometheus' text.
    Figures,
    /// Text or bytes for a script, of that type.
    Text(&'static str),
}

/// One operation: method, path, what it does, its body, its query, its answer.
type Row = (HttpMethod, &'static str, &'static str, Takes, &'static [(&'static str, Type, bool)], Gives);

const OPERATIONS: &[Row] = &[
    (HttpMethod::Post, "/api/job/install/", "Submit a job", Takes::Job, &[], Gives::Submission),
    (HttpMethod::Post, "/api/job/operate/", "Submit a job on known hosts", Takes::Body("Operation"), &[], Gives::Submission),
    (HttpMethod::Post, "/api/job/job_list/", "List jobs", Takes::Body("JobListQuestion"), &[], Gives::Data(one::<JobList>)),
    (HttpMethod::Get, "/api/job/{id}/details/", "A job with its first hosts", Takes::Nothing, &[], Gives::Data(one::<JobView>)),
    (
        HttpMethod::Post,
        "/api/job/{id}/details/",
        "A job with a page of its hosts",
        Takes::Body("DetailsQuestion"),
        &[],
        Gives::Data(one::<JobView>),
    ),
    (
        HttpMethod::Get,
        "/api/job/{id}/log/",
        "The log of a host; with offset or limit a tail of what it printed",
        Takes::Nothing,
        &[("instance_id", Type::String, true), ("offset", Type::Integer, false), ("limit", Type::Integer, false)],
        Gives::Data(|shapes| either([list_of::<StepLog>(shapes), one::<Tail>(shapes)])),
    ),
    (
        HttpMethod::Post,
        "/api/job/{id}/retry/",
        "Try hosts again that failed or were cancelled",
        Takes::Body("RetryQuestion"),
        &[],
        Gives::Data(list_of::<i64>),
    ),
    (
        HttpMethod::Post,
        "/api/job/{id}/retry_node/",
        "Try one host again",
        Takes::Body("RetryNodeQuestion"),
        &[],
        Gives::Data(one::<RetriedNode>),
    ),
    (HttpMethod::Post, "/api/job/{id}/revoke/", "Cancel a job", Takes::Body("RevokeQuestion"), &[], Gives::Data(list_of::<i64>)),
    (
        HttpMethod::Post,
        "/api/job/{id}/collect_log/",
        "Fetch the whole log of a host's script from it",
        Takes::Body("RetryNodeQuestion"),
        &[],
        Gives::FromHost(one::<Collected>),
    ),
    (
        HttpMethod::Get,
        "/api/job/{id}/events/",
        "What happens to a job, as server-sent events; resumable by Last-Event-ID",
        Takes::Nothing,
        &[("after", Type::Integer, false)],
        Gives::Events,
    ),
    (
        HttpMethod::Get,
        "/api/job/{id}/get_job_commands/",
        "A new one-time command for a host that a person installs",
        Takes::Nothing,
        &[("bk_host_id", Type::Integer, false), ("instance_id", Type::String, false), ("is_uninstall", Type::Boolean, false)],
        Gives::Data(one::<Commands>),
    ),
    (
        HttpMethod::Get,
        "/backend/script/",
        "The script of a one-time token, which is spent by this",
        Takes::Nothing,
        &[("task_id", Type::String, true), ("token", Type::String, true)],
        Gives::Text("text/x-shellscript"),
    ),
    (
        HttpMethod::Post,
        "/backend/settle/",
        "The plan of a script's host",
        Takes::Body("ScriptFacts"),
        &[],
        Gives::Text("text/plain"),
    ),
    (
        HttpMethod::Post,
        "/backend/fetch/",
        "Bytes that a script's host needs",
        Takes::Body("ScriptFetch"),
        &[],
        Gives::Text("application/octet-stream"),
    ),
    (
        HttpMethod::Post,
        "/backend/report_log/",
        "What a script reports: lines of its log, begin and end of its steps",
        Takes::Body("ScriptReport"),
        &[],
        Gives::Data(one::<Heard>),
    ),
    (
        HttpMethod::Get,
        "/api/host/",
        "List the hosts of the inventory; values parted by commas are a list",
        Takes::Nothing,
        &[
            ("bk_host_id", Type::String, false),
            ("bk_biz_id", Type::String, false),
            ("bk_cloud_id", Type::String, false),
            ("ap_id", Type::String, false),
            ("ip", Type::String, false),
            ("node_type", Type::String, false),
            ("os_type", Type::String, false),
            ("package", Type::String, false),
            ("version", Type::String, false),
            ("page", Type::Integer, false),
            ("pagesize", Type::Integer, false),
            ("start", Type::Integer, false),
        ],
        Gives::Data(one::<HostList>),
    ),
    (
        HttpMethod::Post,
        "/api/encrypt_rsa/fetch_public_keys/",
        "The keys that secrets may be sealed with",
        Takes::Body("KeyQuestion"),
        &[],
        Gives::Data(list_of::<PublicKey>),
    ),
    (
        HttpMethod::Post,
        "/api/encrypt_asymmetric/fetch_public_keys/",
        "The same at upstream's other path",
        Takes::Body("KeyQuestion"),
        &[],
        Gives::Data(list_of::<PublicKey>),
    ),
    (HttpMethod::Get, "/healthz", "Does the process answer?", Takes::Nothing, &[], Gives::Data(shapes::nothing)),
    (HttpMethod::Get, "/readyz", "Can it work?", Takes::Nothing, &[], Gives::Data(one::<Ready>)),
    (HttpMethod::Get, "/metrics", "Figures for Prometheus", Takes::Nothing, &[], Gives::Figures),
    (HttpMethod::Get, "/openapi.json", "This description", Takes::Nothing, &[], Gives::Document),
];

/// Those that may come with a key.
const SUBMISSIONS: [&str; 2] = ["/api/job/install/", "/api/job/operate/"];

/// The document, written once.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());

pub(super) async fn show() -> Response<Body> {
    let mut response = Response::new(Body::from(DOCUMENT.as_str()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn document() -> Value {
    let mut shapes = Shapes::default();
    let paths = OPERATIONS.iter().fold(PathsBuilder::new(), |paths, row| {
        let operation = operation(row, &mut shapes);
        paths.path(row.1, PathItem::new(row.0.clone(), operation))
    });
    let info = InfoBuilder::new().title("Landfall job API").version(env!("CARGO_PKG_VERSION"));
    let mut components = shapes.components();
    components.add_security_scheme(APP, app());
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
        schemas.extend(serde_json::from_str::<serde_json::Map<_, _>>(ASKS).unwrap_or_default());
    }
    document
}

fn operation((method, path, summary, takes, query, gives): &Row, shapes: &mut Shapes) -> Operation {
    let word = path
        .trim_matches('/')
        .replace("api/job/", "")
        .replace("api/", "")
        .replace("backend/", "script_")
        .replace("{id}/", "")
        .replace(['/', '.'], "_");
    let name = if *method == HttpMethod::Get { format!("get_{word}") } else { word };
    let mut operation = OperationBuilder::new().operation_id(Some(name)).summary(Some(*summary));
    if path.contains("{id}") {
        let id = ParameterBuilder::new().name("id").parameter_in(ParameterIn::Path).required(Required::True);
        operation = operation.parameter(id.schema(Some(typed(Type::Integer).minimum(Some(1)))).example(Some(json!(1))));
    }
    for (name, kind, required) in *query {
        let required = if *required { Required::True } else { Required::False };
        let parameter = ParameterBuilder::new().name(*name).parameter_in(ParameterIn::Query).required(required);
        // What an id looks like cannot be guessed.
        let example = (*name == "instance_id").then(|| json!("host|instance|host|127.0.0.5-0-0"));
        operation = operation.parameter(parameter.schema(Some(typed(kind.clone()))).example(example));
    }
    if SUBMISSIONS.contains(path) {
        let key = ParameterBuilder::new().name("Idempotency-Key").parameter_in(ParameterIn::Header).required(Required::False);
        let about = "What comes again with the same key and body within 24 hours is answered with the first job";
        operation = operation.parameter(key.description(Some(about)).schema(Some(typed(Type::String))));
    }
    let content = match takes {
        Takes::Nothing => None,
        Takes::Body(name) => Some(ContentBuilder::new().schema(Some(Ref::from_schema_name(*name))).build()),
        Takes::Job => Some(ContentBuilder::new().schema(Some(Ref::from_schema_name("Job"))).example(parsed(EXAMPLE)).build()),
    };
    if let Some(content) = content {
        // A script has always something to say; elsewhere nothing means what is asked by default.
        let required = if path.starts_with("/backend/") { Required::True } else { Required::False };
        let body = RequestBodyBuilder::new().required(Some(required)).content("application/json", content);
        operation = operation.request_body(Some(body.build()));
    }
    operation = operation.response("200", told(*gives, *takes == Takes::Job, shapes));
    if matches!(gives, Gives::Events) {
        operation = operation.response("204", ResponseBuilder::new().description("the job has ended and all is told"));
    }
    for (status, why) in WRONG {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(REFUSED))).build();
        operation = operation.response(*status, ResponseBuilder::new().description(*why).content("application/json", content));
    }
    if path.starts_with("/api/") {
        // Either: a site without apps asks nobody who they are.
        operation =
            operation.security(SecurityRequirement::default()).security(SecurityRequirement::new(APP, Vec::<String>::new()));
    }
    operation.build()
}

/// How a caller says who it is.
const APP: &str = "app";

fn app() -> SecurityScheme {
    let about = "A JSON object: {\"bk_app_code\": …, \"bk_app_secret\": …, \"bk_username\": …}. The same keys may stand in the body \
                 instead, or in the query of a GET. Required where the site declares apps.";
    SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description("X-Bkapi-Authorization", about)))
}

/// The answer that is no error of HTTP.
fn told(gives: Gives, with_example: bool, shapes: &mut Shapes) -> Told {
    let json = |schema: Shape| {
        let example = with_example.then(|| parsed(ANSWER)).flatten();
        ("application/json", ContentBuilder::new().schema(Some(schema)).example(example).build())
    };
    let text = |format| (format, ContentBuilder::new().schema(Some(typed(Type::String))).build());
    let (description, contents) = match gives {
        Gives::Data(data) => ("what came of it", vec![json(shapes::envelope(data(shapes)))]),
        Gives::Submission => {
            let data = either([one::<Accepted>(shapes), one::<Preview>(shapes)]);
            ("what came of it", vec![json(shapes::submission(data, shapes))])
        }
        Gives::FromHost(data) => {
            let data = data(shapes);
            ("what came of it", vec![json(shapes::from_host(data, shapes))])
        }
        Gives::Events => {
            let why_not = json(Ref::from_schema_name(REFUSED).into());
            ("the events, or why there are none", vec![text("text/event-stream"), why_not])
        }
        Gives::Document => ("the description", vec![json(ObjectBuilder::new().into())]),
        Gives::Figures => ("the figures", vec![text("text/plain")]),
        Gives::Text(form) => ("what the script asked for", vec![text(form)]),
    };
    let response = ResponseBuilder::new().description(description);
    contents.into_iter().fold(response, |response, (format, content)| response.content(format, content)).build()
}

/// What HTTP itself has a word for.
const WRONG: &[(&str, &str)] = &[
    ("400", "the body broke off, or is none that a script sends"),
    ("401", "no such app, or its secret is another one"),
    ("403", "the app may not, a page of another site asks, or a token is not valid"),
    ("404", "there is no such path"),
    ("409", "a script asks for what cannot be now"),
    ("405", "the path has no such method"),
    ("413", "the body is over 64 MiB"),
    ("429", "too many requests, or too many wrong secrets; Retry-After says when to ask again"),
    ("500", "a fault of ours"),
    ("503", "stopping, or too slow"),
];

fn parsed(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
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
        assert_eq!(document["paths"]["/api/job/install/"]["post"]["security"], json!([{}, {"app": []}]));
        assert_eq!(document["components"]["securitySchemes"]["app"]["name"], "X-Bkapi-Authorization");
        assert!(document["paths"]["/healthz"]["get"]["security"].is_null());
    }

    #[test]
    fn an_answer_is_a_whole_envelope_and_keys_of_a_host_that_was_left_out_may_be_missing() {
        let document = document();
        let content = &document["paths"]["/api/job/{id}/details/"]["get"]["responses"]["200"]["content"]["application/json"];
        let done = &content["schema"]["oneOf"][0];
        assert_eq!(done["required"], json!(["result", "code", "data", "message", "errors"]));
        assert_eq!(done["additionalProperties"], false);
        assert_eq!(done["properties"]["data"]["$ref"], "#/components/schemas/JobView");
        let host = &document["components"]["schemas"]["HostView"]["allOf"];
        let exclusion = host.as_array().unwrap().iter().find(|item| item["anyOf"].is_array()).unwrap();
        assert_eq!(exclusion["anyOf"][0]["$ref"], "#/components/schemas/Exclusion");
        assert_eq!(exclusion["anyOf"][1], json!({"type": "object"}));
    }
}
