//! Starting with several root keys, too few, or those of somebody who should have none any more.

use std::fs;

use reqwest::StatusCode;
use ring::{digest, hmac};
use serde_json::json;
use tenmint::app::StartError;
use tenmint::clock::Clock;
use tenmint::crypto::Crypto;
use tenmint::crypto::keyring::Keyring;
use tenmint::crypto::root_key::RootKey;
use tenmint::crypto::secret_hash::HashCost;
use tenmint::domain::hex::hex;

use super::audit_verification::{faults, holds, seven};
use crate::on_both_engines;
use crate::support::database::{AuditEvent, Database};
use crate::support::process::{Process, run};
use crate::support::root_keys::{current, done, in_file, read, refused, root_key};
use crate::support::server::{Place, Server};

on_both_engines!(
    a_server_says_which_root_key_it_lacks,
    whoever_has_a_former_root_key_rewrites_no_audit_log,
);

async fn a_server_says_which_root_key_it_lacks(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let clock = server.clock.clone();
    let place = server.stop().await;
    let path = place.root_key_file();
    let before = fs::read_to_string(&path).unwrap();
    let old = current(&place);
    done(&place, &["rotate"]);
    let new = current(&place);
    let both = fs::read_to_string(&path).unwrap();

    // A file from before the rotation.
    fs::write(&path, &before).unwrap();
    let (why, place) = refusal(place).await;
    assert!(matches!(why, StartError::RootKeyWrong { .. }), "{why}");
    assert!(why.to_string().contains(&new), "{why}");
    // Only the new one, while API keys need the other.
    fs::write(&path, &*in_text(&both)[1].to_line()).unwrap();
    let (why, place) = refusal(place).await;
    assert!(
        matches!(why, StartError::RootKeyStillNeeded { .. }),
        "{why}"
    );
    for part in [&*old, &*new, "root-key status"] {
        assert!(why.to_string().contains(part), "{part}: {why}");
    }
    refused(&place, &["drop", &new, "--yes"], "is the current one");
    refused(&place, &["rotate", "--to", &old], "does not come back");
    refused(
        &place,
        &["rotate", "--to", "0123"],
        "root key 0123 is not held here",
    );
    // With both, and in whichever order.
    let turned: Vec<_> = in_text(&both).into_iter().rev().collect();
    let lines: Vec<_> = turned.iter().map(|key| key.to_line().to_string()).collect();
    fs::write(&path, lines.concat()).unwrap();
    let server = Server::start(place, clock).await.map_err(|(why, _)| why);
    let server = server.unwrap();
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
}

/// The MACs of a log, all computed anew under one root key.
fn rewritten(events: &[AuditEvent], chain: &hmac::Key) -> Vec<(i64, Vec<u8>)> {
    let mut previous = Vec::new();
    let mut macs = Vec::new();
    for event in events {
        let salt = event.salt.as_ref().unwrap();
        let personal = json!([hex(salt), event.address, event.acting_for, event.details]);
        let digest = digest::digest(&digest::SHA256, personal.to_string().as_bytes());
        let entry = json!([
            event.organization_id,
            event.sequence,
            event.at,
            event.actor,
            event.action,
            event.target,
            event.request_id,
            hex(digest.as_ref()),
        ]);
        let signed = [&previous, entry.to_string().as_bytes()].concat();
        previous = hmac::sign(chain, &signed).as_ref().to_vec();
        macs.push((event.sequence, previous.clone()));
    }
    macs
}

/// Puts MACs into the log of `acme`, and the last of them at its head.
async fn plant(place: &Place, macs: &[(i64, Vec<u8>)]) {
    let value = |mac: &[u8]| {
        if place.is_sqlite() {
            format!("x'{}'", hex(mac))
        } else {
            format!("'\\x{}'::bytea", hex(mac))
        }
    };
    for (sequence, mac) in macs {
        let text = format!(
            "UPDATE audit_events SET mac = {}
             WHERE organization_id = 'acme' AND sequence = {sequence}",
            value(mac)
        );
        place.execute(&text).await;
    }
    let (sequence, mac) = macs.last().unwrap();
    let text = format!(
        "DELETE FROM audit_events WHERE organization_id = 'acme' AND sequence > {sequence};
         UPDATE organizations SET audit_sequence = {sequence}, audit_mac = {} WHERE id = 'acme'",
        value(mac)
    );
    place.execute(&text).await;
}

