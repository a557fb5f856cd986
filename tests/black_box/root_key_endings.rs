//! API keys that end with a root key: each is revoked, named, and told of in its organization's log,
//! whatever happens in the middle.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::database::{AuditEvent, Database};
use crate::support::many_keys;
use crate::support::operations::does;
use crate::support::process::program;
use crate::support::root_keys::{
    current, described, done, followed, in_file, refused, status, until, use_up,
};
use crate::support::server::{Key, Reply, Server};

on_both_engines!(
    api_keys_that_end_with_a_root_key_are_revoked_and_named,
    a_key_with_another_secret_lives_on_with_it_and_no_longer,
    keys_that_end_by_the_thousand_end_also_when_it_is_killed_in_the_middle,
);

fn block<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

async fn key_of(server: &Server, bearer: &Key, id: &str) -> Reply {
    let path = format!("/v1/api-keys/{id}");
    server
        .call(&bearer.secret, Method::GET, &path, Value::Null)
        .await
}

async fn act(server: &Server, bearer: &Key, id: &str, verb: &str, body: Value) -> Reply {
    let path = format!("/v1/api-keys/{id}/{verb}");
    server.call(&bearer.secret, Method::POST, &path, body).await
}

async fn last_event(server: &Server, organization: &str) -> AuditEvent {
    let events = Database::of(server).await.audit_events(organization).await;
    events.into_iter().last().unwrap()
}

async fn rotate(server: &Server) -> String {
    let old = block(|| current(server.place()));
    block(|| done(server.place(), &["rotate"]));
    followed(server).await;
    old
}

fn drop_by_force(server: &Server, old: &str) -> String {
    block(|| done(server.place(), &["drop", old, "--yes", "--force"])).err
}

