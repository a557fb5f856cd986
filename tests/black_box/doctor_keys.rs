//! What `tenmint doctor` says of keys: each that has a private half opens, and no server would refuse
//! to start for want of a root key.

use std::fs;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenmint::app::StartError;

use super::doctor::{doctor, finds, found};
use crate::on_both_engines;
use crate::support::nodes::block;
use crate::support::process::{Run, run};
use crate::support::root_keys::{current, described, done, followed, in_file, use_up};
use crate::support::server::{Place, Server};

on_both_engines!(
    signing_keys_that_do_not_sign_are_opened_too,
    where_a_server_would_not_start_doctor_finds_a_problem,
    a_changed_trace_of_a_root_key_is_found,
    doctor_says_of_root_keys_what_their_status_says,
    a_root_key_that_was_not_replaced_to_the_end_is_found,
    settings_that_contradict_each_other_are_found,
    a_rotation_that_did_not_come_is_found,
);

/// Where nobody answers.
const ISSUER: &str = "http://localhost:1";

async fn a_rotation_that_did_not_come_is_found(server: Server) {
    server.organization("acme").await;
    let place = server.stop().await;
    finds(&place, "rotation", "ok", "no signing key is overdue");
    let long_ago = "UPDATE signing_keys SET published_at = published_at - 86400 * 150,
                        activates_at = activates_at - 86400 * 150,
                        activated_at = activated_at - 86400 * 150
                    WHERE organization_id = 'acme'";
    place.execute(long_ago).await;
    finds(
        &place,
        "rotation",
        "problem",
        "signing keys of acme are overdue",
    );
    // Where nobody wants rotations, none is late.
    let off = [("TENMINT_SIGNING_KEY_ROTATION", "off")];
    let (verdict, text) = found(&place, &[], &off, "rotation");
    assert_eq!(verdict, "ok", "{text}");
}

async fn settings_that_contradict_each_other_are_found(server: Server) {
    let place = server.stop().await;
    for (name, value) in [
        ("TENMINT_SIGNING_KEY_LEAD", "10s"),
        ("TENMINT_JWKS_MAX_AGE", "3h"),
        ("TENMINT_AUDIENCE", ISSUER),
    ] {
        let environment = [(name, value), ("TENMINT_ISSUER", ISSUER)];
        let told = doctor(&place, &[], &environment);
        assert_eq!(told.code, Some(1), "{name}: {}", told.out);
        assert!(told.out.contains("settings"), "{name}: {}", told.out);
        let served = run_serve(&place, &environment);
        assert_eq!(served.code, Some(1), "{name}: {}", served.err);
    }
}

fn run_serve(place: &Place, environment: &[(&str, &str)]) -> Run {
    let (url, root) = (place.database_url(), place.root_key_file());
    let mut all = vec![
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
    ];
    all.extend(environment);
    run(&["serve", "--listen", "127.0.0.1:0"], &all)
}

async fn rotate(server: &Server, body: Value) {
    let path = "/v1/organizations/acme/signing-keys/rotate";
    let rotated = server.operate(Method::POST, path, body).await;
    rotated.expect(StatusCode::CREATED);
}

async fn signing_keys_that_do_not_sign_are_opened_too(server: Server) {
    server.organization("acme").await;
    rotate(&server, json!({ "emergency": true })).await;
    rotate(&server, json!({})).await;
    let place = server.place();
    finds(place, "signing keys", "ok", "all 4 of 2 issuers");
    let swapped = |of: &str, with: &str| {
        let acme = "organization_id = 'acme'";
        format!(
            "UPDATE signing_keys SET sealed =
               (SELECT s.sealed FROM signing_keys s WHERE s.{acme} AND s.{with})
             WHERE {acme} AND {of}"
        )
    };
    let next = "activated_at IS NULL";
    place
        .execute(&swapped(next, "retiring_at IS NOT NULL"))
        .await;
    finds(
        place,
        "signing keys",
        "problem",
        "acme: a sealed signing key",
    );
    finds(place, "signing keys", "problem", "(next, ");
    let remove = "DELETE FROM signing_keys WHERE activated_at IS NULL";
    place.execute(remove).await;
    finds(place, "signing keys", "ok", "all 3 of 2 issuers");
    let active = "activated_at IS NOT NULL AND s.retiring_at IS NULL";
    let retiring = "retiring_at IS NOT NULL";
    place.execute(&swapped(retiring, active)).await;
    finds(place, "signing keys", "problem", "(retiring, ");
    let withdrawn = "UPDATE signing_keys SET retired_at = 1, revoked_at = 1
                     WHERE retiring_at IS NOT NULL";
    place.execute(withdrawn).await;
    let left = "is revoked, and its private half is still there";
    finds(place, "signing keys", "problem", left);
}

