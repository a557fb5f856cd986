//! No sequence of grants gives anybody more than it held, by a reckoning of the test's own.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use ipnet::IpNet;
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use proptest::test_runner::{Config, TestRunner};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::runtime::Handle;

use crate::on_both_engines;
use crate::support::server::{Key, Server};

on_both_engines!(no_sequence_of_grants_gives_more_than_was_held);

pub const SCOPES: [&str; 22] = [
    "*",
    "*:a/**",
    "read",
    "read:a/**",
    "read:a/*",
    "read:a/b",
    "read:*/b",
    "files.*",
    "files.read",
    "files.read:a",
    "files",
    "api_keys.*",
    "api_keys.create",
    "api_keys.create:a",
    "api_keys.read",
    "api_keys.any_network",
    "api_keys.any_network:a",
    "organization.*",
    "organizations.*",
    "organizations.write",
    "roles.*",
    "roles.write",
];
pub const ACTIONS: [&str; 12] = [
    "read",
    "files",
    "files.read",
    "files.read.raw",
    "other",
    "api_keys.create",
    "api_keys.read",
    "api_keys.any_network",
    "organization.read",
    "organizations.read",
    "organizations.write",
    "roles.write",
];
const MANAGEMENT: [&str; 4] = ["api_keys.", "organization.", "organizations.", "roles."];
pub const RESOURCES: [&str; 7] = ["a", "a/b", "a/c", "a/b/c", "b", "c/b", "x/y/z"];
pub const NETWORKS: [&str; 8] = [
    "127.0.0.1/32",
    "127.0.0.0/8",
    "0.0.0.0/1",
    "128.0.0.0/1",
    "0.0.0.0/0",
    "10.0.0.0/8",
    "::1/128",
    "::/0",
];
pub const ADDRESSES: [&str; 6] = [
    "127.0.0.1",
    "127.9.9.9",
    "10.1.1.1",
    "200.1.1.1",
    "::1",
    "2001::",
];

/// What somebody asks for: some of the granter's own, and some of all there are.
#[derive(Debug, Clone)]
struct Asked {
    granter: Index,
    /// By a token that carries these of the granter's scopes, rather than by the key itself.
    token: Option<Vec<bool>>,
    own: Vec<bool>,
    scopes: Vec<&'static str>,
    own_networks: Vec<bool>,
    networks: Vec<&'static str>,
    days: Option<u8>,
}

struct Holder {
    key: Key,
    scopes: Vec<String>,
    networks: Vec<String>,
    days: Option<u8>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let mask = || prop::collection::vec(any::<bool>(), 8);
    (
        any::<Index>(),
        prop::option::of(mask()),
        mask(),
        subsequence(SCOPES.to_vec(), 0..3),
        mask(),
        subsequence(NETWORKS.to_vec(), 0..3),
        prop::option::of(1..5_u8),
    )
        .prop_map(
            |(granter, token, own, scopes, own_networks, networks, days)| Asked {
                granter,
                token,
                own,
                scopes,
                own_networks,
                networks,
                days,
            },
        )
}

pub fn chosen(all: &[String], mask: &[bool]) -> Vec<String> {
    let pairs = all.iter().zip(mask.iter().cycle());
    pairs
        .filter(|(_, keep)| **keep)
        .map(|(text, _)| text.clone())
        .collect()
}

/// Whether a scope permits an action on a resource, in as few words as it can be said.
fn permits(scope: &str, action: &str, resource: &str) -> bool {
    let (held, filter) = scope.split_once(':').unwrap_or((scope, "**"));
    let is_management = MANAGEMENT.iter().any(|family| action.starts_with(family));
    let by_action = match held.strip_suffix('*') {
        Some("") => !is_management,
        Some(family) => action.starts_with(family),
        None => held == action,
    };
    let (filter, is_open) = match filter.strip_suffix("**") {
        Some(rest) => (rest.trim_end_matches('/'), true),
        None => (filter, false),
    };
    let held: Vec<_> = filter.split('/').filter(|s| !s.is_empty()).collect();
    let asked: Vec<_> = resource.split('/').collect();
    let long_enough = asked.len() == held.len() || (is_open && asked.len() > held.len());
    by_action && long_enough && held.iter().zip(&asked).all(|(h, a)| *h == "*" || h == a)
}

