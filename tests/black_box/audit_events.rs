//! The audit log over HTTP: pages, filters, exports, checkpoints.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenmint::domain::hex::hex;

use crate::on_both_engines;
use crate::support::database::Database;
use crate::support::server::{Key, Reply, Server};

on_both_engines!(
    each_filter_selects_its_entries_and_no_others,
    what_a_filter_cannot_be_is_refused,
    pages_hold_every_entry_once_also_while_entries_are_added,
    an_export_is_every_page_from_the_last_entry_to_the_first,
    an_export_that_breaks_off_does_not_look_complete,
    a_checkpoint_is_the_head_of_the_chain,
    an_unknown_organization_has_no_log,
);

pub async fn read(server: &Server, bearer: &str, path: &str) -> Reply {
    let reply = server.call(bearer, Method::GET, path, Value::Null).await;
    reply.expect(StatusCode::OK);
    reply
}

pub fn sequences(reply: &Reply) -> Vec<i64> {
    let data = reply.body["data"].as_array().unwrap();
    let sequence = |entry: &Value| entry["sequence"].as_i64().unwrap();
    data.iter().map(sequence).collect()
}

/// All entries as the operator exports them, oldest first.
async fn export(server: &Server, bearer: &str, path: &str) -> Vec<Value> {
    let request = server.request(Method::GET, path).bearer_auth(bearer);
    let reply = Reply::of(request.header("accept", "application/jsonl")).await;
    reply.expect(StatusCode::OK);
    assert_eq!(reply.header("content-type"), Some("application/jsonl"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert!(reply.text.is_empty() || reply.text.ends_with('\n'));
    let lines = reply.text.lines();
    let mut lines: Vec<Value> = lines.map(|l| serde_json::from_str(l).unwrap()).collect();
    // Whatever leaves out what came last, or in between, proves no end.
    let only_since = |query: &str| query.starts_with("since=") && !query.contains('&');
    let whole = path
        .split_once('?')
        .is_none_or(|(_, query)| only_since(query));
    let end = lines.pop_if(|line| line.get("proof").is_some());
    assert_eq!(end.is_some(), whole, "{path}: {end:?}");
    lines
}

async fn rename(server: &Server, name: &str) {
    let body = json!({ "name": name });
    let path = "/v1/organizations/acme";
    let renamed = server.operate(Method::PATCH, path, body).await;
    renamed.expect(StatusCode::OK);
}

/// Ten entries of `acme`, a minute apart: 1 create, 2 bootstrap, 3 a key by acme itself for
/// `ana`, 4 its revocation for `bo`, 5 a key by the operator for `ana`, 6 to 10 renamed.
async fn ten(server: &Server) -> (Key, String, Vec<Value>) {
    let acme = server.organization("acme").await;
    server.advance(60);
    let body = json!({ "name": "x", "scopes": ["read"] });
    let act = async |bearer: &str, path: &str, body: &Value, user: &str| {
        let request = server.request(Method::POST, path).bearer_auth(bearer);
        let mut request = request.header("Tenmint-Acting-For", user);
        if !body.is_null() {
            request = request.json(body);
        }
        let reply = Reply::of(request).await;
        assert!(reply.status.is_success(), "{}", reply.text);
        server.advance(60);
        reply.body["id"].as_str().unwrap().to_owned()
    };
    let key = act(&acme.secret, "/v1/api-keys", &body, "ana").await;
    let path = format!("/v1/api-keys/{key}/revoke");
    act(&acme.secret, &path, &Value::Null, "bo").await;
    let path = "/v1/organizations/acme/api-keys";
    act(&server.operator, path, &body, "ana").await;
    for name in ["a", "b", "c", "d", "e"] {
        rename(server, name).await;
        server.advance(60);
    }
    let path = "/v1/organizations/acme/audit-events";
    let entries = export(server, &server.operator, path).await;
    assert_eq!(entries.len(), 10);
    (acme, key, entries)
}

async fn each_filter_selects_its_entries_and_no_others(server: Server) {
    let (acme, key, entries) = ten(&server).await;
    let at = |sequence: usize| entries[sequence - 1]["at"].as_str().unwrap();
    let request = entries[3]["request_id"].as_str().unwrap();
    let operator = server.operator_key().id;
    let (third, fifth) = (at(3), at(5));
    for (query, expected) in [
        ("action=api_key.revoke".to_owned(), &[4][..]),
        ("action=api_key.*".to_owned(), &[5, 4, 3]),
        ("action=api_key.cre*".to_owned(), &[]),
        ("action=api_key".to_owned(), &[]),
        ("action=*".to_owned(), &[]),
        ("action=organization.*".to_owned(), &[10, 9, 8, 7, 6, 2, 1]),
        (format!("actor={}", acme.id), &[4, 3]),
        ("actor=operator".to_owned(), &[10, 9, 8, 7, 6, 5, 2, 1]),
        (format!("actor=operator:{operator}&action=api_key.*"), &[5]),
        (format!("actor={operator}"), &[]),
        (format!("target={key}"), &[4, 3]),
        (format!("target={key}&action=api_key.create"), &[3]),
        ("acting_for=ana".to_owned(), &[5, 3]),
        ("acting_for=Ana".to_owned(), &[]),
        (format!("acting_for=ana&actor={}", acme.id), &[3]),
        (format!("request_id={request}"), &[4]),
        (format!("since={fifth}"), &[10, 9, 8, 7, 6, 5]),
        (format!("until={third}"), &[2, 1]),
        (format!("since={third}&until={fifth}"), &[4, 3]),
        (format!("since={fifth}&until={third}"), &[]),
    ] {
        let path = format!("/v1/organizations/acme/audit-events?{query}");
        let reply = read(&server, &server.operator, &path).await;
        assert_eq!(sequences(&reply), expected, "{query}");
        let exported = export(&server, &server.operator, &path).await;
        let exported: Vec<_> = exported.iter().map(|e| e["sequence"].as_i64()).collect();
        let expected: Vec<_> = expected.iter().rev().copied().map(Some).collect();
        assert_eq!(exported, expected, "{query}");
    }
    // A family is no pattern: `_` and `%` stand for themselves.
    for query in ["action=api%25.*", "action=apiXkey.*", "target=%25"] {
        let path = format!("/v1/organizations/acme/audit-events?{query}");
        let reply = read(&server, &server.operator, &path).await;
        assert!(sequences(&reply).is_empty(), "{query}");
    }
}

async fn what_a_filter_cannot_be_is_refused(server: Server) {
    let long = format!("target={}", "x".repeat(201));
    for query in [
        "since=yesterday",
        "until=2027-01-31",
        "since=",
        "actor=",
        "actor=%00",
        "acting_for=a%0Ab",
        "action=a&action=b",
        "status=all",
        "cursor=x",
        "cursor=-1",
        "limit=0",
        "sequence=1",
        &long,
    ] {
        let path = format!("/v1/audit-events?{query}");
        let refused = server.operate(Method::GET, &path, Value::Null).await;
        refused.refuses(422, "invalid_query");
    }
    for query in ["limit=5", "cursor=5"] {
        let path = format!("/v1/audit-events?{query}");
        let request = server.request(Method::GET, &path);
        let request = request.bearer_auth(&server.operator);
        let refused = Reply::of(request.header("accept", "application/x-ndjson")).await;
        refused.refuses(422, "invalid_query");
    }
}

async fn pages_hold_every_entry_once_also_while_entries_are_added(server: Server) {
    let (acme, ..) = ten(&server).await;
    for limit in [1, 3, 9] {
        let mut seen = Vec::new();
        let mut path = format!("/v1/audit-events?limit={limit}&until=9999-12-31T23:59:59Z");
        let first = path.clone();
        loop {
            let page = read(&server, &acme.secret, &path).await;
            seen.extend(sequences(&page));
            rename(&server, &format!("new {}", seen.len())).await;
            let Some(next) = page.body["next_cursor"].as_str() else {
                break;
            };
            path = format!("{first}&cursor={next}");
        }
        let newest = seen[0];
        assert_eq!(
            seen,
            (1..=newest).rev().collect::<Vec<_>>(),
            "limit {limit}"
        );
    }
}

async fn an_export_is_every_page_from_the_last_entry_to_the_first(server: Server) {
    let (acme, ..) = ten(&server).await;
    // More than are read at a time.
    for n in 0..400 {
        rename(&server, &format!("n {n}")).await;
    }
    for (bearer, path) in [
        (&acme.secret, "/v1/audit-events"),
        (&server.operator, "/v1/organizations/acme/audit-events"),
    ] {
        let mut paged = Vec::new();
        let mut query = "?limit=100".to_owned();
        loop {
            let page = read(&server, bearer, &format!("{path}{query}")).await;
            paged.extend(page.body["data"].as_array().unwrap().clone());
            let Some(next) = page.body["next_cursor"].as_str() else {
                break;
            };
            query = format!("?limit=100&cursor={next}");
        }
        let stored = Database::of(&server).await.audit_events("acme").await;
        let mut exported = export(&server, bearer, path).await;
        assert_eq!((exported.len(), stored.len()), (410, 410));
        for (line, stored) in exported.iter_mut().zip(&stored) {
            let members = line.as_object_mut().unwrap();
            assert_eq!(members.remove("mac"), Some(json!(hex(&stored.mac))));
            let parts = [members.remove("salt"), members.remove("digest")];
            // What a tenant is not shown, it cannot find by trying either.
            let shown = !(stored.actor.starts_with("operator:") && *bearer == acme.secret);
            let own = [&stored.salt, &stored.digest].map(|bytes| bytes.as_deref().map(hex));
            assert_eq!(
                parts,
                own.map(|text| text.filter(|_| shown).map(Value::from))
            );
            assert_eq!(line["details"], stored.details());
        }
        paged.reverse();
        assert_eq!(exported, paged);
    }
}

async fn an_export_that_breaks_off_does_not_look_complete(server: Server) {
    server.organization("acme").await;
    for n in 0..210 {
        rename(&server, &format!("n {n}")).await;
    }
    let text = "UPDATE audit_events SET details = 'x'
                WHERE organization_id = 'acme' AND sequence = 205";
    Database::of(&server).await.run(text, &[]).await;
    let path = "/v1/organizations/acme/audit-events";
    let request = server.request(Method::GET, path);
    let request = request.bearer_auth(&server.operator);
    let response = request.header("accept", "application/jsonl").send().await;
    let whole = match response {
        Ok(response) => response.text().await,
        Err(broken) => Err(broken),
    };
    assert!(whole.is_err(), "{whole:?}");
}

async fn a_checkpoint_is_the_head_of_the_chain(server: Server) {
    let (acme, _, entries) = ten(&server).await;
    let now = server.clock.now().to_string();
    let mac = entries[9]["mac"].as_str().unwrap();
    let expected = json!({ "organization": "acme", "sequence": 10, "mac": mac, "at": now });
    let path = "/v1/audit-events/checkpoint";
    assert_eq!(read(&server, &acme.secret, path).await.body, expected);
    let path = "/v1/organizations/acme/audit-events/checkpoint";
    assert_eq!(read(&server, &server.operator, path).await.body, expected);
}

async fn an_unknown_organization_has_no_log(server: Server) {
    for path in ["audit-events", "audit-events/checkpoint"] {
        let path = format!("/v1/organizations/nobody/{path}");
        let unknown = server.operate(Method::GET, &path, Value::Null).await;
        unknown.refuses(404, "not_found");
        let request = server.request(Method::GET, &path);
        let request = request.bearer_auth(&server.operator);
        let unknown = Reply::of(request.header("accept", "application/jsonl")).await;
        unknown.refuses(404, "not_found");
    }
}
