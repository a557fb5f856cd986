//! Root keys replaced beside a running server: nothing stops, nothing old counts, nothing is lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenmint::clock::Clock;
use tenmint::crypto::Crypto;
use tenmint::crypto::keyring::Keyring;
use tenmint::crypto::root_key::RootKey;
use tenmint::crypto::secret_hash::HashCost;
use tenmint::domain::secret::KeyId;

use super::audit_verification::holds;
use crate::on_both_engines;
use crate::support::database::Database;
use crate::support::root_keys::{
    current, described, done, followed, in_file, needing, read, refused, root_key, status, until,
    use_up,
};
use crate::support::server::{Key, Place, Server};

on_both_engines!(
    an_api_key_works_through_a_rotation_and_after_its_root_key_is_gone,
    an_api_key_that_nobody_uses_is_named_and_ends_by_force_alone,
    a_rotation_seals_everything_anew_and_is_told_to_each_organization,
    what_replaces_or_ends_a_secret_wins_over_its_renewal,
    rotations_follow_one_another_and_every_string_stays_genuine,
);

/// Exchanges until told to stop; how often it was refused.
fn exchanging(server: &Arc<Server>, key: &Key) -> (Arc<AtomicBool>, tokio::task::JoinHandle<u32>) {
    let stop = Arc::new(AtomicBool::new(false));
    let (told, server, key) = (Arc::clone(&stop), Arc::clone(server), key.clone());
    let exchanges = tokio::spawn(async move {
        let mut refused = 0;
        while !told.load(Ordering::SeqCst) {
            let reply = server.exchange_at("/orgs/acme", &key, &[]).await;
            refused += u32::from(reply.status != StatusCode::OK);
        }
        refused
    });
    (stop, exchanges)
}

fn block<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

async fn an_api_key_works_through_a_rotation_and_after_its_root_key_is_gone(server: Server) {
    let acme = server.organization("acme").await;
    let (warm, cold) = (
        server.key_with(&acme, &["read"]).await,
        server.key_with(&acme, &["read"]).await,
    );
    server.exchange(&warm, &[]).await.expect(StatusCode::OK);
    let jwks = server.get("/orgs/acme/.well-known/jwks.json").await.text;
    let old = block(|| current(server.place()));
    let server = Arc::new(server);
    let (stop, exchanges) = exchanging(&server, &warm);

    let rotated = block(|| done(server.place(), &["rotate"]));
    let new = block(|| current(server.place()));
    assert_ne!(new, old);
    assert!(rotated.err.contains(&new) && rotated.err.contains(&old));
    assert_eq!(rotated.out, "");
    followed(&server).await;
    let fresh = server.key_with(&acme, &["read"]).await;
    // The one in use is freed by being used, although it was remembered as proven.
    until("the key in use is freed", async || {
        let left = needing(&server).await;
        !left.iter().any(|left| left.id == warm.id)
    })
    .await;
    block(|| {
        refused(
            server.place(),
            &["drop", &old, "--yes"],
            "still need root key",
        );
    });
    use_up(&server, &[&cold, &acme, &server.operator_key()]).await;
    assert_eq!(block(|| described(server.place(), &old))["droppable"], true);
    block(|| done(server.place(), &["drop", &old, "--yes"]));
    followed(&server).await;
    stop.store(true, Ordering::SeqCst);
    assert_eq!(exchanges.await.unwrap(), 0, "nobody noticed");

    assert_eq!(in_file(server.place())[0].id().as_str(), new);
    assert_eq!(in_file(server.place()).len(), 1);
    let clock = Clock::manual(server.clock.now());
    let place = Arc::into_inner(server).unwrap().stop().await;
    let server = Server::start(place, clock).await.map_err(|(why, _)| why);
    let server = server.unwrap();
    for key in [&warm, &cold, &fresh] {
        server.exchange(key, &[]).await.expect(StatusCode::OK);
    }
    let after = server.get("/orgs/acme/.well-known/jwks.json").await.text;
    assert_eq!(after, jwks, "the signing key is the same");
    // Created, bootstrapped, three keys, and gone over.
    holds(&server, &[], "acme: verified 6 entries");
    let again = block(|| done(server.place(), &["drop", &old, "--yes"]));
    assert!(again.err.contains("before"), "{}", again.err);
}