pub fn any_permits(scopes: &[String], action: &str, resource: &str) -> bool {
    scopes.iter().any(|scope| permits(scope, action, resource))
}

/// Whether scopes are good for an action as such: on every resource.
pub fn any_holds(scopes: &[String], action: &str) -> bool {
    let without_filter = |scope: &&String| !scope.contains(':');
    let scopes: Vec<_> = scopes.iter().filter(without_filter).cloned().collect();
    any_permits(&scopes, action, "a")
}

pub fn any_contains(networks: &[String], address: &str) -> bool {
    let address: IpAddr = address.parse().unwrap();
    let contains = |network: &String| network.parse::<IpNet>().unwrap().contains(&address);
    networks.iter().any(contains)
}

/// Gives how many grants were made and how many refused.
async fn try_it(server: &Server, organization: &str, sequence: Vec<Asked>) -> [u32; 2] {
    let mut outcomes = [0; 2];
    let management = server.organization(organization).await;
    let texts = |texts: &[&str]| texts.iter().map(|&t| t.to_owned()).collect::<Vec<_>>();
    let held = ["*", "api_keys.*", "organization.*", "roles.*"];
    let mut holders = vec![Holder {
        key: management,
        scopes: texts(&held),
        networks: texts(&["0.0.0.0/0", "::/0"]),
        days: None,
    }];
    for asked in sequence {
        let granter = asked.granter.get(&holders);
        let mut scopes = chosen(&granter.scopes, &asked.own);
        let only_own = asked.scopes.is_empty() && asked.networks.is_empty();
        scopes.extend(texts(&asked.scopes));
        let mut networks = chosen(&granter.networks, &asked.own_networks);
        networks.extend(texts(&asked.networks));
        if scopes.is_empty() || networks.is_empty() {
            continue;
        }
        // The credential: the key, or a token that carries some of its scopes.
        let carried = match &asked.token {
            Some(mask) => chosen(&granter.scopes, mask),
            None => granter.scopes.clone(),
        };
        let here = any_contains(&granter.networks, "127.0.0.1");
        let bearer = if asked.token.is_some() && !carried.is_empty() && here {
            let scope = carried.join(" ");
            server
                .management_token(&granter.key, &[("scope", &scope)])
                .await
        } else {
            granter.key.secret.clone()
        };
        let carried = if bearer == granter.key.secret {
            granter.scopes.clone()
        } else {
            carried
        };

        let mut body = json!({ "name": "x", "scopes": scopes, "allowed_ip_cidrs": networks });
        if let Some(days) = asked.days {
            body["expires_in_days"] = days.into();
        }
        let reply = server
            .call(&bearer, Method::POST, "/v1/api-keys", body)
            .await;
        let may = any_holds(&carried, "api_keys.create") && here;
        let in_time = granter
            .days
            .is_none_or(|end| asked.days.is_some_and(|days| days <= end));
        if reply.status != StatusCode::CREATED {
            assert_eq!(reply.status, 403, "{}", reply.text);
            outcomes[1] += 1;
            let within = scopes.iter().all(|scope| carried.contains(scope));
            assert!(
                !(may && in_time && within && only_own),
                "a refusal too many: {}",
                reply.text
            );
            continue;
        }
        assert!(may && in_time, "{}", reply.text);
        outcomes[0] += 1;
        for action in ACTIONS {
            for resource in RESOURCES {
                assert!(
                    !any_permits(&scopes, action, resource)
                        || any_permits(&carried, action, resource),
                    "{carried:?} gave {action} on {resource}: {}",
                    reply.text
                );
            }
        }
        let anywhere = any_holds(&carried, "api_keys.any_network");
        for address in ADDRESSES {
            assert!(
                anywhere
                    || !any_contains(&networks, address)
                    || any_contains(&granter.networks, address),
                "{:?} opened a key to {address}: {}",
                granter.networks,
                reply.text
            );
        }
        let days = asked.days;
        let key = Key::of(&reply.body);
        holders.push(Holder {
            key,
            scopes,
            networks,
            days,
        });
    }
    outcomes
}

async fn no_sequence_of_grants_gives_more_than_was_held(server: Server) {
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
        let sequences = prop::collection::vec(asked(), 1..14);
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
    // Neither of the two is rare enough for the property to be empty.
    let outcomes = outcomes.map(AtomicU32::into_inner);
    assert!(outcomes.iter().all(|seen| *seen >= 10), "{outcomes:?}");
}
