//! A coalition inside an organization: the secrets that it knows, what they permitted when it
//! began, and what they permit now.

use proptest::sample::Index;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::authority_property::{any_contains, any_holds, any_permits};
use crate::support::server::{Key, Reply, Server, claims};

/// A day in seconds.
pub const DAY: u64 = 24 * 60 * 60;

const ACTIONS: [&str; 8] = [
    "read",
    "files.read",
    "files.write",
    "other",
    "api_keys.create",
    "api_keys.update",
    "api_keys.any_network",
    "roles.write",
];
const RESOURCES: [&str; 4] = ["a", "a/b", "a/c", "b"];
const ADDRESSES: [&str; 3] = ["10.1.1.1", "200.1.1.1", "2001:db8::1"];
const STRONG: [&str; 3] = ["*", "api_keys.*", "roles.*"];

/// What a coalition begins with.
#[derive(Debug, Clone)]
pub struct Start {
    /// Of its first key, beside `api_keys.update`.
    pub scopes: Vec<&'static str>,
    pub networks: &'static [&'static str],
    pub days: Option<u8>,
    /// Whether the strong key that is bound to one network may edit keys.
    pub bound_manages: bool,
    pub bound_days: Option<u8>,
    /// Whether it knows the secrets of strong keys that permit nothing.
    pub knows_disabled: bool,
    pub knows_expired: bool,
}

/// How many calls of which kind were done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Done {
    pub edited: u32,
    pub enabled: u32,
    pub rotated: u32,
    pub created: u32,
}

/// A key of the organization, and which of its secrets are known.
pub struct Known {
    pub id: String,
    secrets: Vec<String>,
}

pub struct Coalition<'a> {
    server: &'a Server,
    pub keys: Vec<Known>,
    held: Vec<Grant>,
    /// What was done, for whoever reads a failure.
    told: Vec<String>,
    pub count: Done,
}

/// Scopes, on networks, until an end.
#[derive(Debug)]
struct Grant {
    scopes: Vec<String>,
    networks: Vec<String>,
    end: Option<i64>,
}

impl Done {
    pub fn plus(self, other: Self) -> Self {
        Self {
            edited: self.edited + other.edited,
            enabled: self.enabled + other.enabled,
            rotated: self.rotated + other.rotated,
            created: self.created + other.created,
        }
    }
}

impl Grant {
    fn permits(&self, action: &str, resource: &str, address: &str, instant: i64) -> bool {
        let anywhere = any_holds(&self.scopes, "api_keys.any_network");
        any_permits(&self.scopes, action, resource)
            && (anywhere || any_contains(&self.networks, address))
            && self.end.is_none_or(|end| instant < end)
    }
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|text| text.as_str().unwrap().to_owned()).collect()
}

impl<'a> Coalition<'a> {
    /// Sets up an organization in which a coalition knows one limited key, one strong key that is
    /// bound to a network, and perhaps strong ones that permit nothing any more.
    pub async fn gather(server: &'a Server, organization: &str, start: &Start) -> Self {
        let manager = server.organization(organization).await;
        let role = json!({ "name": "r0", "scopes": ["read:a/b"] });
        let made = server.call(&manager.secret, Method::POST, "/v1/roles", role);
        made.await.expect(StatusCode::CREATED);
        let expired = json!({ "name": "expired", "scopes": STRONG, "expires_in_days": 1 });
        let expired = server.key(&manager, expired).await;
        server.advance(DAY + 1);

        let mut scopes = vec!["api_keys.update"];
        scopes.extend(&start.scopes);
        let mut first =
            json!({ "name": "first", "scopes": scopes, "allowed_ip_cidrs": start.networks });
        if let Some(days) = start.days {
            first["expires_in_days"] = days.into();
        }
        let mut bound =
            json!({ "name": "bound", "scopes": ["*"], "allowed_ip_cidrs": ["10.0.0.0/8"] });
        if start.bound_manages {
            bound["scopes"] = json!(["*", "api_keys.update"]);
        }
        if let Some(days) = start.bound_days {
            bound["expires_in_days"] = days.into();
        }
        let mut coalition = Self {
            server,
            keys: vec![],
            held: vec![],
            told: vec![],
            count: Done::default(),
        };
        for held in [first, bound] {
            let days = held["expires_in_days"].as_i64();
            coalition.held.push(Grant {
                scopes: texts(&held["scopes"]),
                networks: texts(&held["allowed_ip_cidrs"]),
                end: days.map(|days| server.clock.now().unix() + days * DAY.cast_signed()),
            });
            let key = server.key(&manager, held).await;
            coalition.add(key, true);
        }
        let disabled = server.key_with(&manager, &STRONG).await;
        let path = format!("/v1/api-keys/{}/disable", disabled.id);
        let done = server.call(&manager.secret, Method::POST, &path, Value::Null);
        done.await.expect(StatusCode::OK);
        let holder = json!({ "name": "holder", "scopes": ["files.read"], "roles": ["r0"] });
        let holder = server.key(&manager, holder).await;
        let elsewhere =
            json!({ "name": "else", "scopes": ["*"], "allowed_ip_cidrs": ["128.0.0.0/1"] });
        let elsewhere = server.key(&manager, elsewhere).await;
        coalition.add(disabled, start.knows_disabled);
        coalition.add(expired, start.knows_expired);
        for stranger in [holder, elsewhere, manager] {
            coalition.add(stranger, false);
        }
        coalition
    }

