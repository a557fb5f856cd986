//! `kill -9` at any instant of a rotation: every issuer still has one key that signs, nothing that
//! was acknowledged is lost, and what was signed before verifies after.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use ring::rand::SystemRandom;
use serde_json::{Value, json};

use super::token_claims::signed_by;
use crate::support::process::{Process, run};
use crate::support::server::{Key, Place, header};

/// So many that a pass of the jobs takes a while to be killed in.
const ISSUERS: usize = 16;

/// One machine has one clock, and nobody is cut off from its own file: keys that are rotated sign
/// soon.
pub const SERVE: [&str; 9] = [
    "serve",
    "--signing-key-lead",
    "5s",
    "--stale-limit",
    "3s",
    "--jwks-max-age",
    "1s",
    "--clock-skew",
    "1s",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_instant_leaves_every_issuer_sound_on_sqlite() {
    killed_again_and_again(&Place::sqlite(), 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_instant_leaves_every_issuer_sound_on_postgres() {
    if let Some(place) = Place::postgres().await {
        killed_again_and_again(&place, 6).await;
    }
}

async fn killed_again_and_again(place: &Place, kills: usize) {
    let mut process = Process::serve(place, &SERVE, &[]);
    let operator = run_beside(place, &["operator-key", "--quiet"]);
    let issuers = Arc::new(issuers(&process.base, operator.trim()).await);
    let first = place.query("SELECT kid FROM signing_keys").await;
    let first: BTreeSet<String> = first.into_iter().collect();
    let mut acknowledged = BTreeSet::new();
    let mut in_the_middle = 0;
    for kill in 0..kills {
        // What signs no more before this round signs nothing in it.
        let retiring = "SELECT kid FROM signing_keys
             WHERE retiring_at IS NOT NULL AND retired_at IS NULL";
        let retiring = place.query(retiring).await;
        let work = Work::begin(&process.base, operator.trim(), &issuers);
        // Some die while they publish and retire, some while keys begin to sign.
        let instant = random_below(if kill % 2 == 0 { 700 } else { 6_000 });
        tokio::time::sleep(Duration::from_millis(instant)).await;
        process.kill();
        let (rotated, tokens) = work.end().await;
        acknowledged.extend(rotated);

        is_sound(place, &acknowledged, &first).await;
        let next = "SELECT organization_id FROM signing_keys
             WHERE activated_at IS NULL AND retired_at IS NULL";
        let next = place.query(next).await.len();
        in_the_middle += usize::from(0 < next && next < ISSUERS + 1);
        run_beside(place, &["audit", "verify"]);

        make_due(place, &retiring).await;
        process = Process::serve(place, &SERVE, &[]);
        for (issuer, token) in tokens {
            assert!(verifies(&process.base, &issuer, &token).await, "{issuer}");
        }
    }
    assert!(in_the_middle > 0, "no kill came in the middle of anything");
    // It goes on from there: whatever is under way comes to its end.
    until_at_rest(place).await;
    for (step, text) in [
        ("publish", "signing_key.publish"),
        ("activate", "signing_key.activate"),
        ("retire", "signing_key.retire"),
    ] {
        let text = format!("SELECT target FROM audit_events WHERE action = '{text}'");
        assert!(!place.query(&text).await.is_empty(), "none to {step}");
    }
    is_sound(place, &acknowledged, &first).await;
    run_beside(place, &["audit", "verify"]);
    assert!(process.stop());
}

/// What is true at every instant, also when nobody serves. Of the `first` keys no audit entry tells
/// that they began to sign.
pub async fn is_sound(place: &Place, acknowledged: &BTreeSet<String>, first: &BTreeSet<String>) {
    let empty = Vec::<String>::new();
    let signs = "SELECT organization_id FROM signing_keys GROUP BY organization_id
         HAVING SUM(CASE WHEN activated_at IS NOT NULL AND retiring_at IS NULL
                          AND retired_at IS NULL THEN 1 ELSE 0 END) <> 1
             OR SUM(CASE WHEN activated_at IS NULL AND retired_at IS NULL
                         THEN 1 ELSE 0 END) > 1";
    assert_eq!(place.query(signs).await, empty, "one signs, one is next");
    let halves = "SELECT kid FROM signing_keys
         WHERE (retired_at IS NOT NULL AND length(sealed) > 0)
            OR (retired_at IS NULL AND length(sealed) = 0)";
    assert_eq!(place.query(halves).await, empty, "private halves");
    // Each step and its audit entry are one.
    let untold = "SELECT kid FROM signing_keys AS k
         WHERE (activated_at IS NOT NULL AND NOT EXISTS (
                  SELECT 1 FROM audit_events AS e WHERE e.target = k.kid
                     AND e.action IN ('signing_key.activate', 'signing_key.rotate')
                     OR e.action = 'signing_key.revoke'
                     AND e.details LIKE '%\"replaced_by\":\"' || k.kid || '\"%'))
            OR (retired_at IS NOT NULL AND NOT EXISTS (
                  SELECT 1 FROM audit_events AS e WHERE e.organization_id = k.organization_id
                     AND (e.target = k.kid
                          AND e.action IN ('signing_key.retire', 'signing_key.revoke')
                          OR e.details LIKE '%\"given_up\":\"' || k.kid || '\"%')))";
    let untold = place.query(untold).await.into_iter();
    let untold: Vec<_> = untold.filter(|kid| !first.contains(kid)).collect();
    assert_eq!(untold, empty, "steps without an audit entry");
    let there = place.query("SELECT kid FROM signing_keys").await;
    let there: BTreeSet<_> = there.into_iter().collect();
    let lost: Vec<_> = acknowledged.difference(&there).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
}

/// Lets the active keys be a hundred days old, and what `retiring` names have outlived its tokens.
async fn make_due(place: &Place, retiring: &[String]) {
    let old = "UPDATE signing_keys SET activated_at = activated_at - 8640000
         WHERE activated_at IS NOT NULL AND retiring_at IS NULL AND retired_at IS NULL";
    place.execute(old).await;
    // Two minutes pass: by then nobody waits for the node that died in the middle of its work.
    place.execute("DELETE FROM leases").await;
    let kids: Vec<_> = retiring.iter().map(|kid| format!("'{kid}'")).collect();
    if !kids.is_empty() {
        let over = format!(
            "UPDATE signing_keys SET retires_at = 1000, due_at = 1000
             WHERE retired_at IS NULL AND kid IN ({})",
            kids.join(", ")
        );
        place.execute(&over).await;
    }
}

/// Waits until no key is to begin to sign.
async fn until_at_rest(place: &Place) {
    let next = "SELECT kid FROM signing_keys WHERE activated_at IS NULL AND retired_at IS NULL";
    for _ in 0..600 {
        if place.query(next).await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("keys that are next do not begin to sign");
}

/// Rotations by hand and exchanges, for as long as anybody answers.
struct Work {
    rotated: Arc<Mutex<Vec<String>>>,
    tokens: Arc<Mutex<Vec<(String, String)>>>,
    tasks: tokio::task::JoinSet<()>,
}

impl Work {
    fn begin(base: &str, operator: &str, issuers: &Arc<Vec<(String, Key)>>) -> Self {
        let rotated: Arc<Mutex<Vec<String>>> = Arc::default();
        let tokens: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let mut tasks = tokio::task::JoinSet::new();
        let (to, key) = (base.to_owned(), operator.to_owned());
        let (all, notes) = (Arc::clone(issuers), Arc::clone(&rotated));
        tasks.spawn(async move {
            let http = Client::new();
            for turn in usize::try_from(random_below(100)).unwrap().. {
                let (organization, _) = &all[turn % ISSUERS];
                let url = format!("{to}/v1/organizations/{organization}/signing-keys/rotate");
                let body = json!({ "emergency": turn % 5 == 0 });
                let sent = http.post(url).bearer_auth(&key).json(&body).send().await;
                let Ok(answer) = sent else { return };
                let status = answer.status();
                let Ok(body) = answer.json::<Value>().await else {
                    return;
                };
                match status {
                    StatusCode::CREATED => {
                        let kid = body["kid"].as_str().unwrap().to_owned();
                        notes.lock().unwrap().push(kid);
                    }
                    other => assert_eq!(other, StatusCode::CONFLICT, "{body}"),
                }
            }
        });
        let (to, all, notes) = (base.to_owned(), Arc::clone(issuers), Arc::clone(&tokens));
        tasks.spawn(async move {
            let http = Client::new();
            for (organization, key) in all.iter().cycle() {
                let sent = http
                    .post(format!("{to}/orgs/{organization}/oauth/token"))
                    .basic_auth(&key.id, Some(&key.secret))
                    .form(&[("grant_type", "client_credentials")])
                    .send();
                let Ok(answer) = sent.await else { return };
                let Ok(body) = answer.json::<Value>().await else {
                    return;
                };
                let token = body["access_token"].as_str();
                let token = token.unwrap_or_else(|| panic!("{body}")).to_owned();
                notes.lock().unwrap().push((organization.clone(), token));
            }
        });
        Self {
            rotated,
            tokens,
            tasks,
        }
    }

    /// What was acknowledged: the `kid`s of rotations, and tokens with their issuers.
    async fn end(mut self) -> (Vec<String>, Vec<(String, String)>) {
        while let Some(done) = self.tasks.join_next().await {
            done.unwrap();
        }
        let rotated = self.rotated.lock().unwrap().clone();
        let tokens = self.tokens.lock().unwrap().clone();
        (rotated, tokens)
    }
}

/// Whether a validator that knows nothing yet accepts a token.
pub async fn verifies(base: &str, issuer: &str, token: &str) -> bool {
    let url = format!("{base}/orgs/{issuer}/.well-known/jwks.json");
    let jwks = reqwest::get(url).await.unwrap();
    let jwks: Value = jwks.json().await.unwrap();
    let kid = header(token)["kid"].clone();
    let keys = jwks["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["kid"] == kid);
    key.is_some_and(|key| signed_by(key, token))
}

/// Organizations, each with an API key.
async fn issuers(base: &str, operator: &str) -> Vec<(String, Key)> {
    let http = Client::new();
    let post = async |path: &str, body: Value| {
        let request = http.post(format!("{base}{path}"));
        let request = request.bearer_auth(operator).json(&body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        answer.json::<Value>().await.unwrap()
    };
    let mut issuers = Vec::new();
    for number in 0..ISSUERS {
        let id = format!("issuer-{number}");
        post("/v1/organizations", json!({ "id": id })).await;
        let path = format!("/v1/organizations/{id}/bootstrap");
        let made = post(&path, json!({})).await;
        issuers.push((id, Key::of(&made["management_key"])));
    }
    issuers
}

/// Runs a command on the database that must succeed, and gives what it prints.
pub fn run_beside(place: &Place, words: &[&str]) -> String {
    let (url, root) = (place.database_url(), place.root_key_file());
    let environment = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
    ];
    let done = run(words, &environment);
    assert!(done.success, "{words:?}: {}{}", done.out, done.err);
    done.out
}

fn random_below(bound: u64) -> u64 {
    let bytes = ring::rand::generate(&SystemRandom::new()).unwrap();
    u64::from_ne_bytes(bytes.expose()) % bound
}