async fn an_api_key_that_nobody_uses_is_named_and_ends_by_force_alone(server: Server) {
    let acme = server.organization("acme").await;
    let body = json!({ "name": "forgotten", "scopes": ["read"] });
    let forgotten = server.key(&acme, body).await;
    let (revoked, used) = (
        server.key_with(&acme, &["read"]).await,
        server.key_with(&acme, &["read"]).await,
    );
    let path = format!("/v1/api-keys/{}/revoke", revoked.id);
    let done_so = server.call(&acme.secret, Method::POST, &path, json!({}));
    done_so.await.expect(StatusCode::OK);
    let old = block(|| current(server.place()));
    block(|| done(server.place(), &["rotate"]));
    followed(&server).await;
    // Rotated by its owner, a key is freed as well.
    let path = format!("/v1/api-keys/{}/rotate", used.id);
    let body = json!({ "overlap_seconds": 0 });
    let turned = server.call(&acme.secret, Method::POST, &path, body);
    turned.await.expect(StatusCode::OK);
    use_up(&server, &[&acme, &server.operator_key()]).await;
    let named = block(|| status(server.place()))["api_keys"].clone();
    let [named] = &named.as_array().unwrap()[..] else {
        panic!("{named}");
    };
    assert_eq!(
        *named,
        json!({
            "id": forgotten.id, "organization": "acme", "name": "forgotten", "root_key": old,
            "status": "active", "last_used_at": null, "would_end": "key", "management_key": false,
            "used_since": false,
        })
    );
    let shown = block(|| done(server.place(), &["status"])).out;
    assert!(shown.contains(&forgotten.id) && shown.contains("needed by 1 API keys"));

    block(|| refused(server.place(), &["drop", &old], "give --yes"));
    block(|| {
        refused(
            server.place(),
            &["drop", &old, "--yes"],
            "1 API keys still need",
        );
    });
    assert_eq!(in_file(server.place()).len(), 2);
    let forced = block(|| done(server.place(), &["drop", &old, "--yes", "--force"]));
    assert!(
        forced.err.contains("1 API keys ended with it"),
        "{}",
        forced.err
    );
    followed(&server).await;
    let reply = server.exchange(&forgotten, &[]).await;
    reply.refuses(401, "invalid_client");
    server.exchange(&acme, &[]).await.expect(StatusCode::OK);
    let entries = server
        .operate(
            Method::GET,
            "/v1/audit-events?action=root_key.drop",
            Value::Null,
        )
        .await;
    let entry = &entries.body["data"][0];
    assert_eq!(
        entry["details"],
        json!({ "forced": true, "api_keys_revoked": 1, "signing_keys": 0 })
    );
}

