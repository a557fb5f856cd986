//! Each act of management leaves exactly one audit event, in the act's own transaction.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::audit_chain::the_chain_holds;
use crate::on_both_engines;
use crate::support::database::{AuditEvent, Database};
use crate::support::server::{Key, Server};

on_both_engines!(
    each_act_leaves_one_event_that_says_who_did_what_to_what,
    what_changes_nothing_leaves_no_event,
    no_event_holds_a_secret,
);

/// The events of an organization that came with the last call.
struct Log {
    database: Database,
    organization: &'static str,
    seen: usize,
}

impl Log {
    async fn of(server: &Server, organization: &'static str) -> Self {
        let mut log = Self {
            database: Database::of(server).await,
            organization,
            seen: 0,
        };
        log.news().await;
        log
    }

    async fn news(&mut self) -> Vec<AuditEvent> {
        let all = self.database.audit_events(self.organization).await;
        let new = all[self.seen..].to_vec();
        self.seen = all.len();
        new
    }

    async fn one(&mut self) -> AuditEvent {
        let mut news = self.news().await;
        assert_eq!(news.len(), 1, "{news:?}");
        news.remove(0)
    }
}

#[track_caller]
fn says(event: &AuditEvent, actor: &str, action: &str, target: &str) {
    let said = (&*event.actor, &*event.action, &*event.target);
    assert_eq!(said, (actor, action, target));
    assert_eq!(event.address.as_deref(), Some("127.0.0.1"));
    let request = event.request_id.as_deref().unwrap();
    assert!(request.starts_with("req_"), "{request}");
}

/// The operator, reaching into another organization with its key.
fn operator_reaching_in(server: &Server) -> String {
    format!("operator:{}", server.operator_key().id)
}

async fn each_act_leaves_one_event_that_says_who_did_what_to_what(server: Server) {
    let operator = &operator_reaching_in(&server);
    let mut log = Log::of(&server, "acme").await;
    let root = "/v1/organizations";
    let operate = async |path: &str, body: Value| {
        let method = if path.is_empty() {
            Method::PATCH
        } else {
            Method::POST
        };
        let reply = server
            .operate(method, &format!("{root}/acme{path}"), body)
            .await;
        assert!(reply.status.is_success(), "{}", reply.text);
        reply
    };
    let create = json!({ "id": "acme", "name": "Acme" });
    let created = server.operate(Method::POST, root, create).await;
    created.expect(StatusCode::CREATED);
    let event = log.one().await;
    says(&event, operator, "organization.create", "acme");
    assert_eq!(event.details(), json!({ "name": "Acme" }));
    assert_eq!((event.sequence, event.at), (1, server.clock.now().unix()));

    server.advance(7);
    operate("", json!({ "name": "Acme, Inc." })).await;
    let event = log.one().await;
    says(&event, operator, "organization.update", "acme");
    let change = json!({ "name": { "from": "Acme", "to": "Acme, Inc." } });
    assert_eq!(event.details(), change);
    assert_eq!((event.sequence, event.at), (2, server.clock.now().unix()));

    let done = operate("/bootstrap", json!({})).await;
    let first = Key::of(&done.body["management_key"]);
    let event = log.one().await;
    says(&event, operator, "organization.bootstrap", "acme");
    let kid = &done.body["signing_key"]["kid"];
    let details = json!({ "signing_key": kid, "alg": "ES256", "management_key": first.id,
        "revoked": null });
    assert_eq!(event.details(), details);

    let done = operate("/bootstrap", json!({ "reissue": true })).await;
    let acme = Key::of(&done.body["management_key"]);
    let event = log.one().await;
    says(&event, operator, "organization.reissue", "acme");
    let details = json!({ "signing_key": kid, "alg": "ES256", "management_key": acme.id,
        "revoked": first.id });
    assert_eq!(event.details(), details);

    operate("/suspend", Value::Null).await;
    says(&log.one().await, operator, "organization.suspend", "acme");
    operate("/resume", Value::Null).await;
    says(&log.one().await, operator, "organization.resume", "acme");

    // By the organization itself, by a token of its, and by the operator who reaches in.
    let token = server.management_token(&acme, &[]).await;
    for (bearer, root, actor) in [
        (&acme.secret, "/v1", &acme.id),
        (&token, "/v1", &acme.id),
        (&server.operator, "/v1/organizations/acme", operator),
    ] {
        let path = format!("{root}/api-keys");
        let body = json!({ "name": "ci", "scopes": ["read"], "expires_in_days": 1,
            "allowed_ip_cidrs": ["203.0.113.7"] });
        let made = server.call(bearer, Method::POST, &path, body).await;
        let id = made.expect(StatusCode::CREATED).body["id"]
            .as_str()
            .unwrap();
        let event = log.one().await;
        says(&event, actor, "api_key.create", id);
        let details = json!({ "name": "ci", "scopes": ["read"], "roles": [],
            "description": null, "rate_limit": null, "exchange_only": false, "external_id": null,
            "metadata": {},
            "allowed_ip_cidrs": ["203.0.113.7/32"], "expires_at": made.body["expires_at"],
            "fingerprint": made.body["fingerprint"] });
        assert_eq!(event.details(), details);
        let path = format!("{path}/{id}/revoke");
        let revoked = server.call(bearer, Method::POST, &path, Value::Null).await;
        revoked.expect(StatusCode::OK);
        let event = log.one().await;
        says(&event, actor, "api_key.revoke", id);
        let details = json!({ "name": "ci", "fingerprint": made.body["fingerprint"],
            "reason": "unspecified" });
        assert_eq!(event.details(), details);
    }
    the_chain_holds(&server, "acme").await;
}