async fn where_a_server_would_not_start_doctor_finds_a_problem(server: Server) {
    let acme = server.organization("acme").await;
    server.key_with(&acme, &["read"]).await;
    let clock = server.clock.clone();
    let place = server.stop().await;
    done(&place, &["rotate"]);
    finds(&place, "root key", "ok", "is still needed by 3 API keys");
    let new = current(&place);
    let both = in_file(&place);
    let new = both.iter().find(|key| key.id().as_str() == new).unwrap();
    fs::write(place.root_key_file(), &*new.to_line()).unwrap();
    finds(&place, "root key", "problem", "still needs root key");
    let Err((why, _)) = Server::start(place, clock).await else {
        panic!("it started")
    };
    assert!(
        matches!(why, StartError::RootKeyStillNeeded { .. }),
        "{why}"
    );
}

async fn a_changed_trace_of_a_root_key_is_found(server: Server) {
    let place = server.place();
    let old = tokio::task::block_in_place(|| {
        let old = current(place);
        done(place, &["rotate"]);
        old
    });
    finds(place, "root key", "ok", "is still needed by 1 API keys");
    place
        .execute("UPDATE former_root_keys SET trace = (SELECT sealed FROM signing_keys LIMIT 1)")
        .await;
    let said = format!("what root key {old} left does not open");
    finds(place, "root key", "problem", &said);
}

async fn doctor_says_of_root_keys_what_their_status_says(server: Server) {
    let acme = server.organization("acme").await;
    let (used, gone) = (
        server.key_with(&acme, &["read"]).await,
        server.key_with(&acme, &["read"]).await,
    );
    let place = server.place();
    finds(place, "root key", "ok", "and no other is needed");
    let old = block(|| {
        let old = current(place);
        done(place, &["rotate"]);
        old
    });
    followed(&server).await;
    agrees(place, &old, 4);
    use_up(&server, &[&used]).await;
    agrees(place, &old, 3);
    let path = format!("/v1/api-keys/{}/revoke", gone.id);
    let revoked = server.call(&acme.secret, Method::POST, &path, Value::Null);
    revoked.await.expect(StatusCode::OK);
    use_up(&server, &[&acme, &server.operator_key()]).await;
    agrees(place, &old, 0);
    block(|| done(place, &["drop", &old, "--yes"]));
    let (verdict, text) = found(place, &[], &[], "root key");
    let said = "it is the one of this database, and no other is needed";
    assert_eq!((&*verdict, &*text), ("ok", said));
}

/// What `tenmint root-key status` says of a root key that so many API keys need, `doctor` says too.
#[track_caller]
fn agrees(place: &Place, id: &str, api_keys: u64) {
    assert_eq!(described(place, id)["api_keys"], api_keys);
    let shown = done(place, &["status"]).out;
    let shown = shown
        .lines()
        .find(|line| line.starts_with("Root key") || line.starts_with("Nothing"));
    let shown = shown.unwrap().trim_end_matches('.');
    let (verdict, text) = found(place, &[], &[], "root key");
    assert_eq!(verdict, "ok");
    assert!(text.ends_with(shown), "{text}\n{shown}");
    assert!(text.contains(id), "{text}");
    let none = text.contains("no other is needed");
    assert_eq!(none, api_keys == 0, "{text}");
}

async fn a_root_key_that_was_not_replaced_to_the_end_is_found(server: Server) {
    let place = server.place();
    block(|| done(place, &["rotate"]));
    let (old, new) = (
        "(SELECT id FROM former_root_keys)",
        "(SELECT root_key FROM deployment)",
    );
    let left = format!("UPDATE signing_keys SET root_key = {old} WHERE root_key = {new}");
    place.execute(&left).await;
    finds(
        place,
        "root key",
        "warning",
        "and 1 signing keys that did not go over",
    );
}
