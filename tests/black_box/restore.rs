//! `tenmint restore`: what was done after a backup is done again, or keys are switched off; nothing
//! comes back unnoticed.

use std::fs;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenmint::clock::Clock;

use crate::support::operations::{
    at, backup, database, does, export, files, lose, refuses, tells, tenmint,
};
use crate::support::process::Process;
use crate::support::server::{Key, Place, Server, header};

/// Starts a server at a place again, whose clock goes on.
async fn again(place: Place, clock: &Clock) -> Server {
    match Server::start(place, clock.clone()).await {
        Ok(server) => server,
        Err((why, _)) => panic!("{why}"),
    }
}

async fn act(server: &Server, key: &Key, verb: &str) {
    let path = format!("/v1/organizations/acme/api-keys/{}/{verb}", key.id);
    let done = server.operate(Method::POST, &path, json!({})).await;
    assert!(done.status.is_success(), "{verb}: {}", done.text);
}

async fn edit(server: &Server, path: &str, body: Value) {
    let done = server.operate(Method::PATCH, path, body).await;
    done.expect(StatusCode::OK);
}

async fn status(server: &Server, key: &Key) -> String {
    let path = format!("/v1/organizations/acme/api-keys/{}", key.id);
    let shown = server.operate(Method::GET, &path, Value::Null).await;
    shown.body["status"].as_str().unwrap().to_owned()
}

/// Keys, what is done to each after the backup, and what they are to be after its restore.
struct Life {
    revoked: Key,
    disabled: Key,
    enabled: Key,
    narrowed: Key,
    role_holder: Key,
    rotated: Key,
    finished: Key,
    finished_secret_before: String,
    untouched: Key,
    lost: Key,
    token_revoked: String,
    token_key: Key,
}

/// Lives up to a backup, and on. Gives the backup and what lived.
async fn live(server: &Server) -> (String, Life) {
    let acme = server.organization("acme").await;
    let role = json!({ "name": "writer", "scopes": ["write", "read"] });
    let roles = "/v1/organizations/acme/roles";
    let made = server.operate(Method::POST, roles, role).await;
    made.expect(StatusCode::CREATED);
    let key = async |name: &str| {
        let body = json!({ "name": name, "scopes": ["read:a/**", "admin"] });
        server.key(&acme, body).await
    };
    let revoked = key("revoked").await;
    let disabled = key("disabled").await;
    let enabled = key("enabled").await;
    act(server, &enabled, "disable").await;
    let narrowed = key("narrowed").await;
    let body = json!({ "name": "holder", "roles": ["writer"] });
    let role_holder = server.key(&acme, body).await;
    let rotated = key("rotated").await;
    let before = key("finished").await;
    let path = format!("/v1/organizations/acme/api-keys/{}/rotate", before.id);
    let rotation = server.operate(Method::POST, &path, json!({})).await;
    let finished = Key::of(&rotation.body);
    let untouched = key("untouched").await;
    let token_key = key("token").await;
    let token_revoked = server.token(&token_key, &[]).await;
    let backup = tokio::task::block_in_place(|| backup(server.place(), "b.db"));

    act(server, &revoked, "revoke").await;
    act(server, &disabled, "disable").await;
    act(server, &enabled, "enable").await;
    let path = format!("/v1/organizations/acme/api-keys/{}", narrowed.id);
    let narrow = json!({
        "scopes": ["read:a/b"], "allowed_ip_cidrs": ["127.0.0.1"], "name": "ünarrowed",
    });
    edit(server, &path, narrow).await;
    edit(
        server,
        &format!("{roles}/writer"),
        json!({ "scopes": ["read"] }),
    )
    .await;
    act(server, &rotated, "rotate").await;
    act(server, &finished, "rotate/finish").await;
    let lost = key("lost").await;
    let revoke = server
        .request(Method::POST, "/oauth/revoke")
        .basic_auth(&token_key.id, Some(&token_key.secret))
        .form(&[("token", &token_revoked)]);
    assert_eq!(revoke.send().await.unwrap().status(), StatusCode::OK);
    let life = Life {
        revoked,
        disabled,
        enabled,
        narrowed,
        role_holder,
        rotated,
        finished,
        finished_secret_before: before.secret,
        untouched,
        lost,
        token_revoked,
        token_key,
    };
    (backup, life)
}