async fn what_changes_nothing_leaves_no_event(server: Server) {
    let acme = server.organization("acme").await;
    let gone = server.key_with(&acme, &["read"]).await;
    let root = "/v1/organizations/acme";
    let revoke = format!("{root}/api-keys/{}/revoke", gone.id);
    let done = server.operate(Method::POST, &revoke, Value::Null).await;
    done.expect(StatusCode::OK);
    let database = Database::of(&server).await;
    let before = database.contents().await;
    let bootstrap = &format!("{root}/bootstrap");
    let keys = &format!("{root}/api-keys");
    let nobody = &format!("{keys}/key_00000000000000000000000001/revoke");
    for (method, path, body) in [
        (Method::GET, root, Value::Null),
        (Method::GET, keys, Value::Null),
        (Method::PATCH, root, json!({})),
        (Method::PATCH, root, json!({ "name": "acme" })),
        (Method::PATCH, root, json!({ "name": "" })),
        (Method::POST, "/v1/organizations", json!({ "id": "acme" })),
        (Method::POST, "/v1/organizations/acme/resume", Value::Null),
        (
            Method::POST,
            "/v1/organizations/operator/suspend",
            Value::Null,
        ),
        (Method::POST, bootstrap, json!({})),
        (
            Method::POST,
            bootstrap,
            json!({ "alg": "EdDSA", "reissue": true }),
        ),
        (Method::POST, &revoke, Value::Null),
        (Method::POST, nobody, Value::Null),
        (Method::POST, keys, json!({ "name": "x" })),
    ] {
        server.operate(method.clone(), path, body.clone()).await;
        assert_eq!(database.contents().await, before, "{method} {path} {body}");
    }
    let weak = json!({ "name": "x", "scopes": ["organizations.write"] });
    let path = "/v1/organizations/acme/api-keys";
    let refused = server
        .call(&acme.secret, Method::POST, "/v1/api-keys", weak)
        .await;
    refused.refuses(403, "exceeds_authority");
    let refused = server
        .call(&acme.secret, Method::GET, path, Value::Null)
        .await;
    refused.refuses(403, "operator_only");
    server.exchange(&acme, &[]).await.expect(StatusCode::OK);
    assert_eq!(database.contents().await, before);
}

async fn no_event_holds_a_secret(server: Server) {
    let acme = server.organization("acme").await;
    let made = server.key_with(&acme, &["read"]).await;
    let done = server
        .operate(
            Method::POST,
            "/v1/organizations/acme/bootstrap",
            json!({ "reissue": true }),
        )
        .await;
    let reissued = Key::of(&done.body["management_key"]);
    let database = Database::of(&server).await;
    let rows = database.contents().await.join("\n");
    for key in [&acme, &made, &reissued] {
        let tail = key.secret.rsplit('_').next().unwrap();
        assert!(rows.contains(&key.id));
        assert!(
            !rows.contains(&tail[..16]) && !rows.contains(&tail[44..]),
            "{}",
            key.id
        );
    }
    for event in database.audit_events("acme").await {
        assert!(!event.details.contains("argon2"), "{}", event.details);
    }
}
