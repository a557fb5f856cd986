//! A rotation of the root key that is killed at any instant, again and again, and then finished.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use tenmint::clock::Clock;

use super::audit_verification::holds;
use crate::on_both_engines;
use crate::support::process::{program, run};
use crate::support::root_keys::{current, described, done, in_file, root_key, status};
use crate::support::server::Server;

on_both_engines!(a_rotation_killed_at_any_instant_is_finished_by_the_next);

const ORGANIZATIONS: usize = 25;
const KILLS: u64 = 14;

async fn a_rotation_killed_at_any_instant_is_finished_by_the_next(server: Server) {
    let mut keys = Vec::new();
    for n in 0..ORGANIZATIONS {
        let id = format!("org{n:02}");
        let manager = server.organization(&id).await;
        keys.push((id, server.key_with(&manager, &["read"]).await));
    }
    let place = server.place();
    let old = tokio::task::block_in_place(|| current(place));
    let (url, root) = (place.database_url(), place.root_key_file());
    let environment = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
    ];
    // How long one takes is found out by the kills themselves: each lets the next go further.
    for kill in 0..KILLS {
        let mut child = program(&["root-key", "rotate"], &environment)
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_millis(40 + kill * 130 % 1_100);
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            let (id, key) = &keys[usize::try_from(kill).unwrap() % keys.len()];
            let reply = server.exchange_at(&format!("/orgs/{id}"), key, &[]).await;
            reply.expect(StatusCode::OK);
        }
        let _ = child.kill();
        child.wait().unwrap();
        // Whatever was done, all of it holds.
        let state = tokio::task::block_in_place(|| status(place));
        if kill % 5 == 0 {
            let verified = tokio::task::block_in_place(|| run(&["audit", "verify"], &environment));
            assert!(verified.success, "{}{}", verified.out, verified.err);
        }
        if state["current"] != *old && !state.to_string().contains("replacing") {
            break;
        }
    }
    if tokio::task::block_in_place(|| current(place)) == old
        || tokio::task::block_in_place(|| described(place, &old))["state"] == "replacing"
    {
        tokio::task::block_in_place(|| done(place, &["rotate"]));
    }

    let new = tokio::task::block_in_place(|| current(place));
    assert_ne!(new, old);
    let was = tokio::task::block_in_place(|| described(place, &old));
    assert_eq!(
        (&was["state"], &was["signing_keys"]),
        (&"former".into(), &0.into())
    );
    assert_eq!(
        in_file(place).len(),
        2,
        "one root key was added, however often it was begun"
    );
    let count = "SELECT CAST(COUNT(*) AS TEXT) FROM audit_events WHERE action = 'root_key.rotate'";
    let acts = place.query(count).await;
    assert_eq!(
        acts,
        [(ORGANIZATIONS + 1).to_string()],
        "each went over once"
    );
    for (id, _) in &keys {
        holds(
            &server,
            &["--organization", id],
            &format!("{id}: verified 4 entries"),
        );
    }
    let nothing = tokio::task::block_in_place(|| root_key(place, &["drop", &old, "--yes"]));
    assert!(nothing.err.contains("still need"), "{}", nothing.err);

    let clock = Clock::manual(server.clock.now());
    let server = Server::start(server.stop().await, clock).await;
    let server = server.map_err(|(why, _)| why).unwrap();
    for (id, key) in &keys {
        let reply = server.exchange_at(&format!("/orgs/{id}"), key, &[]).await;
        reply.expect(StatusCode::OK);
    }
}
