//! Bodies as such: what is no JSON object of the right kind is refused before anything is done.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::database::Database;
use crate::support::server::{Reply, Server};

on_both_engines!(
    what_is_no_json_is_malformed,
    what_is_no_object_is_not_acceptable,
    another_content_type_is_unsupported,
    a_body_beyond_the_limit_is_too_large,
    the_small_bodies_are_checked_as_strictly,
    a_verb_takes_nothing,
);

/// Every route that takes a body, and one that it takes.
const ROUTES: [(Method, &str, &str); 9] = [
    (Method::POST, "/v1/organizations", r#"{"id":"new"}"#),
    (Method::PATCH, "/v1/organizations/acme", r#"{"name":"A"}"#),
    (Method::POST, "/v1/organizations/acme/suspend", "{}"),
    (Method::POST, "/v1/organizations/acme/resume", "{}"),
    (Method::POST, "/v1/organizations/acme/bootstrap", "{}"),
    (
        Method::POST,
        "/v1/organizations/acme/api-keys",
        r#"{"name":"x","scopes":["a"]}"#,
    ),
    (
        Method::POST,
        "/v1/api-keys",
        r#"{"name":"x","scopes":["a"]}"#,
    ),
    (
        Method::POST,
        "/v1/organizations/acme/api-keys/{id}/revoke",
        "{}",
    ),
    (Method::POST, "/v1/api-keys/{own}/revoke", "{}"),
];

struct Fixture {
    server: Server,
    database: Database,
    before: Vec<String>,
    ids: [String; 2],
}

impl Fixture {
    async fn of(server: Server) -> Self {
        let acme = server.organization("acme").await;
        let id = server.key_with(&acme, &["a"]).await.id;
        let path = "/v1/api-keys";
        let own = json!({ "name": "x", "scopes": ["a"] });
        let own = server.operate(Method::POST, path, own).await;
        let own = own.body["id"].as_str().unwrap().to_owned();
        let database = Database::of(&server).await;
        Self {
            before: database.contents().await,
            ids: [id, own],
            database,
            server,
        }
    }

    async fn send(
        &self,
        (method, path, _): &(Method, &str, &str),
        content_type: Option<&str>,
        body: impl Into<reqwest::Body>,
    ) -> Reply {
        let path = path
            .replace("{id}", &self.ids[0])
            .replace("{own}", &self.ids[1]);
        let mut request = self
            .server
            .request(method.clone(), &path)
            .bearer_auth(&self.server.operator)
            .body(body);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        Reply::of(request).await
    }

    async fn nothing_changed(&self) {
        assert_eq!(self.database.contents().await, self.before);
    }
}

const JSON: Option<&str> = Some("application/json");

async fn what_is_no_json_is_malformed(server: Server) {
    let fixture = Fixture::of(server).await;
    let malformed: [&[u8]; 14] = [
        b"{",
        b"{]",
        b"nul",
        b"{'name':'x'}",
        b"{\"name\":}",
        b"{\"name\":\"x\",}",
        b"{} {}",
        b"{}x",
        b"{\"name\":NaN}",
        b"{\"name\":\"a\nb\"}",
        b"\xef\xbb\xbf{}",
        b"{\"name\":\"\xff\"}",
        b"{\"\xc0\x80\":1}",
        b"/* no */ {}",
    ];
    for route in &ROUTES {
        for body in malformed {
            let refused = fixture.send(route, JSON, body).await;
            let shown = String::from_utf8_lossy(body);
            assert_eq!(refused.status, 400, "{route:?} {shown}: {}", refused.text);
            refused.refuses(400, "malformed_json");
        }
        let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
        let refused = fixture.send(route, JSON, deep).await;
        assert!(refused.status.is_client_error(), "{}", refused.text);
    }
    fixture.nothing_changed().await;
}

async fn what_is_no_object_is_not_acceptable(server: Server) {
    let fixture = Fixture::of(server).await;
    for route in &ROUTES {
        let others = [
            "null",
            "true",
            "5",
            r#""x""#,
            "[]",
            "[{}]",
            r#"["x"]"#,
            r#"["x",null,["a"]]"#,
            r#"["new","New"]"#,
            r#"["ES256",true]"#,
            " [ ] ",
        ];
        for body in others {
            let refused = fixture.send(route, JSON, body).await;
            assert_eq!(refused.status, 422, "{route:?} {body}: {}", refused.text);
            refused.refuses(422, "invalid_field");
            // RFC 6901: the whole document.
            assert_eq!(refused.body["pointer"], "");
            assert_eq!(refused.body["detail"], "send a JSON object");
        }
    }
    fixture.nothing_changed().await;
}

async fn another_content_type_is_unsupported(server: Server) {
    let fixture = Fixture::of(server).await;
    let others = [
        None,
        Some(""),
        Some("text/plain"),
        Some("text/json"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
        Some("application/jsonp"),
        Some("text/html, application/json"),
    ];
    for route in &ROUTES {
        for content_type in others {
            let refused = fixture.send(route, content_type, route.2).await;
            refused.refuses(415, "unsupported_media_type");
        }
    }
    fixture.nothing_changed().await;
    let route = &ROUTES[5];
    for json in ["application/json; charset=utf-8", "Application/JSON"] {
        let made = fixture.send(route, Some(json), route.2).await;
        made.expect(StatusCode::CREATED);
    }
}

async fn a_body_beyond_the_limit_is_too_large(server: Server) {
    let fixture = Fixture::of(server).await;
    for route in &ROUTES {
        // Spaces are JSON: only their number is wrong.
        let body = format!("{}{}", " ".repeat(64 * 1024), route.2);
        let refused = fixture.send(route, JSON, body).await;
        refused.refuses(413, "body_too_large");
    }
    fixture.nothing_changed().await;
    let route = &ROUTES[5];
    let body = format!("{}{}", " ".repeat(64 * 1024 - route.2.len()), route.2);
    let made = fixture.send(route, JSON, body).await;
    made.expect(StatusCode::CREATED);
}

async fn the_small_bodies_are_checked_as_strictly(server: Server) {
    let fixture = Fixture::of(server).await;
    let [create, edit, _, _, bootstrap, ..] = &ROUTES;
    let overlong = format!(r#"{{"name":"{}"}}"#, "x".repeat(101));
    for (route, body, pointer) in [
        (create, r#"{"id":5}"#, "/id"),
        (create, r#"{"id":null}"#, "/id"),
        (create, r#"{"id":["new"]}"#, "/id"),
        (create, r#"{"id":"new","id":"newer"}"#, "/id"),
        (create, r#"{"name":null}"#, "/name"),
        (create, r#"{"name":""}"#, "/name"),
        (create, &overlong, "/name"),
        (create, r#"{"name":"a\u202eb"}"#, "/name"),
        (create, r#"{"slug":"new"}"#, "/slug"),
        (create, r#"{"status":"active"}"#, "/status"),
        (edit, r#"{"name":null}"#, "/name"),
        (edit, r#"{"name":""}"#, "/name"),
        (edit, &overlong, "/name"),
        (edit, r#"{"name":"a","name":"b"}"#, "/name"),
        (edit, r#"{"id":"other"}"#, "/id"),
        (edit, r#"{"suspended_at":null}"#, "/suspended_at"),
        (bootstrap, r#"{"alg":null}"#, "/alg"),
        (bootstrap, r#"{"alg":5}"#, "/alg"),
        (bootstrap, r#"{"alg":""}"#, "/alg"),
        (bootstrap, r#"{"alg":"none"}"#, "/alg"),
        (bootstrap, r#"{"alg":"HS256"}"#, "/alg"),
        (bootstrap, r#"{"alg":"RS1"}"#, "/alg"),
        (bootstrap, r#"{"alg":"es256"}"#, "/alg"),
        (bootstrap, r#"{"alg":{"ES256":null}}"#, "/alg"),
        (bootstrap, r#"{"alg":["ES256"]}"#, "/alg"),
        (bootstrap, r#"{"alg":"ES256","alg":"ES256"}"#, "/alg"),
        (bootstrap, r#"{"reissue":null}"#, "/reissue"),
        (bootstrap, r#"{"reissue":"true"}"#, "/reissue"),
        (bootstrap, r#"{"reissue":1}"#, "/reissue"),
        (bootstrap, r#"{"force":true}"#, "/force"),
    ] {
        let refused = fixture.send(route, JSON, body.to_owned()).await;
        assert_eq!(refused.status, 422, "{body}: {}", refused.text);
        refused.refuses(422, "invalid_field");
        assert_eq!(refused.body["pointer"], pointer, "{body}: {}", refused.text);
    }
    fixture.nothing_changed().await;
}

async fn a_verb_takes_nothing(server: Server) {
    let fixture = Fixture::of(server).await;
    let verbs = ROUTES.iter().filter(|(_, path, _)| {
        ["suspend", "resume", "revoke"]
            .iter()
            .any(|verb| path.ends_with(verb))
    });
    for route in verbs {
        let refused = fixture.send(route, JSON, r#"{"reason":"leaked"}"#).await;
        refused.refuses(422, "invalid_field");
        assert_eq!(refused.body["pointer"], "/reason");
    }
    fixture.nothing_changed().await;
    for (_, path, _) in ROUTES.iter().filter(|(_, path, _)| path.contains("{id}")) {
        let path = path.replace("{id}", &fixture.ids[0]);
        let done = fixture
            .server
            .operate(Method::POST, &path, Value::Null)
            .await;
        done.expect(StatusCode::OK);
    }
}
