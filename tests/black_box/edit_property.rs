//! No sequence of management calls takes whoever makes them beyond what the secrets they began
//! with permitted: what came of it is tried by exchanges, and held against what was held.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use proptest::test_runner::{Config, RngSeed, TestRunner};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::edit_property_coalition::{Coalition, DAY, Done, Start};
use crate::support::server::{Place, Server};

const SCOPES: [&str; 10] = [
    "*",
    "read",
    "read:a/**",
    "read:a/b",
    "files.*",
    "files.read",
    "api_keys.update",
    "api_keys.*",
    "api_keys.any_network",
    "roles.write",
];
/// What the coalition's first key often holds itself.
const FEW: [&str; 5] = [
    "read:a/b",
    "files.read",
    "api_keys.update",
    "api_keys.create",
    "roles.write",
];
const NETWORKS: [&str; 4] = ["10.0.0.0/8", "128.0.0.0/1", "0.0.0.0/0", "::/0"];

/// One call, by somebody whose secret is known, about any key.
#[derive(Debug, Clone)]
struct Asked {
    actor: Index,
    target: Index,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Edit(Edit),
    Disable,
    Enable,
    Rotate { overlaps: bool },
    Finish,
    Create(Edit),
    EditRole(List),
    Wait,
}

#[derive(Debug, Clone)]
struct Edit {
    scopes: Option<List>,
    networks: Option<List>,
    days: Option<Option<u8>>,
    with_role: Option<bool>,
}

/// What a list becomes: these, beside what is there or instead of it.
#[derive(Debug, Clone)]
struct List {
    beside: bool,
    these: Vec<&'static str>,
}

fn list(of: &'static [&'static str]) -> impl Strategy<Value = List> {
    let these = subsequence(of, 1..3);
    (any::<bool>(), these).prop_map(|(beside, these)| List { beside, these })
}

fn scopes() -> impl Strategy<Value = List> {
    prop_oneof![list(&FEW), list(&SCOPES)]
}

fn edit() -> impl Strategy<Value = Edit> {
    let days = prop::option::of(1..4_u8);
    (
        prop::option::of(scopes()),
        prop::option::of(list(&NETWORKS)),
        prop::option::weighted(0.3, days),
        prop::option::weighted(0.3, any::<bool>()),
    )
        .prop_map(|(scopes, networks, days, with_role)| Edit {
            scopes,
            networks,
            days,
            with_role,
        })
}

fn with((edit, scopes): (Edit, List)) -> Edit {
    Edit {
        scopes: Some(scopes),
        ..edit
    }
}

/// A key that many may make.
fn modest() -> impl Strategy<Value = Edit> {
    let only = |text| {
        let these = vec![text];
        let beside = false;
        Some(List { beside, these })
    };
    Just(Edit {
        scopes: only("api_keys.update"),
        networks: only("10.0.0.0/8"),
        days: Some(Some(1)),
        with_role: None,
    })
}

fn asked() -> impl Strategy<Value = Asked> {
    let what = prop_oneof![
        6 => edit().prop_map(What::Edit),
        1 => Just(What::Disable),
        3 => Just(What::Enable),
        4 => any::<bool>().prop_map(|overlaps| What::Rotate { overlaps }),
        1 => Just(What::Finish),
        3 => prop_oneof![modest(), (edit(), scopes()).prop_map(with)].prop_map(What::Create),
        1 => scopes().prop_map(What::EditRole),
        1 => Just(What::Wait),
    ];
    (any::<Index>(), any::<Index>(), what).prop_map(|(actor, target, what)| Asked {
        actor,
        target,
        what,
    })
}

fn start() -> impl Strategy<Value = Start> {
    let more = [
        "api_keys.create",
        "roles.write",
        "read:a/**",
        "read:a/b",
        "files.read",
        "files.*",
    ];
    let networks = [
        &["0.0.0.0/0", "::/0"][..],
        &["128.0.0.0/1", "10.0.0.0/8"],
        &["10.0.0.0/8"],
    ];
    (
        subsequence(more.to_vec(), 2..=6),
        prop::bool::weighted(0.2),
        select(networks.to_vec()),
        prop::option::of(Just(2)),
        any::<[bool; 4]>(),
    )
        .prop_map(|(mut scopes, anywhere, networks, days, flags)| {
            if anywhere {
                scopes.push("api_keys.any_network");
            }
            Start {
                scopes,
                networks,
                days,
                bound_manages: flags[0],
                bound_days: flags[1].then_some(1),
                knows_disabled: flags[2],
                knows_expired: flags[3],
            }
        })
}

impl List {
    /// As JSON, for a key or role that shows `present`.
    fn of(&self, present: &Value) -> Value {
        let kept = present.as_array().filter(|_| self.beside);
        let mut all = kept.cloned().unwrap_or_default();
        all.extend(self.these.iter().map(|&text| json!(text)));
        Value::Array(all)
    }
}