/// After the restore, everything is as it was done after the backup.
async fn nothing_came_back(server: &Server, life: &Life) {
    assert_eq!(status(server, &life.revoked).await, "revoked");
    assert_eq!(status(server, &life.disabled).await, "disabled");
    assert_eq!(status(server, &life.enabled).await, "active");
    assert_eq!(status(server, &life.rotated).await, "disabled");
    for key in [&life.revoked, &life.disabled, &life.rotated, &life.lost] {
        let refused = server.exchange(key, &[]).await;
        refused.refuses(401, "invalid_client");
    }
    for key in [&life.enabled, &life.finished, &life.untouched] {
        server.exchange(key, &[]).await.expect(StatusCode::OK);
    }
    let before = Key {
        id: life.finished.id.clone(),
        secret: life.finished_secret_before.clone(),
    };
    let refused = server.exchange(&before, &[]).await;
    refused.refuses(401, "invalid_client");
    let path = format!("/v1/organizations/acme/api-keys/{}", life.narrowed.id);
    let shown = server.operate(Method::GET, &path, Value::Null).await.body;
    assert_eq!(shown["scopes"], json!(["read:a/b"]));
    assert_eq!(shown["allowed_ip_cidrs"], json!(["127.0.0.1/32"]));
    assert_eq!(shown["name"], "ünarrowed");
    let granted = server.exchange(&life.role_holder, &[]).await;
    assert_eq!(granted.body["scope"], "read");
    let database = crate::support::database::Database::of(server).await;
    let denied = "SELECT COUNT(*) FROM denied_tokens";
    assert_eq!(database.count(denied).await, 1);
    let jti = crate::support::server::claims(&life.token_revoked)["jti"].clone();
    let rows = server.place().query("SELECT jti FROM denied_tokens").await;
    assert_eq!(json!(rows[0]), jti);
    server
        .exchange(&life.token_key, &[])
        .await
        .expect(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_export_tells_is_done_again() {
    let server = Server::on_sqlite().await;
    let (backup, life) = live(&server).await;
    let exports = [
        export(&server, "acme").await,
        export(&server, "operator").await,
    ];
    let logged = crate::support::database::Database::of(&server).await;
    let logged = logged.audit_events("acme").await;
    let clock = server.clock.clone();
    let place = server.stop().await;
    lose(&place);
    let restore = ["restore", &backup, "--audit-export", &exports[0]];
    // One organization is not told of.
    let said = refuses(&place, &restore, 5, "operator: no log");
    assert!(said.contains("--quarantine") && said.contains("--accept-resurrected"));
    assert!(!database(&place).exists(), "nothing was done");
    let restore = [&restore[..], &["--audit-export", &exports[1]]].concat();
    let told = tells(&place, &restore);
    let acme = &told["organizations"][0];
    assert_eq!(acme["organization"], "acme");
    assert_eq!(acme["quarantined"][0]["id"], life.rotated.id);
    assert_eq!(acme["quarantined"].as_array().unwrap().len(), 1, "{acme}");
    assert_eq!(acme["lost_keys"][0]["id"], life.lost.id);
    let server = again(place, &clock).await;
    nothing_came_back(&server, &life).await;

    // The log goes on where it ended, as it was written, and says who restored.
    let after = crate::support::database::Database::of(&server).await;
    let after = after.audit_events("acme").await;
    assert_eq!(after[..logged.len()], logged[..]);
    let own: Vec<_> = after[logged.len()..].iter().map(|e| &*e.action).collect();
    assert_eq!(own[..2], ["api_key.disable", "deployment.restore"]);
    assert_eq!(
        after
            .iter()
            .find(|e| e.action == "deployment.restore")
            .unwrap()
            .actor,
        "command line"
    );
    let verified = does(
        server.place(),
        &["audit", "verify", "--checkpoint", &exports[0]],
    );
    assert!(verified.contains("acme: verified"), "{verified}");
    // A key that was switched off is rotated, and then switched on again.
    act(&server, &life.rotated, "rotate").await;
    act(&server, &life.rotated, "enable").await;
    let mode = fs::metadata(database(server.place()))
        .unwrap()
        .permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
        0o600
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_replaced_database_tells_is_done_again() {
    let server = Server::on_sqlite().await;
    let (backup, life) = live(&server).await;
    let clock = server.clock.clone();
    let place = server.stop().await;
    let replaced = fs::read(database(&place)).unwrap();
    refuses(&place, &["restore", &backup], 5, "--replace");
    assert_eq!(fs::read(database(&place)).unwrap(), replaced);
    let told = tells(&place, &["restore", &backup, "--replace"]);
    let kept = told["replaced"].as_str().unwrap();
    assert_eq!(fs::read(kept).unwrap(), replaced, "it is kept as it was");
    let left = files(place.folder());
    for ending in [".restoring", ".reading", "-wal", "-shm"] {
        assert!(!left.iter().any(|name| name.contains(ending)), "{left:?}");
    }
    let server = again(place, &clock).await;
    nothing_came_back(&server, &life).await;
    does(server.place(), &["audit", "verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_log_keys_are_switched_off_or_taken_as_they_are_and_nothing_in_between() {
    let server = Server::on_sqlite().await;
    let (backup, life) = live(&server).await;
    let operator = server.operator_key();
    let clock = server.clock.clone();
    let place = server.stop().await;
    lose(&place);
    refuses(&place, &["restore", &backup], 5, "nobody would notice");
    let both = ["restore", &backup, "--quarantine", "--accept-resurrected"];
    assert_eq!(tenmint(&place, &both).code, Some(2));
    let told = tells(&place, &["restore", &backup, "--quarantine"]);
    assert_eq!(
        told["organizations"][0]["quarantined"]
            .as_array()
            .unwrap()
            .len(),
        9
    );
    let server = again(place, &clock).await;
    for key in [&life.revoked, &life.untouched, &life.rotated, &operator] {
        let refused = server.exchange(key, &[]).await;
        refused.refuses(401, "invalid_client");
    }
    // Whoever has the machine looks, and switches on.
    assert_eq!(status(&server, &life.untouched).await, "disabled");
    act(&server, &life.untouched, "enable").await;
    server
        .exchange(&life.untouched, &[])
        .await
        .expect(StatusCode::OK);
    let path = format!(
        "/v1/organizations/acme/audit-events?target={}",
        life.untouched.id
    );
    let log = server.operate(Method::GET, &path, Value::Null).await.body;
    let entry = &log["data"][1];
    assert_eq!(entry["action"], "api_key.disable");
    assert!(entry["details"]["quarantine"].is_string(), "{entry}");

    let place = server.stop().await;
    lose(&place);
    let told = tells(&place, &["restore", &backup, "--accept-resurrected"]);
    let note = told["organizations"][0]["notes"][0].as_str().unwrap();
    assert!(note.contains("in force again"), "{note}");
    let server = again(place, &clock).await;
    let revoked = server.exchange(&life.revoked, &[]).await;
    revoked.expect(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_filtered_or_shortened_export_is_noticed() {
    let server = Server::on_sqlite().await;
    let (backup, life) = live(&server).await;
    let acme = export(&server, "acme").await;
    let operator = export(&server, "operator").await;
    let text = fs::read_to_string(&acme).unwrap();
    let place = server.stop().await;
    let mark = fs::read(place.folder().join("tenmint.db.mark")).unwrap();
    lose(&place);
    let restore = [
        "restore",
        &backup,
        "--audit-export",
        &acme,
        "--audit-export",
        &operator,
    ];
    let with = |text: &str, said: &str| {
        fs::write(&acme, text).unwrap();
        refuses(&place, &restore, 5, said);
        assert!(!database(&place).exists());
    };
    let lines: Vec<_> = text.lines().collect();
    let revoke = lines
        .iter()
        .position(|line| line.contains("\"api_key.revoke\""))
        .unwrap();
    let without = [&lines[..revoke], &lines[revoke + 1..]].concat().join("\n");
    with(&without, "is missing: an export must not be filtered");
    // The revocation is made out to have been of another key.
    let forged = text.replace(
        lines[revoke],
        &lines[revoke].replace(&life.revoked.id, &life.untouched.id),
    );
    with(&forged, "cannot be verified");
    let forged = text.replace("\"fingerprint\"", "\"fingerprinT\"");
    with(&forged, "cannot be verified");
    let own = text.replace(
        lines[revoke],
        &lines[revoke].replace("\"salt\"", "\"salz\""),
    );
    with(&own, "cannot be verified");
    with(&lines[..2].join("\n"), "no log that was given tells of it");
    // One that was cut off after an entry lacks its end, and what is beside the database counts.
    let short = lines[..lines.len() - 4].join("\n");
    with(&short, "lacks the line that proves the end");
    fs::write(place.folder().join("tenmint.db.mark"), &mark).unwrap();
    with(
        &short,
        "3 acts were done after the backup of which no log tells",
    );
    fs::write(&acme, "{}").unwrap();
    refuses(&place, &restore, 1, "line 1 is no entry");
    // Whatever else is given, it is told which file is meant, and what to give.
    let cases: [(&[u8], &str); 3] = [
        (b"\x1f\x8b\x08\xff\n", "not text in UTF-8"),
        (&fs::read(&backup).unwrap(), "given with --audit-database"),
        (
            &text.as_bytes()[..text.len() - 9],
            "was changed, or cut off",
        ),
    ];
    for (content, what) in cases {
        fs::write(&acme, content).unwrap();
        let said = refuses(&place, &restore, 1, what);
        assert!(said.contains(&format!("{acme}: line ")), "{said}");
        assert!(said.contains("`tenmint audit export`"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_cannot_be_trusted_is_not_put_in_place() {
    let server = Server::on_sqlite().await;
    let acme = server.organization("acme").await;
    server.key_with(&acme, &["read"]).await;
    let file = tokio::task::block_in_place(|| backup(server.place(), "b.db"));
    // A server holds the database.
    let all = ["restore", &file, "--replace", "--accept-resurrected"];
    refuses(server.place(), &all, 1, "another tenmint serves");
    let place = server.stop().await;
    let before = fs::read(database(&place)).unwrap();
    let untouched = || assert!(fs::read(database(&place)).unwrap() == before);

    let good = fs::read(&file).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2 / 4096 * 4096;
    bad[middle..middle + 4096].fill(0xa5);
    fs::write(&file, &bad).unwrap();
    refuses(&place, &all, 1, "cannot be restored");
    fs::write(&file, &good[..good.len() / 2]).unwrap();
    refuses(&place, &all, 1, "cannot be restored");
    fs::write(&file, "hello").unwrap();
    refuses(&place, &all, 1, "cannot be restored");
    fs::write(&file, "").unwrap();
    refuses(&place, &all, 1, "no tenmint deployment");
    untouched();

    // Somebody edited its log.
    fs::write(&file, &good).unwrap();
    let edited = Place::sqlite();
    fs::copy(&file, database(&edited)).unwrap();
    edited
        .execute("UPDATE audit_events SET target = 'x' WHERE sequence = 2")
        .await;
    let edited = at(&edited, "tenmint.db");
    let of_edited = ["restore", &edited, "--replace", "--accept-resurrected"];
    refuses(&place, &of_edited, 1, "do not hold");
    untouched();

    // Its root key is another, or none.
    let root = fs::read(place.root_key_file()).unwrap();
    fs::remove_file(place.root_key_file()).unwrap();
    let missing = format!(
        "there is no {}: put it there",
        place.root_key_file().display()
    );
    refuses(&place, &all, 1, &missing);
    assert!(!place.root_key_file().exists(), "none was made");
    let other = Place::sqlite().start().await.stop().await;
    fs::copy(other.root_key_file(), place.root_key_file()).unwrap();
    refuses(&place, &all, 1, " alone: put it there too");
    untouched();
    fs::write(place.root_key_file(), root).unwrap();
    refuses(
        &place,
        &["restore", &at(&place, "tenmint.db")],
        2,
        "--in-place",
    );
    let faults = [&of_edited[..], &["--accept-faults"]].concat();
    does(&place, &faults);
    let left = files(place.folder());
    assert!(
        !left.iter().any(|name| name.contains(".restoring")),
        "{left:?}"
    );
    assert!(Process::serve(&place, &["serve"], &[]).stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_to_an_organization_is_done_again() {
    let server = Server::on_sqlite().await;
    for id in ["acme", "gone", "paused", "strict"] {
        let manager = server.organization(id).await;
        server.key_with(&manager, &["read"]).await;
    }
    let strict = server.organization("reissued").await;
    let file = tokio::task::block_in_place(|| backup(server.place(), "b.db"));
    let path = |id: &str| format!("/v1/organizations/{id}");
    let suspend = format!("{}/suspend", path("paused"));
    let suspended = server.operate(Method::POST, &suspend, json!({}));
    suspended.await.expect(StatusCode::OK);
    for limit in [900, 600] {
        let policy = json!({ "operator_policy": { "token_lifetime_seconds": limit } });
        edit(&server, &path("strict"), policy).await;
    }
    let name = json!({ "name": "Strict" });
    edit(&server, &path("strict"), name).await;
    let delete = format!("{}?force=true", path("gone"));
    let deleted = server.operate(Method::DELETE, &delete, Value::Null).await;
    deleted.expect(StatusCode::NO_CONTENT);
    let reissue = format!("{}/bootstrap", path("reissued"));
    let body = json!({ "reissue": true });
    let done = server.operate(Method::POST, &reissue, body).await;
    done.expect(StatusCode::OK);
    server.organization("newer").await;
    let clock = server.clock.clone();
    let place = server.stop().await;
    let told = tells(&place, &["restore", &file, "--replace"]);
    assert_eq!(told["lost_organizations"], json!({ "newer": 2 }));
    let server = again(place, &clock).await;
    let show = async |id: &str| server.operate(Method::GET, &path(id), Value::Null).await;
    show("gone").await.refuses(404, "not_found");
    assert_eq!(show("paused").await.body["status"], "suspended");
    let strict_now = show("strict").await.body;
    assert_eq!(strict_now["name"], "Strict");
    assert_eq!(strict_now["operator_policy"]["token_lifetime_seconds"], 600);
    let refused = server.exchange(&strict, &[]).await;
    refused.refuses(401, "invalid_client");
    let verified = does(server.place(), &["audit", "verify"]);
    assert!(verified.contains("gone: verified"), "{verified}");
    assert!(verified.contains("of them erased"), "{verified}");
    // Its id is still not given again.
    let body = json!({ "id": "gone" });
    let again = server
        .operate(Method::POST, "/v1/organizations", body)
        .await;
    assert_eq!(again.status, StatusCode::CONFLICT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signing_key_that_was_withdrawn_neither_signs_nor_is_published_again() {
    let server = Server::on_sqlite().await;
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let issuer = "/orgs/acme";
    let kid = async |server: &Server| {
        let reply = server.exchange_at(issuer, &key, &[]).await;
        let token = reply.body["access_token"].as_str().unwrap().to_owned();
        header(&token)["kid"].as_str().unwrap().to_owned()
    };
    let published = async |server: &Server| {
        let path = format!("{issuer}/.well-known/jwks.json");
        server.get(&path).await.text
    };
    let leaked = kid(&server).await;
    let file = tokio::task::block_in_place(|| backup(server.place(), "b.db"));
    let path = format!("/v1/organizations/acme/signing-keys/{leaked}/revoke");
    let revoked = server.operate(Method::POST, &path, json!({})).await;
    revoked.expect(StatusCode::OK);
    let replacement = kid(&server).await;
    assert_ne!(replacement, leaked);
    let clock = server.clock.clone();
    let place = server.stop().await;
    let told = tells(&place, &["restore", &file, "--replace"]);
    let note = told["organizations"][0]["notes"][0].as_str().unwrap();
    assert!(note.contains("signs at once"), "{note}");
    // Of the private half that leaked, nothing is left.
    let left = "SELECT CAST(LENGTH(sealed) AS TEXT) FROM signing_keys WHERE revoked_at IS NOT NULL";
    assert_eq!(place.query(left).await, ["0"]);
    let server = again(place, &clock).await;
    let now = kid(&server).await;
    assert!(now != leaked && now != replacement);
    let jwks = published(&server).await;
    assert!(jwks.contains(&now) && !jwks.contains(&leaked), "{jwks}");
    does(server.place(), &["audit", "verify"]);
    // A restore of the restored comes to the same.
    let place = server.stop().await;
    let told = tells(&place, &["restore", &file, "--replace"]);
    assert!(
        !told["organizations"][0]["notes"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    let server = again(place, &clock).await;
    let jwks = published(&server).await;
    assert!(!jwks.contains(&leaked), "{jwks}");
}
