//! Verifier, introspection and gateway agree on every token: whatever its key has been through, from
//! every address, for every scope, issuer and audience.
//!
//! They differ in one thing, which is meant: a token from before its key was narrowed is worth what is
//! left of it to those who know the key, and nothing to a verifier that only hears of it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenmint::verifier::{Fetch, Fetching, Follow, Https, Request, Verifier};
use tokio::runtime::Runtime;

use crate::issuer::AUDIENCE;
use crate::support::server::{Key, Place, Reply, Server, claims};

const OTHER: &str = "https://billing.example";
const ISSUERS: [&str; 4] = ["", "/orgs/acme", "/orgs/globex", "/orgs/initech"];
const AUDIENCES: [&str; 2] = [AUDIENCE, OTHER];
const ADDRESSES: [&str; 4] = [
    "203.0.113.9",
    "198.51.100.7",
    "2001:db8::7",
    "::ffff:203.0.113.1",
];
const SCOPES: [&str; 6] = [
    "",
    "read:a/1",
    "read",
    "write",
    "read:a/1 write",
    "usage.read",
];

/// What can happen to a key while a token of it is out.
const FATES: [&str; 12] = [
    "nothing",
    "revoke",
    "disable",
    "disable and enable",
    "narrow scopes",
    "narrow networks",
    "bring the end nearer",
    "widen",
    "rename",
    "narrow its role",
    "deny the token",
    "rotate",
];

/// What keys are made as.
const SORTS: [(&str, &[&str], &[&str]); 3] = [
    ("whole", &["*"], &["0.0.0.0/0", "::/0"]),
    (
        "bound",
        &["read:a/*", "write", "files"],
        &["203.0.113.0/24", "2001:db8::/32", "127.0.0.0/8"],
    ),
    ("by role", &["files"], &["203.0.113.9", "127.0.0.0/8"]),
];

struct World {
    runtime: Runtime,
    server: Server,
    verifiers: Vec<(&'static str, &'static str, Verifier)>,
    tokens: Vec<Shown>,
}

/// A token, and what it is.
#[derive(Clone, Debug)]
struct Shown {
    what: String,
    token: String,
    issuer: &'static str,
    /// Whether its key was narrowed after it was issued.
    is_narrowed: bool,
}

/// Counts what was fetched.
struct Counting(Https, Arc<AtomicUsize>);

impl Fetch for Counting {
    fn get(&self, url: &str) -> Fetching {
        self.0.get(url)
    }

    fn newer(&self, url: &str, etag: Option<&str>, patience: Duration) -> Fetching {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.newer(url, etag, patience)
    }
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let (server, verifiers, tokens) = runtime.block_on(async {
        let audiences = format!("{AUDIENCE},{OTHER}");
        let flags = ["--audience", &audiences, "--gateway-peers", "127.0.0.1"];
        let server = Place::sqlite().with(&flags).start().await;
        let tokens = tokens(&server).await;
        let mut verifiers = Vec::new();
        for issuer in ISSUERS {
            for audience in AUDIENCES {
                let fetches = Arc::new(AtomicUsize::new(0));
                let builder = Verifier::builder(&format!("{}{issuer}", server.base));
                let follow = Follow::polling().every(Duration::from_millis(20));
                let builder = builder.audience(audience).leeway(Duration::ZERO);
                let builder = builder.fetch(Counting(Https::new(), Arc::clone(&fetches)));
                let builder = builder
                    .clock(server.clock.clone())
                    .follow_revocations(follow);
                let verifier = builder.build().unwrap();
                // A suspended organization still has keys, and a feed that says that it is.
                verifier.ready().await.unwrap();
                while fetches.load(Ordering::SeqCst) < 3 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                verifiers.push((issuer, audience, verifier));
            }
        }
        (server, verifiers, tokens)
    });
    World {
        runtime,
        server,
        verifiers,
        tokens,
    }
});

