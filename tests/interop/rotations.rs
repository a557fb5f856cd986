//! Rotations under load, followed by validators that cache: PyJWT and jose, unmodified.
//!
//! Both cache the JWKS for as long as the server tells them, and fetch it earlier for an unknown
//! `kid` at most every 30 s. Here a cache lives for a second or five, so nothing but the lead saves
//! them from a key that they do not know; and where there is no lead, they are seen to refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tenmint::domain::timestamp::Timestamp;
use tokio::task::{JoinHandle, JoinSet};

use crate::runtime::{Runtime, node, python};
use crate::support::process::{Process, run};
use crate::support::server::{Key, Place, header};

const LEAD: Duration = Duration::from_secs(5);

/// The deployment, and two organizations.
const ISSUERS: usize = 3;

/// Ten rotations of each of three issuers: thirty in all, of which every key signs, and both validators
/// of its issuer meet it.
#[tokio::test(flavor = "multi_thread")]
async fn thirty_rotations_under_load_refuse_nobody_on_sqlite() {
    rotations_refuse_nobody(&Place::sqlite(), 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nine_rotations_under_load_refuse_nobody_on_postgres() {
    if let Some(place) = Place::postgres().await {
        rotations_refuse_nobody(&place, 9).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_is_refused_for_no_longer_than_the_answer_says() {
    let (Some(python), Some(node)) = (python(), node()) else {
        return;
    };
    let place = Place::sqlite();
    let mint = Mint::serve(&place, "9s", "5s");
    let issuers = [mint.issuer("acme").await];
    let followers = mint.follow(&place, &issuers, [&python, &node], 5).await;
    let rotated = mint.rotate(&issuers[0], json!({ "emergency": true })).await;
    let until: Timestamp = rotated["unknown_until"].as_str().unwrap().parse().unwrap();
    tokio::time::sleep(Duration::from_secs(8)).await;
    for (name, outcome) in followers.stop().await {
        let refused = outcome["refused"].as_object().unwrap();
        let causes: Vec<_> = refused.keys().map(String::as_str).collect();
        let unknown = ["PyJWKClientError", "ERR_JWKS_NO_MATCHING_KEY"];
        assert!(
            causes.len() == 1 && unknown.contains(&causes[0]),
            "a validator that caches must meet the key before it knows it: {name}: {outcome}"
        );
        // Two seconds for requests under way on a machine that is busy.
        let last = outcome["last_refused"].as_f64().unwrap();
        #[expect(clippy::cast_precision_loss, reason = "seconds of this century")]
        let bound = until.unix() as f64 + 2.0;
        assert!(last <= bound, "{name}: {outcome} after {until}");
        assert_eq!(outcome["kids"].as_array().unwrap().len(), 2, "{name}");
    }
}

/// So many rotations in all, as many of each issuer.
async fn rotations_refuse_nobody(place: &Place, in_all: usize) {
    let (Some(python), Some(node)) = (python(), node()) else {
        return;
    };
    let mint = Mint::serve(place, "5s", "1s");
    let acme = mint.issuer("acme").await;
    let globex = mint.issuer("globex").await;
    let deployment = Issuer {
        organization: "operator".to_owned(),
        path: String::new(),
        key: mint.operator.clone(),
    };
    let issuers: [Issuer; ISSUERS] = [deployment, acme, globex];
    let rotations = in_all / ISSUERS;
    let followers = mint.follow(place, &issuers, [&python, &node], 1).await;
    let watch = Watch::begin(&mint, &issuers);

    let mut rotating = JoinSet::new();
    for issuer in issuers.clone() {
        let mint = mint.clone();
        rotating.spawn(async move {
            let mut kids = Vec::new();
            for round in 0..rotations {
                // Every rotation changes the algorithm.
                let alg = ["EdDSA", "ES256"][round % 2];
                let rotated = mint.rotate(&issuer, json!({ "alg": alg })).await;
                let kid = rotated["kid"].as_str().unwrap();
                mint.until_it_signs(&issuer, kid).await;
                kids.push(kid.to_owned());
            }
            (issuer.organization, kids)
        });
    }
    // Whose keys were rotated to.
    let mut rotated: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    while let Some(done) = rotating.join_next().await {
        let (organization, kids) = done.unwrap();
        rotated.insert(organization, kids.into_iter().collect());
    }
    let all: BTreeSet<_> = rotated.values().flatten().collect();
    assert_eq!(all.len(), in_all, "each rotation is to a key of its own");
    // Validators meet the last key too.
    tokio::time::sleep(Duration::from_secs(2)).await;

    let seen = watch.end();
    // By how many validators each of these keys was met in a token.
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, outcome) in followers.stop().await {
        assert_eq!(outcome["refused"], json!({}), "{name}: {outcome}");
        let kids = outcome["kids"].as_array().unwrap();
        assert_eq!(kids.len(), rotations + 1, "{name}: {outcome}");
        for kid in kids {
            let known = all.iter().find(|known| ***known == *kid);
            *met.entry(known.map_or("first", |kid| kid.as_str()))
                .or_default() += 1;
        }
        let validated = outcome["validated"].as_u64().unwrap();
        assert!(validated > 20 * rotations as u64, "{name}: {outcome}");
    }
    let first = met.remove("first");
    assert_eq!(
        first,
        Some(2 * ISSUERS),
        "each began with its issuer's first"
    );
    assert_eq!(met.len(), in_all, "each key signed: {met:?}");
    assert!(met.values().all(|validators| *validators == 2), "{met:?}");
    for issuer in &issuers {
        for key in mint.signing_keys(issuer).await {
            // As the server tells it.
            let time = |name: &str| -> Timestamp { key[name].as_str().unwrap().parse().unwrap() };
            let (published, activated) = (time("published_at"), time("activated_at"));
            let first = key["created_at"] == key["activated_at"];
            assert!(first || published.plus(LEAD) <= activated, "{key}");
            // And as it was seen from outside: times are whole seconds, and looking takes a while.
            let kid = key["kid"].as_str().unwrap();
            let [published, signed] = seen[kid];
            let (published, signed) = (published.unwrap(), signed.unwrap());
            let known = signed.saturating_duration_since(published);
            let least = LEAD.saturating_sub(Duration::from_millis(1_500));
            assert!(first || known >= least, "{known:?}: {key}");
        }
    }
}

/// A server in a process of its own, as its operator sees it.
#[derive(Clone)]
struct Mint {
    process: Arc<Process>,
    http: Client,
    operator: Key,
}

#[derive(Clone)]
struct Issuer {
    organization: String,
    /// Below the base URL.
    path: String,
    /// One of its API keys.
    key: Key,
}

impl Mint {
    fn serve(place: &Place, lead: &str, max_age: &str) -> Self {
        let times = ["--signing-key-lead", lead, "--jwks-max-age", max_age];
        // One machine has one clock, and its database beside it.
        let near = ["--clock-skew", "1s", "--stale-limit", "3s"];
        let flags = [&times[..], &near].concat();
        let process = Process::serve(place, &[&["serve"], &flags[..]].concat(), &[]);
        let (url, root) = (place.database_url(), place.root_key_file());
        let environment = [
            ("TENMINT_DATABASE_URL", &*url),
            ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
        ];
        let made = run(&["operator-key", "--quiet"], &environment);
        let secret = made.out.trim().to_owned();
        let id = format!("key_{}", secret.rsplit('_').nth(1).unwrap());
        Self {
            process: Arc::new(process),
            http: Client::new(),
            operator: Key { id, secret },
        }
    }

    async fn operate(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let url = format!("{}{path}", self.process.base);
        let request = self.http.request(method, url);
        let request = request.bearer_auth(&self.operator.secret).json(&body);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn issuer(&self, organization: &str) -> Issuer {
        let body = json!({ "id": organization });
        let made = self.operate(Method::POST, "/v1/organizations", body).await;
        assert_eq!(made.0, StatusCode::CREATED);
        let path = format!("/v1/organizations/{organization}/bootstrap");
        let (status, body) = self.operate(Method::POST, &path, json!({})).await;
        assert_eq!(status, StatusCode::CREATED);
        Issuer {
            organization: organization.to_owned(),
            path: format!("/orgs/{organization}"),
            key: Key::of(&body["management_key"]),
        }
    }

    async fn rotate(&self, issuer: &Issuer, body: Value) -> Value {
        let path = format!(
            "/v1/organizations/{}/signing-keys/rotate",
            issuer.organization
        );
        let (status, body) = self.operate(Method::POST, &path, body).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body
    }

    async fn signing_keys(&self, issuer: &Issuer) -> Vec<Value> {
        let path = format!(
            "/v1/organizations/{}/signing-keys?limit=100",
            issuer.organization
        );
        let (status, body) = self.operate(Method::GET, &path, json!({})).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["data"].as_array().unwrap().clone()
    }

    async fn until_it_signs(&self, issuer: &Issuer, kid: &str) {
        for _ in 0..600 {
            let keys = self.signing_keys(issuer).await;
            let signs = |key: &Value| key["kid"] == kid && key["status"] == "active";
            if keys.iter().any(signs) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{kid} did not begin to sign");
    }

    fn jwks_url(&self, issuer: &Issuer) -> String {
        format!("{}{}/.well-known/jwks.json", self.process.base, issuer.path)
    }

    fn token_url(&self, issuer: &Issuer) -> String {
        format!("{}{}/oauth/token", self.process.base, issuer.path)
    }

    /// Lets each library follow each issuer, and waits until all have validated a token.
    async fn follow(
        &self,
        place: &Place,
        issuers: &[Issuer],
        runtimes: [&Runtime; 2],
        max_age: u64,
    ) -> Followers {
        let stop = place.folder().join("stop");
        let mut running = Vec::new();
        let mut beginnings = Vec::new();
        for issuer in issuers {
            let drivers = ["follow_pyjwt.py", "follow_jose.mjs"];
            for (runtime, driver) in runtimes.into_iter().zip(drivers) {
                let name = format!("{driver} of {}", issuer.organization);
                let ready = place.folder().join(&name);
                let text = |path: &Path| path.to_str().unwrap().to_owned();
                let base = &self.process.base;
                let inputs = [
                    ("TOKEN_URL", self.token_url(issuer)),
                    ("JWKS_URL", self.jwks_url(issuer)),
                    ("ISSUER", format!("{base}{}", issuer.path)),
                    ("AUDIENCE", format!("{base}/api")),
                    ("CLIENT_ID", issuer.key.id.clone()),
                    ("CLIENT_SECRET", issuer.key.secret.clone()),
                    ("MAX_AGE", max_age.to_string()),
                    ("READY", text(&ready)),
                    ("STOP", text(&stop)),
                ];
                let runtime = runtime.clone();
                beginnings.push(ready);
                let follower = tokio::spawn(async move {
                    let inputs = inputs.each_ref().map(|(name, text)| (*name, &**text));
                    runtime.run(driver, &inputs).await
                });
                running.push((name, follower));
            }
        }
        for ready in beginnings {
            while !ready.exists() {
                let ended = running.iter().find(|(_, follower)| follower.is_finished());
                assert!(ended.is_none(), "{} ended", ended.unwrap().0);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Followers { running, stop }
    }
}

/// Libraries that obtain and validate tokens, each in a process of its own.
struct Followers {
    running: Vec<(String, JoinHandle<Value>)>,
    stop: PathBuf,
}

impl Followers {
    /// What came of it.
    async fn stop(self) -> Vec<(String, Value)> {
        std::fs::write(&self.stop, "").unwrap();
        let mut outcomes = Vec::new();
        for (name, follower) in self.running {
            outcomes.push((name, follower.await.unwrap()));
        }
        outcomes
    }
}

/// When each `kid` was first found in a JWKS, and when a token of it was first obtained.
type Seen = BTreeMap<String, [Option<Instant>; 2]>;

/// Load, and somebody who looks at what it brings.
struct Watch {
    seen: Arc<Mutex<Seen>>,
    tasks: JoinSet<()>,
}

impl Watch {
    fn begin(mint: &Mint, issuers: &[Issuer]) -> Self {
        let seen = Arc::new(Mutex::new(Seen::new()));
        let mut tasks = JoinSet::new();
        for issuer in issuers {
            let (url, http) = (mint.jwks_url(issuer), mint.http.clone());
            let notes = Arc::clone(&seen);
            tasks.spawn(async move {
                loop {
                    let jwks: Value = http.get(&url).send().await.unwrap().json().await.unwrap();
                    for key in jwks["keys"].as_array().unwrap() {
                        note(&notes, key["kid"].as_str().unwrap(), 0);
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
            for _ in 0..2 {
                let (url, http) = (mint.token_url(issuer), mint.http.clone());
                let (key, notes) = (issuer.key.clone(), Arc::clone(&seen));
                tasks.spawn(async move {
                    loop {
                        let request = http
                            .post(&url)
                            .basic_auth(&key.id, Some(&key.secret))
                            .form(&[("grant_type", "client_credentials")]);
                        let answer: Value = request.send().await.unwrap().json().await.unwrap();
                        let token = answer["access_token"].as_str().unwrap();
                        note(&notes, header(token)["kid"].as_str().unwrap(), 1);
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                });
            }
        }
        Self { seen, tasks }
    }

    /// What was seen. Whoever looked must not have failed meanwhile.
    fn end(mut self) -> Seen {
        assert!(self.tasks.try_join_next().is_none(), "a request failed");
        self.tasks.abort_all();
        self.seen.lock().unwrap().clone()
    }
}

fn note(seen: &Mutex<Seen>, kid: &str, which: usize) {
    let mut seen = seen.lock().unwrap();
    let times = seen.entry(kid.to_owned()).or_default();
    times[which].get_or_insert_with(Instant::now);
}