async fn a_rotation_seals_everything_anew_and_is_told_to_each_organization(server: Server) {
    let acme = server.organization("acme").await;
    server.organization("umbrella").await;
    server.organization("gone").await;
    let deleted = server.operate(
        Method::DELETE,
        "/v1/organizations/gone?force=true",
        Value::Null,
    );
    assert!(deleted.await.status.is_success());
    let key = server.key_with(&acme, &["read"]).await;
    let sealed = "SELECT CAST(COUNT(*) AS TEXT) FROM signing_keys WHERE root_key = ";
    let old = block(|| current(server.place()));
    let before = in_file(server.place());
    block(|| done(server.place(), &["rotate"]));
    let new = block(|| current(server.place()));
    let rows = server.place().query(&format!("{sealed}'{new}'")).await;
    assert_eq!(rows, ["3"], "all of them");

    // Whoever has the old root key and the database opens none of them.
    let id = "acme".parse().unwrap();
    let store = &server.app.management.store;
    let stored = store.published_signing_keys(&id).await.unwrap().remove(0);
    let thief = Crypto::new(
        Keyring::of(&before[0]),
        "tmsk".parse().unwrap(),
        HashCost::default(),
    );
    let row = tenmint::crypto::seal::Row {
        organization: &stored.key.organization,
        kid: &stored.key.kid,
        algorithm: stored.key.algorithm,
    };
    assert!(thief.open(&old, &stored.sealed, row).is_err());

    for (organization, entries) in [("acme", 4), ("umbrella", 3), ("gone", 4)] {
        let events = Database::of(&server).await.audit_events(organization).await;
        let last = events.last().unwrap();
        assert_eq!(events.len(), entries, "{organization}");
        assert_eq!((&*last.action, &*last.target), ("root_key.rotate", &*new));
        assert_eq!(last.actor, "command line");
        let carried = i32::from(organization != "gone");
        assert_eq!(
            last.details(),
            json!({ "from": old, "to": new, "signing_keys": carried })
        );
    }
    holds(&server, &[], "acme: verified 4 entries");
    holds(&server, &[], "gone: verified 4 entries, 2 of them erased");
    server.exchange(&key, &[]).await.expect(StatusCode::OK);

    // What is new is under the new one, and no secret is anywhere but in the file.
    followed(&server).await;
    server.organization("late").await;
    holds(&server, &[], "late: verified 2 entries");
    let late = "SELECT root_key FROM organizations WHERE id = 'late'";
    assert_eq!(server.place().query(late).await, [new]);
    let path = server.place().root_key_file();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for root in in_file(server.place()) {
        let line = root.to_line();
        let encoded = line.trim().rsplit(':').next().unwrap();
        for arguments in [
            &["status"][..],
            &["status", "--json"],
            &["rotate", "--to", "x"],
        ] {
            let run = block(|| root_key(server.place(), arguments));
            assert!(!format!("{}{}", run.out, run.err).contains(&encoded[..8]));
        }
    }
}

async fn what_replaces_or_ends_a_secret_wins_over_its_renewal(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let id: KeyId = key.id.parse().unwrap();
    let store = &server.app.management.store;
    let before = store.credentials(&[id]).await.unwrap().remove(0).hash;
    let renewed = tenmint::store::api_keys::StoredHash {
        phc: "renewed".into(),
        root_key: "another".into(),
    };
    // A rotation of the API key comes between: the old secret ends at once.
    let path = format!("/v1/api-keys/{}/rotate", key.id);
    let body = json!({ "overlap_seconds": 0 });
    let rotated = server.call(&acme.secret, Method::POST, &path, body).await;
    rotated.expect(StatusCode::OK);
    assert!(!store.renew_hash(id, &before, &renewed).await.unwrap());
    let hashes = server
        .place()
        .query("SELECT hash FROM api_key_secrets")
        .await;
    assert!(hashes.iter().all(|hash| hash != "renewed"));
    server
        .exchange(&key, &[])
        .await
        .refuses(401, "invalid_client");
    let second = Key::of(&rotated.body);
    server.exchange(&second, &[]).await.expect(StatusCode::OK);

    // While both count, both are freed; and the one before still ends when it should.
    let old = block(|| current(server.place()));
    let body = json!({ "overlap_seconds": 3600 });
    let rotated = server.call(&acme.secret, Method::POST, &path, body).await;
    rotated.expect(StatusCode::OK);
    let third = Key::of(&rotated.body);
    block(|| done(server.place(), &["rotate"]));
    followed(&server).await;
    let all = [&second, &third, &acme, &server.operator_key()];
    use_up(&server, &all).await;
    block(|| done(server.place(), &["drop", &old, "--yes"]));
    for key in [&second, &third] {
        server.exchange(key, &[]).await.expect(StatusCode::OK);
    }
    server.advance(3601);
    server
        .exchange(&second, &[])
        .await
        .refuses(401, "invalid_client");
    server.exchange(&third, &[]).await.expect(StatusCode::OK);
    let path = format!("/v1/api-keys/{}/revoke", key.id);
    let ended = server.call(&acme.secret, Method::POST, &path, json!({}));
    ended.await.expect(StatusCode::OK);
    server
        .exchange(&third, &[])
        .await
        .refuses(401, "invalid_client");
}