impl Edit {
    /// As JSON, for a key as it is shown.
    fn of(&self, present: &Value) -> Value {
        let mut body = json!({});
        if let Some(scopes) = &self.scopes {
            body["scopes"] = scopes.of(&present["scopes"]);
        }
        if let Some(networks) = &self.networks {
            body["allowed_ip_cidrs"] = networks.of(&present["allowed_ip_cidrs"]);
        }
        match self.days {
            None => {}
            Some(None) => body["expires_at"] = Value::Null,
            Some(Some(days)) => body["expires_in_days"] = days.into(),
        }
        if let Some(with_role) = self.with_role {
            body["roles"] = if with_role { json!(["r0"]) } else { json!([]) };
        }
        body
    }
}

/// Makes the calls; counts those that were done.
async fn try_it(server: &Server, id: &str, start: &Start, sequence: &[Asked]) -> Done {
    let mut coalition = Coalition::gather(server, id, start).await;
    for Asked {
        actor,
        target,
        what,
    } in sequence
    {
        let actor = coalition.some_actor(*actor);
        let target = coalition.some_target(*target);
        let key = format!("/v1/api-keys/{}", coalition.keys[target].id);
        let shown = |path: &str| {
            let path = path.replace("/v1/", &format!("/v1/organizations/{id}/"));
            async move { server.operate(Method::GET, &path, Value::Null).await.body }
        };
        let post = |verb: &str| (Method::POST, format!("{key}/{verb}"), Value::Null);
        let (method, path, body) = match what {
            What::Edit(edit) => {
                let body = edit.of(&shown(&key).await);
                (Method::PATCH, key.clone(), body)
            }
            What::Disable => post("disable"),
            What::Enable => post("enable"),
            What::Finish => post("rotate/finish"),
            What::Rotate { overlaps } => {
                let body = json!({ "overlap_seconds": if *overlaps { 3600 } else { 0 } });
                (Method::POST, format!("{key}/rotate"), body)
            }
            What::Create(edit) => {
                let mut body = edit.of(&Value::Null);
                body["name"] = "x".into();
                if body["expires_at"].is_null() {
                    body.as_object_mut().unwrap().remove("expires_at");
                }
                (Method::POST, "/v1/api-keys".into(), body)
            }
            What::EditRole(list) => {
                let path = "/v1/roles/r0";
                let body = json!({ "scopes": list.of(&shown(path).await["scopes"]) });
                (Method::PATCH, path.into(), body)
            }
            What::Wait => {
                server.advance(DAY / 3);
                continue;
            }
        };
        let reply = coalition.call(actor, &method, &path, &body).await;
        if reply.status.is_success() {
            coalition.done(actor, &method, &path, &body, &reply).await;
        } else {
            let expected = [401, 403, 404, 409, 422].contains(&reply.status.as_u16());
            assert!(expected, "{}", reply.text);
        }
    }
    for days in [0, 1, 2] {
        server.advance(days * DAY + 1);
        coalition.stays_within_what_it_held().await;
    }
    coalition.count
}

#[tokio::test(flavor = "multi_thread")]
async fn no_sequence_of_calls_gives_more_than_was_held() {
    let place = Place::sqlite().with(&["--trusted-proxies", "127.0.0.1"]);
    let server = &place.start().await;
    let mut config = Config {
        cases: 24,
        failure_persistence: None,
        max_shrink_iters: 60,
        ..Config::default()
    };
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => RandomState::new().build_hasher().finish(),
    };
    config.rng_seed = RngSeed::Fixed(seed);
    let handle = Handle::current();
    let (organizations, counts) = (AtomicU32::new(0), Mutex::new(Vec::new()));
    let run = || {
        let cases = (start(), prop::collection::vec(asked(), 12..24));
        TestRunner::new(config).run(&cases, |(start, sequence)| {
            let id = format!("org{}", organizations.fetch_add(1, Ordering::Relaxed));
            let count = handle.block_on(try_it(server, &id, &start, &sequence));
            counts.lock().unwrap().push(count);
            Ok(())
        })
    };
    let outcome = tokio::task::block_in_place(run);
    assert!(
        outcome.is_ok(),
        "{}\nThe same again: PROPTEST_RNG_SEED={seed}",
        outcome.unwrap_err()
    );
    // Each kind of call that gives something is done, or the property would be empty.
    let all = counts.into_inner().unwrap().into_iter();
    let all = all.reduce(Done::plus).unwrap();
    let least = [all.edited, all.enabled, all.rotated, all.created];
    assert!(least.iter().all(|done| *done > 0), "{all:?}");
}
