//! Traces: spans of what a request took, part of the caller's trace, without a word of what it
//! carried; and collectors that are slow, away or not meant.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::collector::{Collector, attribute};
use crate::support::process::{Process, run};
use crate::support::server::Place;

/// A server that was told of a collector, and an operator's key.
struct Traced {
    process: Process,
    key: String,
    http: Client,
    _place: Place,
}

/// What makes spans come soon.
const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "100");

fn traced(place: Place, environment: &[(&str, &str)]) -> Traced {
    let process = Process::serve(&place, &["serve"], environment);
    let (url, root) = (place.database_url(), place.root_key_file());
    let deployment = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
    ];
    let key = run(&["operator-key", "--quiet"], &deployment).out;
    Traced {
        process,
        key: key.trim().to_owned(),
        http: Client::new(),
        _place: place,
    }
}

impl Traced {
    fn key_id(&self) -> String {
        format!("key_{}", self.key.rsplit('_').nth(1).unwrap())
    }

    /// An exchange that is the part of a trace, and what came of it.
    async fn exchange(&self, secret: &str, trace: [u8; 16]) -> (StatusCode, Value) {
        let answer = self
            .http
            .post(format!("{}/oauth/token", self.process.base))
            .basic_auth(self.key_id(), Some(secret))
            .header("traceparent", parent(trace))
            .form(&[("grant_type", "client_credentials")])
            .send()
            .await
            .unwrap();
        let status = answer.status();
        (status, answer.json().await.unwrap())
    }

    async fn manage(&self, method: Method, path: &str, body: Value, trace: [u8; 16]) -> Value {
        let request = self
            .http
            .request(method, format!("{}{path}", self.process.base))
            .bearer_auth(&self.key)
            .header("traceparent", parent(trace))
            .json(&body);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}");
        answer.json().await.unwrap()
    }
}

/// The span that the caller is in.
const CALLER: [u8; 8] = [0xab; 8];

/// What the exchange's request goes by.
const NAME: &str = "POST /oauth/token";

fn parent(trace: [u8; 16]) -> String {
    let hex = |bytes: &[u8]| {
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        digits.collect::<String>()
    };
    format!("00-{}-{}-01", hex(&trace), hex(&CALLER))
}

fn named<'a>(spans: &'a [Span], name: &str) -> Option<&'a Span> {
    spans.iter().find(|span| span.name == name)
}

fn contains(bytes: &[u8], what: &str) -> bool {
    bytes
        .windows(what.len())
        .any(|window| window == what.as_bytes())
}