async fn rotations_follow_one_another_and_every_string_stays_genuine(server: Server) {
    let acme = server.organization("acme").await;
    let mut keys = vec![server.key_with(&acme, &["read"]).await];
    let mut entries = 3;
    for _ in 0..3 {
        let old = block(|| current(server.place()));
        block(|| done(server.place(), &["rotate"]));
        followed(&server).await;
        keys.push(server.key_with(&acme, &["read"]).await);
        entries += 2;
        let operator = server.operator_key();
        let all: Vec<_> = keys.iter().chain([&acme, &operator]).collect();
        use_up(&server, &all).await;
        block(|| done(server.place(), &["drop", &old, "--yes"]));
        holds(&server, &[], &format!("acme: verified {entries} entries"));
    }
    assert_eq!(in_file(server.place()).len(), 1);
    let clock = Clock::manual(server.clock.now());
    let place = server.stop().await;
    let server = Server::start(place, clock).await.map_err(|(why, _)| why);
    let server = server.unwrap();
    for key in &keys {
        server.exchange(key, &[]).await.expect(StatusCode::OK);
    }
    holds(&server, &[], &format!("acme: verified {entries} entries"));
    // A deployment's own strings alone: nobody else's pass for them.
    let minted = Crypto::new(
        Keyring::of(&RootKey::generate()),
        "tmsk".parse().unwrap(),
        HashCost::default(),
    );
    let here = &server.app.management.crypto;
    let elsewhere = minted.mint(ulid::Ulid(1));
    assert!(here.recognise(&elsewhere).is_none());
}

/// Two servers, each with a file of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_cuts_no_server_off() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    // By a clock that moves: a server that is not heard for a minute counts as gone.
    let one = Server::start(place, Clock::system()).await;
    let one = one.map_err(|(why, _)| why).unwrap();
    let two = one.another_node().await;
    let acme = one.organization("acme").await;
    let key = one.key_with(&acme, &["read"]).await;
    let old = block(|| current(one.place()));
    until("both servers say what they hold", async || {
        let now = one.clock.now();
        let holders = one.app.management.store.holders(now).await;
        holders.unwrap().len() == 2
    })
    .await;
    block(|| done(one.place(), &["add"]));
    let again = block(|| done(one.place(), &["add"]));
    assert!(again.err.contains("was added before"), "{}", again.err);
    let added = in_file(one.place())[1].id().to_string();
    let cut_off = format!("root key {added} would cut off servers");
    block(|| refused(one.place(), &["rotate", "--wait", "3s"], &cut_off));
    assert_eq!(block(|| current(one.place())), old, "nothing happened");

    let path = two.place().root_key_file();
    fs::copy(one.place().root_key_file(), &path).unwrap();
    block(|| done(one.place(), &["rotate"]));
    assert_eq!(block(|| current(one.place())), added);
    assert_eq!(
        in_file(one.place()).len(),
        2,
        "it was the one that was added"
    );
    let mut made = Vec::new();
    for server in [&one, &two] {
        let reply = server.exchange_at("/orgs/acme", &key, &[]).await;
        reply.expect(StatusCode::OK);
        // Under whichever root key that server knows of: each goes by the row.
        let key = server.key_with(&acme, &["read"]).await;
        server.exchange(&key, &[]).await.expect(StatusCode::OK);
        made.push(key);
    }
    followed(&one).await;
    followed(&two).await;
    made.extend([one.operator_key(), two.operator_key()]);
    let all: Vec<_> = made.iter().chain([&key, &acme]).collect();
    use_up(&one, &all).await;
    // The other server's cache still has the hash from before, and goes on with what it proved.
    two.exchange(&key, &[]).await.expect(StatusCode::OK);
    let unused = block(|| status(one.place()))["api_keys"].clone();
    assert_eq!(unused, json!([]));
    block(|| done(one.place(), &["drop", &old, "--yes"]));
    assert_eq!(read(&path).len(), 2, "another machine's file is its own");
    for server in [&one, &two] {
        server.exchange(&key, &[]).await.expect(StatusCode::OK);
    }
    holds(&one, &[], "acme: verified 6 entries");
}