    fn add(&mut self, key: Key, is_known: bool) {
        let secrets = if is_known { vec![key.secret] } else { vec![] };
        self.keys.push(Known {
            id: key.id,
            secrets,
        });
    }

    /// A key of which a secret is known; half of the time the first.
    pub fn some_actor(&self, index: Index) -> usize {
        let known = self.known();
        let at = index.index(known.len() * 2);
        known.get(at).copied().unwrap_or(0)
    }

    /// Any key; those of which a secret is known more often.
    pub fn some_target(&self, index: Index) -> usize {
        let known = self.known();
        let at = index.index(known.len() + self.keys.len());
        known.get(at).copied().unwrap_or_else(|| at - known.len())
    }

    fn known(&self) -> Vec<usize> {
        let is_known = |at: &usize| !self.keys[*at].secrets.is_empty();
        (0..self.keys.len()).filter(is_known).collect()
    }

    /// A call by the holder of a key, from whichever address is not refused.
    pub async fn call(&self, actor: usize, method: &Method, path: &str, body: &Value) -> Reply {
        let mut reply = None;
        let secret = self.keys[actor].secrets.last().unwrap();
        for address in ADDRESSES {
            let mut request = self
                .server
                .request(method.clone(), path)
                .bearer_auth(secret)
                .header("x-forwarded-for", address);
            if !body.is_null() {
                request = request.json(body);
            }
            let given = reply.insert(Reply::of(request).await);
            if given.body["code"] != "network_denied" {
                break;
            }
        }
        reply.unwrap()
    }

    /// Learns from a call that was done, and tries at once what came of it.
    pub async fn done(
        &mut self,
        actor: usize,
        method: &Method,
        path: &str,
        body: &Value,
        reply: &Reply,
    ) {
        let now = self.server.clock.now();
        let by = &self.keys[actor].id;
        let told = format!("{now}: {by}: {method} {path} {body}");
        self.told.push(told);
        if reply.body["secret"].is_string() {
            let key = Key::of(&reply.body);
            match self.keys.iter_mut().find(|known| known.id == key.id) {
                Some(known) => known.secrets.push(key.secret),
                None => self.add(key, true),
            }
        }
        match path.rsplit('/').next().unwrap() {
            "enable" => self.count.enabled += 1,
            "rotate" => self.count.rotated += 1,
            "api-keys" => self.count.created += 1,
            _ if method == Method::PATCH => self.count.edited += 1,
            _ => return,
        }
        let id = reply.body["id"].as_str();
        for known in &self.keys {
            // A role may have changed any of them.
            if id.is_none_or(|id| id == known.id) {
                self.try_secrets(known).await;
            }
        }
    }

    /// Tries every secret from everywhere: whatever is obtained was held to begin with.
    pub async fn stays_within_what_it_held(&self) {
        for known in &self.keys {
            self.try_secrets(known).await;
        }
    }

    async fn try_secrets(&self, known: &Known) {
        for secret in &known.secrets {
            for address in ADDRESSES {
                let exchange = self
                    .server
                    .request(Method::POST, "/oauth/token")
                    .basic_auth(&known.id, Some(secret))
                    .header("x-forwarded-for", address)
                    .form(&[("grant_type", "client_credentials")]);
                let reply = Reply::of(exchange).await;
                if let Some(token) = reply.body["access_token"].as_str() {
                    self.was_held(&known.id, address, &claims(token));
                }
            }
        }
    }

    /// A token permits its scopes, from where it was obtained and wherever it says, to its end.
    fn was_held(&self, id: &str, obtained_from: &str, token: &Value) {
        let scopes = token["scope"].as_str().unwrap().split(' ');
        let scopes: Vec<_> = scopes.map(ToOwned::to_owned).collect();
        let cidrs = &token["allowed_ip_cidrs"];
        let is_here = |address: &str| {
            address == obtained_from || cidrs.is_null() || any_contains(&texts(cidrs), address)
        };
        let instants = ["iat", "exp"].map(|claim| token[claim].as_i64().unwrap());
        for address in ADDRESSES.into_iter().filter(|address| is_here(address)) {
            for instant in [instants[0], instants[1] - 1] {
                for action in ACTIONS {
                    for resource in RESOURCES {
                        assert!(
                            !any_permits(&scopes, action, resource)
                                || self
                                    .held
                                    .iter()
                                    .any(|held| held.permits(action, resource, address, instant)),
                            "{id} permits {action} on {resource} at {address} at {instant}, \
                             beyond {:#?}, by:\n{}",
                            self.held,
                            self.told.join("\n")
                        );
                    }
                }
            }
        }
    }
}