/// The thief has the root key from before the rotation, and writes to the database.
async fn whoever_has_a_former_root_key_rewrites_no_audit_log(server: Server) {
    let _database = seven(&server).await;
    let old = in_file(server.place()).remove(0);
    let rotated = tokio::task::block_in_place(|| done(server.place(), &["rotate"]));
    assert!(rotated.err.contains("is current"));
    holds(&server, &[], "acme: verified 8 entries");
    let thief = Crypto::new(
        Keyring::of(&old),
        "tmsk".parse().unwrap(),
        HashCost::default(),
    );
    let old = old.id().to_string();
    let chain = thief.chain(&old).unwrap();
    let mut events = Database::of(&server).await.audit_events("acme").await;
    let lie = "UPDATE audit_events SET actor = 'command line'
               WHERE organization_id = 'acme' AND sequence = 3";
    server.place().execute(lie).await;
    "command line".clone_into(&mut events[2].actor);
    let place = server.place();

    // Everything rewritten under it.
    plant(place, &rewritten(&events, &chain)).await;
    faults(&server, &[], "entry 7 is not where it went over");
    // The end cut off where the new one begins, or before.
    plant(place, &rewritten(&events[..7], &chain)).await;
    faults(&server, &[], "entry 7 is not where it went over");
    plant(place, &rewritten(&events[..5], &chain)).await;
    faults(
        &server,
        &[],
        "it ends with entry 5, and a checkpoint knows entry 7",
    );
    // The row made to say that nothing was ever rotated.
    let unanchored = "UPDATE organizations SET anchor_sequence = NULL, anchor_proof = NULL
                      WHERE id = 'acme'";
    place.execute(unanchored).await;
    faults(&server, &[], "entry 1 is not as it was written");
    let back = format!("UPDATE organizations SET root_key = '{old}' WHERE id = 'acme'");
    place.execute(&back).await;
    faults(&server, &[], &format!("its row names root key {old}"));
    // As if the rotation were not over: whoever verifies is told what that means.
    place
        .execute("UPDATE former_root_keys SET trace = NULL")
        .await;
    let (url, root) = (place.database_url(), place.root_key_file());
    let environment = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
    ];
    let told = run(&["audit", "verify"], &environment);
    assert!(told.err.contains("is still being replaced"), "{}", told.err);
    // And where it is held no more, not even that helps.
    let held = read(&root);
    let new = held.iter().find(|key| key.id().as_str() != old).unwrap();
    fs::write(&root, &*new.to_line()).unwrap();
    let told = run(&["audit", "verify"], &environment);
    let fault = format!("acme: its row names root key {old}");
    assert!(!told.success && told.out.contains(&fault), "{}", told.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_keys_can_come_from_the_environment_and_are_written_to_a_named_file_alone() {
    let place = Place::sqlite().start().await.stop().await;
    let path = place.root_key_file();
    let first = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let url = place.database_url();
    let with = |keys: &str, arguments: &[&str]| {
        let environment = [("TENMINT_DATABASE_URL", &*url), ("TENMINT_ROOT_KEY", keys)];
        run(&[&["root-key"], arguments].concat(), &environment)
    };
    let refused = with(first.trim(), &["add"]);
    assert!(
        !refused.success && refused.err.contains("--out FILE"),
        "{}",
        refused.err
    );
    let refused = with(first.trim(), &["rotate"]);
    assert!(refused.err.contains("root-key add"), "{}", refused.err);
    let out = place.folder().join("both");
    let out = out.to_str().unwrap();
    let written = with(first.trim(), &["add", "--out", out]);
    assert!(written.success && written.out.is_empty(), "{}", written.err);
    let again = with(first.trim(), &["add", "--out", out]);
    assert!(
        !again.success && again.err.contains("is there already"),
        "{}",
        again.err
    );
    let keys = read(out.as_ref());
    let lines: Vec<_> = keys
        .iter()
        .map(|key| key.to_line().trim().to_owned())
        .collect();
    let both = lines.join(",");
    for line in &lines {
        assert!(!format!("{}{}", written.out, written.err).contains(&line[20..28]));
    }

    let variable = [("TENMINT_ROOT_KEY", &*both)];
    let process = Process::serve(&place, &["serve"], &variable);
    let rotated = with(&both, &["rotate"]);
    assert!(rotated.success, "{}", rotated.err);
    let status = with(&both, &["status", "--json"]).out;
    assert!(
        status.contains(&format!("\"current\":\"{}\"", keys[1].id())),
        "{status}"
    );
    assert!(process.stop());
    // The operator's key was made under the first, and not used since.
    let alone = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY", &*lines[1]),
    ];
    let refused = run(&["serve", "--listen", "127.0.0.1:0"], &alone);
    assert!(!refused.success && refused.err.contains("still needs root key"));
    let old = keys[0].id();
    let dropped = with(&lines[1], &["drop", old.as_str(), "--yes", "--force"]);
    assert!(
        dropped.err.contains("take it out of TENMINT_ROOT_KEY"),
        "{}",
        dropped.err
    );
    let process = Process::serve(&place, &["serve"], &alone[1..]);
    assert!(process.stop());
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_place_is_not_set_up_by_looking_at_it() {
    let place = Place::sqlite();
    for arguments in [
        &["status"][..],
        &["add"],
        &["rotate"],
        &["drop", "x", "--yes"],
    ] {
        let run = root_key(&place, arguments);
        assert!(!run.success, "{arguments:?}");
        assert!(run.err.contains("no tenmint deployment"), "{}", run.err);
        assert!(!place.root_key_file().exists());
    }
}

fn in_text(text: &str) -> Vec<RootKey> {
    RootKey::parse_all(text).unwrap()
}

async fn refusal(place: Place) -> (StartError, Place) {
    let outcome = Server::start(place, Clock::system()).await;
    outcome.err().expect("the server must not start")
}