/// Tokens of every kind of key and issuer, and then every fate. The tokens of globex are of a
/// suspended organization, those of initech's own issuer of a signing key that is withdrawn.
async fn tokens(server: &Server) -> Vec<Shown> {
    let mut shown = Vec::new();
    let mut expired = Vec::new();
    for organization in ["acme", "globex", "initech"] {
        let manager = server.organization(organization).await;
        let own = ISSUERS
            .into_iter()
            .find(|issuer| issuer.ends_with(organization))
            .unwrap();
        let key = server.key_with(&manager, &["*"]).await;
        for issuer in ["", own] {
            expired.push(obtain(server, issuer, &key, AUDIENCE, "expired").await);
        }
    }
    server.advance(601);
    shown.append(&mut expired);
    for organization in ["acme", "globex", "initech"] {
        let own = ISSUERS
            .into_iter()
            .find(|issuer| issuer.ends_with(organization))
            .unwrap();
        let fates: &[&str] = if organization == "acme" {
            &FATES
        } else {
            &FATES[..1]
        };
        for fate in fates {
            for (sort, scopes, networks) in SORTS {
                let root = format!("/v1/organizations/{organization}");
                let role = format!("role-{}", shown.len());
                let body = json!({ "name": role, "scopes": ["read", "write:x"] });
                operate(server, Method::POST, &format!("{root}/roles"), body).await;
                let roles: &[&str] = if sort == "by role" { &[&role] } else { &[] };
                let body = json!({
                    "name": "k", "scopes": scopes, "roles": roles, "allowed_ip_cidrs": networks,
                });
                let path = format!("{root}/api-keys");
                let key = Key::of(&operate(server, Method::POST, &path, body).await.body);
                let mut out = Vec::new();
                for issuer in ["", own] {
                    for audience in AUDIENCES {
                        let what = format!("{organization}, {fate}, {sort}");
                        out.push(obtain(server, issuer, &key, audience, &what).await);
                    }
                }
                let is_narrowed = befall(server, &root, &key, fate, &role, &out).await;
                let is_narrowed = is_narrowed && (*fate != "narrow its role" || sort == "by role");
                for one in &mut out {
                    one.is_narrowed = is_narrowed;
                }
                if is_narrowed || *fate == "disable and enable" || *fate == "widen" {
                    let what = format!("{organization}, after {fate}, {sort}");
                    out.push(obtain(server, own, &key, AUDIENCE, &what).await);
                }
                shown.append(&mut out);
            }
        }
    }
    let suspend = "/v1/organizations/globex/suspend";
    operate(server, Method::POST, suspend, Value::Null).await;
    let path = "/v1/organizations/initech/signing-keys";
    let listed = server.operate(Method::GET, path, Value::Null).await;
    let kid = listed.body["data"][0]["kid"].as_str().unwrap();
    let path = format!("{path}/{kid}/revoke");
    operate(server, Method::POST, &path, Value::Null).await;
    let management = server.management_token(&server.operator_key(), &[]).await;
    let feed = server.get("/.well-known/revocations").await.text;
    for (what, token) in [("for the management plane", management), ("a feed", feed)] {
        let what = what.to_owned();
        shown.push(Shown {
            what,
            token,
            issuer: "",
            is_narrowed: false,
        });
    }
    shown
}

async fn obtain(
    server: &Server,
    issuer: &'static str,
    key: &Key,
    audience: &str,
    what: &str,
) -> Shown {
    let reply = server
        .exchange_at(issuer, key, &[("resource", audience)])
        .await;
    let token = reply.expect(StatusCode::OK).body["access_token"]
        .as_str()
        .unwrap();
    Shown {
        what: format!("{what}, at {issuer:?}, for {audience}"),
        token: token.to_owned(),
        issuer,
        is_narrowed: false,
    }
}

async fn operate(server: &Server, method: Method, path: &str, body: Value) -> Reply {
    let reply = server.operate(method, path, body).await;
    assert!(reply.status.is_success(), "{path}: {}", reply.text);
    reply
}

/// Whether it narrowed the key.
async fn befall(
    server: &Server,
    root: &str,
    key: &Key,
    fate: &str,
    role: &str,
    out: &[Shown],
) -> bool {
    let of_key = format!("{root}/api-keys/{}", key.id);
    let post = async |verb: &str, body: Value| {
        operate(server, Method::POST, &format!("{of_key}/{verb}"), body).await;
    };
    let edit = async |path: &str, body: Value| {
        operate(server, Method::PATCH, path, body).await;
    };
    match fate {
        "nothing" => {}
        "revoke" | "disable" => post(fate, Value::Null).await,
        "disable and enable" => {
            post("disable", Value::Null).await;
            post("enable", Value::Null).await;
        }
        "narrow scopes" => {
            let body = json!({ "scopes": ["read:a/1"], "roles": [] });
            edit(&of_key, body).await;
            return true;
        }
        "narrow networks" => {
            let body = json!({ "allowed_ip_cidrs": ["203.0.113.9", "127.0.0.1"] });
            edit(&of_key, body).await;
            return true;
        }
        "bring the end nearer" => {
            let end = server.clock.now().plus(Duration::from_mins(2)).to_string();
            edit(&of_key, json!({ "expires_at": end })).await;
            return true;
        }
        "widen" => {
            let body = json!({
                "scopes": ["*"], "allowed_ip_cidrs": ["0.0.0.0/0", "::/0"],
            });
            edit(&of_key, body).await;
        }
        "rename" => edit(&of_key, json!({ "name": "another" })).await,
        "narrow its role" => {
            edit(
                &format!("{root}/roles/{role}"),
                json!({ "scopes": ["read:a/**"] }),
            )
            .await;
            return true;
        }
        "deny the token" => {
            for shown in out {
                let asked = server.request(Method::POST, &format!("{}/oauth/revoke", shown.issuer));
                let asked = asked.basic_auth(&key.id, Some(&key.secret));
                let denied = Reply::of(asked.form(&[("token", &shown.token)])).await;
                denied.expect(StatusCode::OK);
            }
        }
        "rotate" => post(fate, json!({ "overlap_seconds": 0 })).await,
        other => panic!("{other}"),
    }
    false
}

