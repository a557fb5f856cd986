//! No sequence of writes of roles and keys gives anybody more than its writer held, by a
//! reckoning of the test's own.

use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use proptest::test_runner::{Config, TestRunner};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::authority_property::{
    ACTIONS, ADDRESSES, NETWORKS, RESOURCES, SCOPES, any_contains, any_holds, any_permits, chosen,
};
use crate::on_both_engines;
use crate::support::server::{Key, Server};

on_both_engines!(no_sequence_of_roles_gives_more_than_was_held);

#[derive(Debug, Clone, Copy)]
enum What {
    NewRole,
    EditRole,
    NewKey,
}

/// What somebody asks for: some of its own scopes, and some of all there are.
#[derive(Debug, Clone)]
struct Asked {
    writer: Index,
    what: What,
    role: Index,
    own: Vec<bool>,
    scopes: Vec<&'static str>,
    networks: Vec<&'static str>,
    days: Option<u8>,
}

#[derive(Clone)]
struct Holder {
    key: Key,
    own: Vec<String>,
    role: Option<usize>,
    networks: Vec<String>,
    days: Option<u8>,
}

/// Who holds what.
#[derive(Clone)]
struct World {
    roles: Vec<Vec<String>>,
    keys: Vec<Holder>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let what = prop_oneof![
        Just(What::NewRole),
        Just(What::EditRole),
        Just(What::EditRole),
        Just(What::NewKey)
    ];
    (
        any::<Index>(),
        what,
        any::<Index>(),
        prop::collection::vec(any::<bool>(), 8),
        subsequence(SCOPES.to_vec(), 0..3),
        subsequence(NETWORKS.to_vec(), 1..3),
        prop::option::of(1..5_u8),
    )
        .prop_map(|(writer, what, role, own, scopes, networks, days)| Asked {
            writer,
            what,
            role,
            own,
            scopes,
            networks,
            days,
        })
}

impl World {
    fn effective(&self, key: usize) -> Vec<String> {
        let Some(holder) = self.keys.get(key) else {
            return vec![];
        };
        let of_role = holder.role.map(|role| self.roles[role].clone());
        let mut scopes = holder.own.clone();
        scopes.extend(of_role.unwrap_or_default());
        scopes
    }

    /// Requires that nobody has anything new which the writer had not.
    fn check(&self, before: &Self, writer: usize, told: &str) {
        let carried = before.effective(writer);
        let writer = &before.keys[writer];
        let anywhere = any_holds(&carried, "api_keys.any_network");
        let gains = |after: &[String], before: &[String]| {
            let mut gains = false;
            for action in ACTIONS {
                for resource in RESOURCES {
                    if any_permits(after, action, resource)
                        && !any_permits(before, action, resource)
                    {
                        gains = true;
                        assert!(
                            any_permits(&carried, action, resource),
                            "{carried:?} gave {action} on {resource}: {told}"
                        );
                    }
                }
            }
            gains
        };
        for (role, after) in self.roles.iter().enumerate() {
            gains(after, before.roles.get(role).map_or(&[][..], Vec::as_slice));
        }
        for (at, key) in self.keys.iter().enumerate() {
            if !gains(&self.effective(at), &before.effective(at)) {
                continue;
            }
            for address in ADDRESSES {
                assert!(
                    anywhere
                        || !any_contains(&key.networks, address)
                        || any_contains(&writer.networks, address),
                    "{:?} gave a scope at {address}: {told}",
                    writer.networks
                );
            }
            let in_time = writer
                .days
                .is_none_or(|end| key.days.is_some_and(|days| days <= end));
            assert!(in_time, "{:?} gave for {:?}: {told}", writer.days, key.days);
        }
    }
}