async fn api_keys_that_end_with_a_root_key_are_revoked_and_named(server: Server) {
    let acme = server.organization("acme").await;
    let umbrella = server.organization("umbrella").await;
    let body = json!({ "name": "forgotten", "scopes": ["read"] });
    let forgotten = server.key(&acme, body).await;
    let off = server.key_with(&acme, &["read"]).await;
    let disabled = act(&server, &acme, &off.id, "disable", json!({})).await;
    disabled.expect(StatusCode::OK);
    let used = server.key_with(&acme, &["read"]).await;
    let old = rotate(&server).await;
    use_up(&server, &[&acme, &used]).await;

    // Which would end is said before.
    let waiting = block(|| status(server.place()))["api_keys"].clone();
    let of = |id: &str| {
        let mut all = waiting.as_array().unwrap().iter();
        all.find(|key| key["id"] == id).unwrap().clone()
    };
    assert_eq!(waiting.as_array().unwrap().len(), 4, "{waiting}");
    assert_eq!(of(&umbrella.id)["management_key"], true);
    assert_eq!(of(&forgotten.id)["management_key"], false);
    assert_eq!(of(&off.id)["would_end"], "key");
    let shown = block(|| done(server.place(), &["status"])).out;
    for said in [
        "the management keys of umbrella",
        "1 of them are the operator's own",
        "`tenmint root-key drop --force` ends",
    ] {
        assert!(shown.contains(said), "{said}: {shown}");
    }

    let said = drop_by_force(&server, &old);
    for told in [
        "4 API keys ended with it",
        &forgotten.id,
        "forgotten",
        &off.id,
        "ATTENTION: the management keys of these organizations ended: umbrella",
        "none is left that can be used: `tenmint operator-key`",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    followed(&server).await;

    for id in [&forgotten.id, &off.id] {
        let key = key_of(&server, &acme, id).await.body;
        assert_eq!(key["status"], "revoked", "{key}");
        assert_eq!(key["revoke_reason"], "root_key_dropped", "{key}");
        let enabled = act(&server, &acme, id, "enable", json!({})).await;
        assert_eq!(enabled.status, StatusCode::CONFLICT, "{}", enabled.text);
    }
    let active = server
        .call(&acme.secret, Method::GET, "/v1/api-keys", Value::Null)
        .await;
    assert_eq!(active.body["data"].as_array().unwrap().len(), 2);
    let (id, credentials) = (
        forgotten.id.parse().unwrap(),
        &server.app.management.credentials,
    );
    until("the server knows", async || {
        credentials.of_token(id, server.clock.now()).await.is_err()
    })
    .await;
    // To the outside like any other, to those who administer the key the truth.
    let refused = server.exchange(&forgotten, &[]).await;
    refused.refuses(401, "invalid_client");
    let id = refused.header("x-request-id").unwrap();
    let path = format!("/v1/refusals?request_id={id}");
    let why = server.call(&acme.secret, Method::GET, &path, Value::Null);
    let why = why.await;
    assert_eq!(why.body["data"][0]["cause"], "revoked", "{}", why.text);
    // No caller gives that reason.
    let body = json!({ "reason": "root_key_dropped" });
    let refused = act(&server, &acme, &used.id, "revoke", body).await;
    refused.refuses(422, "invalid_field");

    let events = Database::of(&server).await.audit_events("acme").await;
    let mut ended: Vec<_> = events
        .iter()
        .filter(|event| event.action == "api_key.revoke")
        .collect();
    ended.sort_by_key(|event| event.target != forgotten.id);
    assert_eq!(ended.len(), 2);
    assert_eq!(ended[0].actor, "command line");
    let details = ended[0].details();
    assert_eq!(
        (&details["name"], &details["reason"], &details["root_key"]),
        (&json!("forgotten"), &json!("root_key_dropped"), &json!(old))
    );
    assert!(details["fingerprint"].is_string());
    let of_operator = last_event(&server, "operator").await;
    assert_eq!(of_operator.action, "root_key.drop");
    assert_eq!(of_operator.details()["api_keys_revoked"], 4);
    block(|| does(server.place(), &["audit", "verify"]));

    // The operator is not shut out.
    let made = block(|| does(server.place(), &["operator-key", "--quiet"]));
    let operator = made.trim();
    let all = server.call(operator, Method::GET, "/v1/organizations", Value::Null);
    all.await.expect(StatusCode::OK);
    let again = drop_by_force(&server, &old);
    assert!(again.contains("was given up before"), "{again}");
    assert!(again.contains("and 1 are left"), "{again}");
}

async fn a_key_with_another_secret_lives_on_with_it_and_no_longer(server: Server) {
    let acme = server.organization("acme").await;
    let (late, early) = (
        server.key_with(&acme, &["read"]).await,
        server.key_with(&acme, &["read"]).await,
    );
    // One is rotated before the root key is, and its client goes on with the secret before.
    let overlap = json!({ "overlap_seconds": 3600 });
    let rotated = act(&server, &acme, &early.id, "rotate", overlap.clone()).await;
    let early_newest = Key::of(&rotated.body);
    let ends_at = rotated.body["secrets"][1]["expires_at"].clone();
    let old = rotate(&server).await;
    // The other is rotated after, and its client has the new secret.
    let rotated = act(&server, &acme, &late.id, "rotate", overlap).await;
    let late_newest = Key::of(&rotated.body);
    use_up(&server, &[&acme, &server.operator_key()]).await;
    let left =
        format!("SELECT CAST(COUNT(*) AS TEXT) FROM api_key_secrets WHERE root_key = '{old}'");
    until("the secret before depends on it no more", async || {
        let used = server.exchange(&early, &[]).await;
        used.expect(StatusCode::OK);
        server.place().query(&left).await == ["2"]
    })
    .await;
    let waiting = block(|| status(server.place()))["api_keys"].clone();
    for key in waiting.as_array().unwrap() {
        assert_eq!(key["would_end"], "secret", "{key}");
    }

    let said = drop_by_force(&server, &old);
    for told in [
        format!("{} of acme: the secret sha256:", late.id),
        format!("{} of acme: its newest secret sha256:", early.id),
    ] {
        assert!(said.contains(&told), "{told}: {said}");
    }
    assert!(!said.contains("API keys ended"), "{said}");
    assert!(!said.contains("ATTENTION"), "{said}");
    followed(&server).await;
    for dead in [&late, &early_newest] {
        let refused = server.exchange(dead, &[]).await;
        refused.refuses(401, "invalid_client");
    }
    for alive in [&late_newest, &early] {
        server.exchange(alive, &[]).await.expect(StatusCode::OK);
    }
    // What the rotation left to the secret before, it keeps, and gets no more.
    let key = key_of(&server, &acme, &late.id).await.body;
    assert_eq!(key["expires_at"], json!(null));
    let key = key_of(&server, &acme, &early.id).await.body;
    assert!(ends_at.is_string() && key["expires_at"] == ends_at, "{key}");
    for id in [&late.id, &early.id] {
        let key = key_of(&server, &acme, id).await.body;
        assert_eq!(key["status"], "active");
        assert_eq!(key["secrets"].as_array().unwrap().len(), 1, "{key}");
    }
    let events = Database::of(&server).await.audit_events("acme").await;
    let undone = events
        .iter()
        .find(|event| event.action == "api_key.rotate_undo");
    let details = undone.unwrap().details();
    assert_eq!(
        details["expires_at"],
        json!({ "from": null, "to": ends_at })
    );
    assert_eq!(details["fingerprint"], key["fingerprint"]);
    assert_ne!(details["ended_fingerprint"], key["fingerprint"]);
    let finished = events
        .iter()
        .find(|event| event.action == "api_key.rotate_finish");
    assert_eq!(finished.unwrap().details()["reason"], "root_key_dropped");
    block(|| does(server.place(), &["audit", "verify"]));

    // Its owner rotates it again, and nothing is in the way.
    let rotated = act(&server, &acme, &early.id, "rotate", json!({})).await;
    rotated.expect(StatusCode::OK);
    let newest = Key::of(&rotated.body);
    server.exchange(&newest, &[]).await.expect(StatusCode::OK);
    server.advance(3_601);
    for dead in [&early, &newest] {
        let refused = server.exchange(dead, &[]).await;
        refused.refuses(401, "invalid_client");
    }
}

/// Several acts' worth.
const MANY: u32 = 4_500;

async fn keys_that_end_by_the_thousand_end_also_when_it_is_killed_in_the_middle(server: Server) {
    let acme = server.organization("acme").await;
    let umbrella = server.organization("umbrella").await;
    let place = server.place();
    many_keys::add(place, "acme", 0, MANY).await;
    let old = rotate(&server).await;
    use_up(&server, &[&acme, &umbrella, &server.operator_key()]).await;
    // Of ten, one was revoked before. Of the others one is another organization's.
    place
        .execute(&format!(
            "UPDATE api_key_secrets SET root_key = '{old}' WHERE root_key = 'r'"
        ))
        .await;
    place
        .execute("UPDATE api_keys SET organization_id = 'umbrella' WHERE name = 'Name 7'")
        .await;
    let ending = i64::from(MANY / 10 * 9);
    let count = async |what: &str| -> i64 {
        let found = place
            .query(&format!("SELECT CAST(COUNT(*) AS TEXT) FROM {what}"))
            .await;
        found[0].parse().unwrap()
    };
    let revoked = "api_keys WHERE revoke_reason = 'root_key_dropped'";
    assert_eq!(block(|| described(place, &old))["api_keys"], ending);

    let (url, root) = (place.database_url(), place.root_key_file());
    let environment = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
    ];
    let command = ["root-key", "drop", &old, "--yes", "--force"];
    for _ in 0..2 {
        let before = count(revoked).await;
        let mut child = program(&command, &environment).spawn().unwrap();
        while child.try_wait().unwrap().is_none() && count(revoked).await == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let _ = child.kill();
        child.wait().unwrap();
        let revoked = count(revoked).await;
        assert!(revoked > before, "something was done");
        // Whatever was done, it is told, and the root key goes last.
        let told = count("audit_events WHERE action = 'api_key.revoke'").await;
        assert_eq!(told, revoked);
        let former = block(|| described(place, &old));
        assert_eq!(former["api_keys"], ending - revoked);
        if revoked < ending {
            assert_eq!(former["state"], "former");
            assert_eq!(in_file(place).len(), 2);
        }
    }
    let said = drop_by_force(&server, &old);
    assert!(
        said.contains(&format!("{ending} API keys ended with it")),
        "{said}"
    );
    assert!(
        said.contains(&format!("and {} more", ending - 50)),
        "{said}"
    );
    assert_eq!(count(revoked).await, ending);
    assert_eq!(
        count("audit_events WHERE action = 'api_key.revoke'").await,
        ending,
        "each was told once"
    );
    assert_eq!(block(|| described(place, &old))["state"], "dropped");
    assert_eq!(in_file(place).len(), 1);
    let dropped = last_event(&server, "operator").await;
    assert_eq!(dropped.details()["api_keys_revoked"], ending);
    block(|| does(server.place(), &["audit", "verify"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_refused_says_why() {
    let server = Server::on_sqlite().await;
    let place = server.place();
    let first = rotate(&server).await;
    use_up(&server, &[&server.operator_key()]).await;
    let umbrella = server.organization("umbrella").await;
    let second = block(|| current(place));
    let rotated = block(|| done(place, &["rotate"])).err;
    followed(&server).await;
    // What is said of former root keys is what they are.
    assert!(
        rotated.contains(&format!("Nothing needs root key {first} any more")),
        "{rotated}"
    );
    assert!(
        rotated.contains(&format!("Root key {second} is still needed by 2 API keys")),
        "{rotated}"
    );
    let now = block(|| current(place));
    let already = format!("root key {now} is the current one already");
    block(|| refused(place, &["rotate", "--to", &now], &already));
    let unknown = "root key x is not held here";
    block(|| refused(place, &["rotate", "--to", "x"], unknown));
    until("the first can be dropped", async || {
        block(|| described(place, &first))["droppable"] == true
    })
    .await;
    // There is no room for another.
    let whole = std::fs::read_to_string(place.root_key_file()).unwrap();
    let notes = format!("{whole}# {}\n", "x".repeat(16_384 - 10 - whole.len()));
    std::fs::write(place.root_key_file(), &notes).unwrap();
    for command in ["rotate", "add"] {
        for said in [
            "may have 16384 bytes",
            &format!("run `tenmint root-key drop {first}`"),
            &format!("Root key {second} is still needed by 2 API keys"),
        ] {
            block(|| refused(place, &[command], said));
        }
    }
    assert_eq!(block(|| current(place)), now);
    assert_eq!(
        std::fs::read_to_string(place.root_key_file()).unwrap(),
        notes
    );
    server.exchange(&umbrella, &[]).await.expect(StatusCode::OK);
}
