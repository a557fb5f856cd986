//! Root keys as whoever runs a deployment handles them: by command, beside the server.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::Value;
use tenmint::crypto::root_key::RootKey;
use tenmint::manage::root_keys::status::{Waiting, status as status_of};

use super::process::{Run, run};
use super::server::{Key, Place, Server};

/// Runs `tenmint root-key …` at a place.
pub fn root_key(place: &Place, arguments: &[&str]) -> Run {
    let (url, root) = (place.database_url(), place.root_key_file());
    let environment = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
    ];
    run(&[&["root-key"], arguments].concat(), &environment)
}

/// The same, which must succeed.
#[track_caller]
pub fn done(place: &Place, arguments: &[&str]) -> Run {
    let run = root_key(place, arguments);
    assert!(run.success, "{arguments:?}: {}{}", run.out, run.err);
    run
}

/// The same, which must be refused, and say this.
#[track_caller]
pub fn refused(place: &Place, arguments: &[&str], why: &str) {
    let run = root_key(place, arguments);
    assert!(!run.success && run.out.is_empty(), "{}", run.out);
    assert!(run.err.contains(why), "{why}: {}", run.err);
}

/// What `tenmint root-key status --json` says.
pub fn status(place: &Place) -> Value {
    serde_json::from_str(&done(place, &["status", "--json"]).out).unwrap()
}

/// What it says of one root key.
pub fn described(place: &Place, id: &str) -> Value {
    let status = status(place);
    let all = status["root_keys"].as_array().unwrap();
    let found = all.iter().find(|key| key["id"] == id);
    found.unwrap_or_else(|| panic!("{id}: {status}")).clone()
}

/// The root keys in the file of a place.
pub fn in_file(place: &Place) -> Vec<RootKey> {
    read(&place.root_key_file())
}

/// The root keys in a file.
pub fn read(path: &Path) -> Vec<RootKey> {
    RootKey::parse_all(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The id of the current root key.
pub fn current(place: &Place) -> String {
    status(place)["current"].as_str().unwrap().to_owned()
}

/// How long anything that a test waits for may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until a server works with the root keys as the database has them.
pub async fn followed(server: &Server) {
    let management = &server.app.management;
    until("the server follows", async || {
        let stored = management.store.root_keys().await.unwrap().unwrap();
        let keyring = management.crypto.keyring();
        let mut former = stored.former.iter();
        keyring.current().as_str() == stored.current
            && !former.any(|former| former.dropped_at.is_some() && keyring.holds(&former.id))
    })
    .await;
}

/// The API keys that need a former root key.
pub async fn needing(server: &Server) -> Vec<Waiting> {
    let management = &server.app.management;
    let (store, now) = (&management.store, server.clock.now());
    let found = status_of(store, &management.crypto.keyring(), now).await;
    found.unwrap().unwrap().api_keys
}

/// Uses keys until none of them needs a former root key any more.
pub async fn use_up(server: &Server, keys: &[&Key]) {
    until("each key is freed of its root key", async || {
        for key in keys {
            server.exchange(key, &[]).await.expect(StatusCode::OK);
        }
        let left = needing(server).await;
        !left
            .iter()
            .any(|left| keys.iter().any(|key| key.id == left.id))
    })
    .await;
}