/// Gives how many writes were made and how many refused.
async fn try_it(server: &Server, organization: &str, sequence: Vec<Asked>) -> [u32; 2] {
    let mut outcomes = [0; 2];
    let texts = |texts: &[&str]| texts.iter().map(|&t| t.to_owned()).collect::<Vec<_>>();
    let mut world = World {
        roles: vec![],
        keys: vec![],
    };
    // To begin with: somebody who may do all, somebody who may write roles and is bound in all
    // else, and somebody who is bound in nothing and holds a role.
    let manager = server.organization(organization).await;
    let role = json!({ "name": "r0", "scopes": ["read:a/b"] });
    let made = server.call(&manager.secret, Method::POST, "/v1/roles", role);
    made.await.expect(StatusCode::CREATED);
    world.roles.push(texts(&["read:a/b"]));
    let clerk = json!({ "name": "clerk", "scopes": ["roles.write", "read", "files.*"],
        "allowed_ip_cidrs": ["127.0.0.0/8"], "expires_in_days": 3 });
    let clerk = server.key(&manager, clerk).await;
    let wide = json!({ "name": "wide", "scopes": ["files"], "roles": ["r0"] });
    let wide = server.key(&manager, wide).await;
    let everywhere = texts(&["0.0.0.0/0", "::/0"]);
    let all = ["*", "api_keys.*", "organization.*", "roles.*"];
    let of_clerk = ["roles.write", "read", "files.*"];
    for (key, own, role, networks, days) in [
        (manager, texts(&all), None, everywhere.clone(), None),
        (
            clerk,
            texts(&of_clerk),
            None,
            texts(&["127.0.0.0/8"]),
            Some(3),
        ),
        (wide, texts(&["files"]), Some(0), everywhere, None),
    ] {
        world.keys.push(Holder {
            key,
            own,
            role,
            networks,
            days,
        });
    }
    for asked in sequence {
        let writer = asked.writer.index(world.keys.len());
        let carried = world.effective(writer);
        let mut scopes = chosen(&carried, &asked.own);
        scopes.extend(texts(&asked.scopes));
        let role = (!world.roles.is_empty()).then(|| asked.role.index(world.roles.len()));
        let (method, path, body) = match (asked.what, role) {
            _ if scopes.is_empty() => continue,
            (What::EditRole, None) => continue,
            (What::NewRole, _) => {
                let name = format!("r{}", world.roles.len());
                let body = json!({ "name": name, "scopes": scopes });
                (Method::POST, "/v1/roles".to_owned(), body)
            }
            (What::EditRole, Some(role)) => {
                let body = json!({ "scopes": scopes });
                (Method::PATCH, format!("/v1/roles/r{role}"), body)
            }
            (What::NewKey, role) => {
                let roles: Vec<_> = role.iter().map(|role| format!("r{role}")).collect();
                let mut body = json!({ "name": "x", "scopes": scopes, "roles": roles,
                    "allowed_ip_cidrs": asked.networks });
                if let Some(days) = asked.days {
                    body["expires_in_days"] = days.into();
                }
                (Method::POST, "/v1/api-keys".to_owned(), body)
            }
        };
        let bearer = world.keys[writer].key.secret.clone();
        let reply = server.call(&bearer, method, &path, body).await;
        if !reply.status.is_success() {
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.text);
            outcomes[1] += 1;
            let here = any_contains(&world.keys[writer].networks, "127.0.0.1");
            let may = here && any_holds(&carried, "roles.write") && asked.scopes.is_empty();
            let new_role = matches!(asked.what, What::NewRole);
            assert!(!(may && new_role), "a refusal too many: {}", reply.text);
            continue;
        }
        outcomes[0] += 1;
        let before = world.clone();
        match (asked.what, role) {
            (What::EditRole, Some(role)) => world.roles[role] = scopes,
            (What::NewKey, role) => world.keys.push(Holder {
                key: Key::of(&reply.body),
                own: scopes,
                role,
                networks: texts(&asked.networks),
                days: asked.days,
            }),
            _ => world.roles.push(scopes),
        }
        world.check(&before, writer, &reply.text);
    }
    agrees(server, &world).await;
    outcomes
}

/// The server reckons as the test does: what a key may is what its scopes and its role say now.
async fn agrees(server: &Server, world: &World) {
    for (at, holder) in world.keys.iter().enumerate().skip(1) {
        let path = format!("/v1/api-keys/{}", holder.key.id);
        let bearer = &world.keys[0].key.secret;
        let shown = server.call(bearer, Method::GET, &path, Value::Null).await;
        let shown = shown.body["effective_scopes"].as_array().unwrap().clone();
        let shown: Vec<_> = shown
            .iter()
            .map(|s| s.as_str().unwrap().to_owned())
            .collect();
        let expected = world.effective(at);
        for action in ACTIONS {
            for resource in RESOURCES {
                let by_server = any_permits(&shown, action, resource);
                assert_eq!(by_server, any_permits(&expected, action, resource));
            }
        }
    }
}

async fn no_sequence_of_roles_gives_more_than_was_held(server: Server) {
    let config = Config {
        cases: 24,
        failure_persistence: None,
        max_shrink_iters: 50,
        ..Config::default()
    };
    let (handle, server) = (Handle::current(), &server);
    let organizations = AtomicU32::new(0);
    let outcomes = [AtomicU32::new(0), AtomicU32::new(0)];
    let run = || {
        let sequences = prop::collection::vec(asked(), 1..20);
        TestRunner::new(config).run(&sequences, |sequence| {
            let id = format!("org{}", organizations.fetch_add(1, Ordering::Relaxed));
            let seen = handle.block_on(try_it(server, &id, sequence));
            for (all, seen) in outcomes.iter().zip(seen) {
                all.fetch_add(seen, Ordering::Relaxed);
            }
            Ok(())
        })
    };
    tokio::task::block_in_place(run).unwrap();
    let outcomes = outcomes.map(AtomicU32::into_inner);
    assert!(outcomes.iter().all(|seen| *seen >= 10), "{outcomes:?}");
}