async fn an_exchange_is_seen_from_its_head_to_its_answer(place: Place) {
    let system = if place.is_sqlite() {
        "sqlite"
    } else {
        "postgresql"
    };
    let collector = Collector::start().await;
    let server = traced(place, &[("TENMINT_OTLP_ENDPOINT", &collector.url), SOON]);
    let (cold, warm, refused, act) = ([1; 16], [2; 16], [3; 16], [4; 16]);
    let wrong = format!("{}x", server.key);
    let (status, issued) = server.exchange(&server.key, cold).await;
    assert_eq!(status, 200);
    let (status, again) = server.exchange(&server.key, warm).await;
    assert_eq!(status, 200);
    let (status, _) = server.exchange(&wrong, refused).await;
    assert_eq!(status, 401);
    let body = json!({ "id": "hidden-inc" });
    server
        .manage(Method::POST, "/v1/organizations", body, act)
        .await;
    let bootstrap = "/v1/organizations/hidden-inc/bootstrap";
    let made = server.manage(Method::POST, bootstrap, json!({}), act).await;

    let alive = format!("{}/healthz?hidden-query=1", server.process.base);
    server.http.get(alive).send().await.unwrap();

    let spans = collector.trace(cold, NAME).await;
    let request = named(&spans, NAME).unwrap();
    assert_eq!(request.kind(), SpanKind::Server);
    assert_eq!(request.parent_span_id, CALLER);
    let told = |name: &str| attribute(&request.attributes, name);
    assert_eq!(told("http.route").as_deref(), Some("/oauth/token"));
    assert_eq!(told("http.request.method").as_deref(), Some("POST"));
    assert_eq!(told("http.response.status_code").as_deref(), Some("200"));
    assert_eq!(told("network.protocol.version").as_deref(), Some("1.1"));
    let exchange = named(&spans, "exchange").unwrap();
    assert_eq!(exchange.parent_span_id, request.span_id);
    let told = |name: &str| attribute(&exchange.attributes, name);
    assert_eq!(told("tenmint.outcome").as_deref(), Some("issued"));
    assert_eq!(told("tenmint.key"), Some(server.key_id()));
    let proof = named(&spans, "prove a secret").unwrap();
    assert_eq!(proof.parent_span_id, exchange.span_id);
    assert_eq!(named(&spans, "run").unwrap().parent_span_id, proof.span_id);
    let query = named(&spans, "query").unwrap();
    assert_eq!(query.kind(), SpanKind::Client);
    let told = |name: &str| attribute(&query.attributes, name);
    assert_eq!(told("db.system.name").as_deref(), Some(system));
    assert!(told("db.query.text").unwrap().contains("$1"));

    // The second asks neither the database nor Argon2.
    let mut names: Vec<_> = collector.trace(warm, NAME).await;
    names.sort_by(|one, other| one.name.cmp(&other.name));
    let names: Vec<_> = names.iter().map(|span| &*span.name).collect();
    assert_eq!(names, [NAME, "exchange"]);

    let spans = collector.trace(refused, NAME).await;
    let exchange = named(&spans, "exchange").unwrap();
    let told = |name: &str| attribute(&exchange.attributes, name);
    assert_eq!(told("tenmint.outcome").as_deref(), Some("forged"));
    assert!(told("tenmint.request_id").unwrap().starts_with("req_"));

    let route = "POST /v1/organizations/{org}/bootstrap";
    let spans = collector.trace(act, route).await;
    let commits = spans.iter().filter(|span| span.name == "commit");
    let actions: Vec<_> = commits
        .map(|span| attribute(&span.attributes, "tenmint.action").unwrap())
        .collect();
    assert!(
        actions.iter().any(|action| action.contains("bootstrap")),
        "{actions:?}"
    );

    let resources = collector.requests();
    let resource = resources[0].resource_spans[0].resource.as_ref().unwrap();
    let service = attribute(&resource.attributes, "service.name");
    assert_eq!(service.as_deref(), Some("tenmint"));
    // Spans are no part of the log.
    assert!(!server.process.log().contains("prove a secret"));
    let (key, key_id) = (server.key.clone(), server.key_id());
    assert!(server.process.stop());

    let bytes = collector.bytes();
    let basic = STANDARD.encode(format!("{key_id}:{key}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut secrets = vec![key, wrong, basic, text(&made["management_key"]["secret"])];
    secrets.extend([&issued, &again].map(|answer| text(&answer["access_token"])));
    for secret in &secrets {
        // Not even a good part of it.
        let part = &secret[..secret.len() * 2 / 3];
        assert!(!contains(&bytes, part), "{part}");
    }
    for private in ["hidden-inc", "hidden-query", "127.0.0.1"] {
        assert!(!contains(&bytes, private), "{private}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_is_seen_on_sqlite() {
    an_exchange_is_seen_from_its_head_to_its_answer(Place::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_is_seen_on_postgres() {
    if let Some(place) = Place::postgres().await {
        an_exchange_is_seen_from_its_head_to_its_answer(place).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_sent_yet_is_sent_at_the_end() {
    let collector = Collector::start().await;
    let whole = format!("{}/v1/traces", collector.url);
    let server = traced(
        Place::sqlite(),
        &[
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &whole),
            ("OTEL_BSP_SCHEDULE_DELAY", "600000"),
            ("OTEL_SERVICE_NAME", "mint-of-mine"),
        ],
    );
    server.exchange(&server.key, [5; 16]).await;
    assert!(collector.spans().is_empty());
    assert!(server.process.stop());
    let spans = collector.trace([5; 16], "exchange").await;
    assert!(named(&spans, "POST /oauth/token").is_some());
    let resources = collector.requests();
    let resource = resources[0].resource_spans[0].resource.as_ref().unwrap();
    let service = attribute(&resource.attributes, "service.name");
    assert_eq!(service.as_deref(), Some("mint-of-mine"));
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_that_are_not_wanted_are_not_sent() {
    for (name, value) in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
    ] {
        let collector = Collector::start().await;
        let told = ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url);
        let server = traced(Place::sqlite(), &[told, (name, value)]);
        server.exchange(&server.key, [6; 16]).await;
        assert!(server.process.stop());
        assert!(collector.bytes().is_empty(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_or_hangs_slows_nothing() {
    // One takes connections and never answers; the other is not there.
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let away = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, nowhere) = (hanging.local_addr().unwrap(), away.local_addr().unwrap());
    drop(away);
    for address in [at, nowhere] {
        let url = format!("http://{address}");
        // A queue that is full at once.
        let small = [
            ("TENMINT_OTLP_ENDPOINT", &*url),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "8"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8"),
        ];
        let server = traced(Place::sqlite(), &small);
        server.exchange(&server.key, [7; 16]).await;
        let began = Instant::now();
        for _ in 0..100 {
            let (status, _) = server.exchange(&server.key, [7; 16]).await;
            assert_eq!(status, 200);
        }
        // One that waited for a collector but once would wait for seconds.
        let took = began.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        if address == nowhere {
            server.process.says("traces do not arrive", 1);
        }
        let began = Instant::now();
        assert!(server.process.stop());
        let took = began.elapsed();
        assert!(took < Duration::from_secs(9), "{took:?}");
    }
}

#[test]
fn what_is_no_collector_is_refused_at_the_start() {
    let place = Place::sqlite();
    let (url, root) = (place.database_url(), place.root_key_file());
    for (name, value, why) in [
        (
            "TENMINT_OTLP_ENDPOINT",
            "collector:4318",
            "OTLP_ENDPOINT: write",
        ),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://user:hunter2@collector:4318",
            "OTEL_EXPORTER_OTLP_ENDPOINT: write",
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "hunter2",
            "_TRACES_ENDPOINT: write",
        ),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf alone"),
    ] {
        let mut environment = vec![
            ("TENMINT_DATABASE_URL", &*url),
            ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
            ("TENMINT_LISTEN", "127.0.0.1:0"),
            (name, value),
        ];
        if name.ends_with("PROTOCOL") {
            environment.push(("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"));
        }
        let refused = run(&["serve"], &environment);
        assert_eq!(refused.code, Some(1), "{}", refused.err);
        assert!(refused.err.contains(why), "{}", refused.err);
        assert!(!refused.err.contains("hunter2"), "{}", refused.err);
        assert!(!root.exists());
    }
}
