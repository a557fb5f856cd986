//! Giving up root keys: whatever needs one keeps it, whether it was current or not, and what
//! `status` says is what `drop` does.

use std::fs;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenmint::manage::root_keys::rotate::make_current;

use crate::on_both_engines;
use crate::support::root_keys::{
    current, described, done, followed, in_file, refused, root_key, status, until, use_up,
};
use crate::support::server::Server;

on_both_engines!(
    whatever_needs_a_root_key_keeps_it_and_status_says_so,
    a_root_key_that_was_never_current_is_given_up_as_carefully,
    a_signing_key_that_does_not_open_stays_behind_and_keeps_its_root_key,
);

fn block<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

async fn whatever_needs_a_root_key_keeps_it_and_status_says_so(server: Server) {
    let acme = server.organization("acme").await;
    let place = server.place();
    let old = block(|| current(place));
    block(|| done(place, &["rotate"]));
    followed(&server).await;
    use_up(&server, &[&acme, &server.operator_key()]).await;
    let new = block(|| current(place));
    let droppable = || block(|| described(place, &old))["droppable"].clone();
    assert_eq!(droppable(), true);
    // A signing key and an audit chain that did not go over, and a server that works with it.
    let behind = |root_key: &str, table: &str, of: &str| {
        format!("UPDATE {table} SET root_key = '{root_key}' WHERE {of} = 'acme'")
    };
    for (table, of, named) in [
        ("signing_keys", "organization_id", "1 signing keys"),
        ("organizations", "id", "1 organizations"),
    ] {
        place.execute(&behind(&old, table, of)).await;
        assert_eq!(droppable(), false, "{table}");
        let shown = block(|| done(place, &["status"])).out;
        assert!(
            shown.contains("still needed by 0 API keys, and by"),
            "{shown}"
        );
        let said = format!("{named} still need root key {old}");
        block(|| refused(place, &["drop", &old, "--yes"], &said));
        place.execute(&behind(&new, table, of)).await;
    }
    let now = server.clock.now().unix();
    let server_behind = format!(
        "INSERT INTO root_key_holders (node, in_use, held, seen_at)
         VALUES ('behind', '{old}', '{old} {new}', {now})"
    );
    place.execute(&server_behind).await;
    assert_eq!(droppable(), false);
    block(|| refused(place, &["drop", &old, "--yes"], "servers still work with"));
    let gone = "DELETE FROM root_key_holders WHERE node = 'behind'";
    place.execute(gone).await;
    assert_eq!(droppable(), true);
    block(|| done(place, &["drop", &old, "--yes"]));
    assert_eq!(droppable(), false);
}

async fn a_root_key_that_was_never_current_is_given_up_as_carefully(server: Server) {
    let place = server.place();
    block(|| done(place, &["add"]));
    let added = in_file(place)[1].id().to_string();
    let line = fs::read_to_string(place.root_key_file()).unwrap();
    let management = &server.app.management;
    let holds = || management.crypto.keyring().holds(&added);
    until("the server holds it", async || holds()).await;
    assert_eq!(block(|| described(place, &added))["droppable"], true);
    // A server that works with it already: it knows more than this machine.
    let now = server.clock.now().unix();
    let ahead = format!(
        "INSERT INTO root_key_holders (node, in_use, held, seen_at)
         VALUES ('ahead', '{added}', '{added}', {now})"
    );
    place.execute(&ahead).await;
    block(|| refused(place, &["drop", &added, "--yes"], "servers still work with"));
    assert_eq!(block(|| described(place, &added))["droppable"], false);
    assert_eq!(in_file(place).len(), 2, "it is still there");
    place
        .execute("DELETE FROM root_key_holders WHERE node = 'ahead'")
        .await;
    let dropped = block(|| done(place, &["drop", &added, "--yes"]));
    assert!(
        dropped.err.contains("was not current in this database"),
        "{}",
        dropped.err
    );
    assert_eq!(in_file(place).len(), 1);
    // Nobody makes it current any more, not even a server that has not heard of it yet.
    assert!(
        make_current(management, &added, Duration::ZERO)
            .await
            .is_err()
    );
    until("the server lets go of it", async || !holds()).await;
    assert_eq!(block(|| described(place, &added))["state"], "dropped");
    fs::write(place.root_key_file(), line).unwrap();
    block(|| refused(place, &["rotate", "--to", &added], "does not come back"));
    let again = block(|| done(place, &["drop", &added, "--yes"]));
    assert!(again.err.contains("before"), "{}", again.err);
    let log = "/v1/audit-events?action=root_key.drop";
    let log = server.operate(Method::GET, log, Value::Null).await;
    log.expect(StatusCode::OK);
    assert_eq!(log.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(log.body["data"][0]["target"], json!(added));
    // A rotation goes on without it.
    block(|| done(place, &["rotate"]));
    assert_ne!(block(|| current(place)), added);
    assert!(!block(|| status(place)).to_string().contains("replacing"));
}

async fn a_signing_key_that_does_not_open_stays_behind_and_keeps_its_root_key(server: Server) {
    let acme = server.organization("acme").await;
    let rotate = "/v1/organizations/acme/signing-keys/rotate";
    let rotated = server.operate(Method::POST, rotate, json!({})).await;
    rotated.expect(StatusCode::CREATED);
    let place = server.place();
    let old = block(|| current(place));
    // The next key's row has the private half of the active one.
    let swap = "UPDATE signing_keys SET sealed =
                  (SELECT s.sealed FROM signing_keys s
                   WHERE s.organization_id = 'acme' AND s.activated_at IS NOT NULL)
                WHERE organization_id = 'acme' AND activated_at IS NULL";
    place.execute(swap).await;
    let left = block(|| root_key(place, &["rotate"]));
    assert_eq!(left.code, Some(7), "{}", left.err);
    for said in [
        "is current: 1 organizations",
        "of acme does not open, and was left",
        "1 signing keys were left under another root key",
    ] {
        assert!(left.err.contains(said), "{said}: {}", left.err);
    }
    followed(&server).await;
    server.exchange(&acme, &[]).await.expect(StatusCode::OK);
    assert_eq!(block(|| described(place, &old))["signing_keys"], 1);
}