/// What is asked of a token.
#[derive(Clone, Copy, Debug)]
struct Asked {
    issuer: &'static str,
    audience: &'static str,
    address: &'static str,
    scope: &'static str,
}

fn asked() -> impl Strategy<Value = Asked> {
    (
        select(&ISSUERS[..]),
        select(&AUDIENCES[..]),
        select(&ADDRESSES[..]),
        select(&SCOPES[..]),
    )
        .prop_map(|(issuer, audience, address, scope)| Asked {
            issuer,
            audience,
            address,
            scope,
        })
}

/// What each of them says of a case: introspection, the gateway, the verifier.
async fn verdicts(world: &World, case: Asked, shown: &Shown) -> [bool; 3] {
    let issuer = case.issuer;
    let server = &world.server;
    let operator = server.operator_key();
    let form = [
        ("token", &*shown.token),
        ("ip", case.address),
        ("scope", case.scope),
    ];
    let asked = server.request(Method::POST, &format!("{issuer}/oauth/introspect"));
    let asked = asked.basic_auth(&operator.id, Some(&operator.secret));
    let told = Reply::of(asked.form(&form)).await;
    let told = &told.expect(StatusCode::OK).body;
    // Whoever asks compares the audience.
    let introspected = told["active"] == true && told["aud"] == case.audience;

    let asked = server.request(Method::GET, "/gateway/verify");
    let asked = asked.query(&[("scope", case.scope), ("audience", case.audience)]);
    let asked = asked.header("x-forwarded-for", case.address);
    let passes = Reply::of(asked.bearer_auth(&shown.token)).await.status;
    assert!([200, 401, 403].contains(&passes.as_u16()), "{passes}");

    let (.., verifier) = world
        .verifiers
        .iter()
        .find(|(of, audience, _)| *of == issuer && *audience == case.audience)
        .unwrap();
    let ip: IpAddr = case.address.parse().unwrap();
    let verified = verifier
        .verify(&shown.token, &Request { ip: Some(ip) })
        .await;
    let verified = verified.is_ok_and(|verified| {
        let mut asked = case.scope.split(' ').filter(|scope| !scope.is_empty());
        asked.all(|scope| verified.require(scope).is_ok())
    });
    [introspected, passes == StatusCode::OK, verified]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(700))]

    #[test]
    fn one_token_is_worth_the_same_to_all(
        token in any::<Index>(),
        asked in asked(),
        at_own in prop::bool::weighted(0.8),
    ) {
        let world = &*WORLD;
        let shown = token.get(&world.tokens);
        let issuer = if at_own { shown.issuer } else { asked.issuer };
        let asked = Asked { issuer, ..asked };
        let said = world.runtime.block_on(verdicts(world, asked, shown));
        let [introspected, passes, verified] = said;
        if shown.issuer == issuer {
            prop_assert_eq!(introspected, passes, "{}", shown.what);
        } else {
            // A gateway takes tokens of every issuer of the deployment; nobody else does.
            prop_assert!(!introspected && !verified, "{}", shown.what);
        }
        if shown.is_narrowed {
            prop_assert!(!verified, "{}", shown.what);
        } else {
            prop_assert_eq!(verified, introspected, "{}", shown.what);
        }
    }
}

/// The cases are worth something: there are many of either verdict, of each kind of token.
#[test]
fn the_cases_are_of_both_kinds() {
    let world = &*WORLD;
    let good = |shown: &&Shown| {
        let audience = claims(&shown.token)["aud"].clone();
        let Some(audience) = AUDIENCES.into_iter().find(|known| audience == *known) else {
            return false;
        };
        let case = Asked {
            issuer: shown.issuer,
            audience,
            address: "203.0.113.9",
            scope: "",
        };
        let said = world.runtime.block_on(verdicts(world, case, shown));
        said == [true; 3]
    };
    let count = world.tokens.iter().filter(good).count();
    assert!(
        count > 60 && world.tokens.len() - count > 60,
        "{count} of {}",
        world.tokens.len()
    );
    for fate in [
        "nothing",
        "widen",
        "rename",
        "disable and enable",
        "after narrow scopes",
        "rotate",
    ] {
        let of_fate = |shown: &&Shown| shown.what.starts_with(&format!("acme, {fate}"));
        assert!(
            world
                .tokens
                .iter()
                .filter(of_fate)
                .all(|shown| good(&shown)),
            "{fate}"
        );
    }
}
