//! Requests to tenmint, whole, and what is needed to send them: API keys.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tenmint::domain::secret::{ApiKeySecret, KeyPrefix};

use super::Failure;
use super::child::Child;
use super::load::{Connection, Load, unexpected};

/// The organization whose keys are used.
pub const ORGANIZATION: &str = "bench";

/// The deployment issuer's token endpoint, and the bare handler's path alike.
pub const TOKEN: &str = "/oauth/token";

/// The deployment issuer's JWKS.
pub const JWKS: &str = "/.well-known/jwks.json";

/// What every request says of its client.
const CLIENT: &str = "host: localhost\r\nuser-agent: bench\r\naccept: */*\r\n";

/// An API key as its holder has it.
#[derive(Clone)]
pub struct Key {
    /// The client id.
    pub id: String,
    /// The secret.
    pub secret: String,
}

/// The operator's hand at a tenmint.
pub struct Operator {
    connection: Connection,
    secret: String,
}

impl Operator {
    /// The operator of this server, in which an organization is made to hold keys.
    pub async fn of(server: &mut Child) -> Result<Self, Failure> {
        let mut operator = Self {
            secret: server.tell("operator")?,
            connection: Connection::open(server.address).await?,
        };
        operator.organization(ORGANIZATION).await?;
        Ok(operator)
    }

    /// One more organization.
    pub async fn organization(&mut self, id: &str) -> Result<(), Failure> {
        let made = self.post("/v1/organizations", &json!({ "id": id })).await;
        made.map(drop)
    }

    /// New keys, each with three scopes and two networks.
    pub async fn keys(&mut self, count: usize) -> Result<Vec<Key>, Failure> {
        self.keys_with(count, Value::Null).await
    }

    /// The same with a rate limit.
    pub async fn keys_with(
        &mut self,
        count: usize,
        rate_limit: Value,
    ) -> Result<Vec<Key>, Failure> {
        let key = |number| {
            let mut key = new_key(&format!("bench {number}"));
            key["rate_limit"] = rate_limit.clone();
            key
        };
        self.keys_like(count, key).await
    }

    /// New keys with all there is: 16 scopes, of which two roles give half, 20 networks, and a rate
    /// limit that refuses nobody.
    pub async fn rich_keys(&mut self, count: usize) -> Result<Vec<Key>, Failure> {
        let scopes =
            |of: &str| -> Vec<_> { (0..4).map(|n| format!("{of}.a{n}:p/{n}/**")).collect() };
        for role in ["reader", "writer"] {
            let path = format!("/v1/organizations/{ORGANIZATION}/roles");
            let role = json!({ "name": role, "scopes": scopes(role) });
            self.post(&path, &role).await?;
        }
        let networks: Vec<_> = (0..19).map(|n| format!("203.0.{n}.0/24")).collect();
        let key = |number| {
            let mut key = new_key(&format!("rich {number}"));
            key["scopes"] = json!([scopes("files"), scopes("chats")].concat());
            key["roles"] = json!(["reader", "writer"]);
            key["allowed_ip_cidrs"] =
                json!([networks.clone(), vec!["127.0.0.0/8".into()]].concat());
            key["rate_limit"] = json!({ "limit": 1_000_000, "window_seconds": 1 });
            key
        };
        self.keys_like(count, key).await
    }

    async fn keys_like(
        &mut self,
        count: usize,
        key: impl Fn(usize) -> Value,
    ) -> Result<Vec<Key>, Failure> {
        let path = keys_of(ORGANIZATION);
        let mut keys = Vec::with_capacity(count);
        for number in 0..count {
            let key = key(number);
            let made = self.post(&path, &key).await?;
            let text = |member: &str| made[member].as_str().map(str::to_owned);
            let (id, secret) = text("id").zip(text("secret")).ok_or("a key has a secret")?;
            keys.push(Key { id, secret });
        }
        Ok(keys)
    }

    /// A request that makes a key in an organization.
    pub fn create(&self, organization: &str) -> Vec<u8> {
        self.json(&keys_of(organization), &new_key("one more"))
    }

    /// A request for one key.
    pub fn show(&self, organization: &str, id: &str) -> Vec<u8> {
        self.get(&format!("{}/{id}", keys_of(organization)))
    }

    /// A request for the page of `limit` keys that comes behind so many pages as long; the first
    /// behind none.
    pub async fn page(
        &mut self,
        organization: &str,
        sort: &str,
        limit: u32,
        behind: u32,
    ) -> Result<Vec<u8>, Failure> {
        let first = format!("{}?sort={sort}&limit={limit}", keys_of(organization));
        let mut path = first.clone();
        for _ in 0..behind {
            let request = self.get(&path);
            let page = self.ask(&request, 200).await?;
            let cursor = page["next_cursor"].as_str();
            path = format!("{first}&cursor={}", cursor.ok_or("a page has a next one")?);
        }
        Ok(self.get(&path))
    }

    async fn post(&mut self, path: &str, body: &Value) -> Result<Value, Failure> {
        let request = self.json(path, body);
        self.ask(&request, 201).await
    }

    async fn ask(&mut self, request: &[u8], status: u16) -> Result<Value, Failure> {
        let answer = self.connection.ask(request).await?;
        if answer.status != status {
            return Err(unexpected(&answer).into());
        }
        Ok(serde_json::from_slice(answer.body)?)
    }

    fn json(&self, path: &str, body: &Value) -> Vec<u8> {
        post(path, "application/json", &self.bearer(), &body.to_string())
    }

    fn get(&self, path: &str) -> Vec<u8> {
        let bearer = self.bearer();
        format!("GET {path} HTTP/1.1\r\n{CLIENT}{bearer}\r\n").into_bytes()
    }

    fn bearer(&self) -> String {
        format!("authorization: Bearer {}\r\n", self.secret)
    }
}

fn keys_of(organization: &str) -> String {
    format!("/v1/organizations/{organization}/api-keys")
}

fn new_key(name: &str) -> Value {
    json!({
        "name": name,
        "scopes": ["read:projects/42/**", "write:projects/42/files/*", "inference"],
        "allowed_ip_cidrs": ["127.0.0.0/8", "203.0.113.0/24"],
        "expires_in_days": 90,
    })
}

/// A token request by HTTP Basic, as client libraries send it.
pub fn exchange(path: &str, key: &Key) -> Vec<u8> {
    let pair = STANDARD.encode(format!("{}:{}", key.id, key.secret));
    let basic = format!("authorization: Basic {pair}\r\n");
    let form = "application/x-www-form-urlencoded";
    post(path, form, &basic, "grant_type=client_credentials")
}

/// One such request with each key.
pub fn exchanges<'a>(keys: impl IntoIterator<Item = &'a Key>) -> Vec<Vec<u8>> {
    let keys = keys.into_iter();
    keys.map(|key| exchange(TOKEN, key)).collect()
}

/// These requests to a server, in turn.
pub fn exchange_load<'a>(server: &Child, keys: impl IntoIterator<Item = &'a Key>) -> Arc<Load> {
    Arc::new(Load {
        address: server.address,
        requests: exchanges(keys),
        status: 200,
    })
}

/// A request that a gateway holds, as it asks about it.
pub fn verify(path: &str, bearer: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\n{CLIENT}authorization: Bearer {bearer}\r\n\
         x-forwarded-for: 203.0.113.9\r\n\r\n"
    )
    .into_bytes()
}

/// The same key with another secret, which carries no genuine tag: whoever makes it up.
pub fn forged(key: &Key) -> Result<Key, Failure> {
    let prefix: KeyPrefix = "tmsk".parse()?;
    let secret = ApiKeySecret::compose(&prefix, key.id.parse()?, || 7, |_| 7);
    Ok(Key {
        id: key.id.clone(),
        secret: secret.expose().to_owned(),
    })
}

/// The same key with another secret, genuine by its tag: a rotated-out one.
pub fn former(server: &mut Child, key: &Key) -> Result<Key, Failure> {
    Ok(Key {
        id: key.id.clone(),
        secret: server.tell(&key.id)?,
    })
}

/// A token answer, a refusal, and the JWKS of tenmint's, on one line: what the bare handler answers
/// likes of.
pub async fn samples(server: &Child, key: &Key) -> Result<String, Failure> {
    let (_, issued) = ask(server.address, &exchange(TOKEN, key)).await?;
    let (_, refused) = ask(server.address, &exchange(TOKEN, &forged(key)?)).await?;
    let (_, jwks) = ask(server.address, &plain(JWKS)).await?;
    let samples = json!({
        "issued": serde_json::from_slice::<Value>(&issued)?,
        "refused": serde_json::from_slice::<Value>(&refused)?,
        "jwks": String::from_utf8(jwks)?,
    });
    Ok(samples.to_string())
}

/// A request for what anybody may have.
pub fn plain(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\n{CLIENT}\r\n").into_bytes()
}

/// One answer's status and body.
pub async fn ask(address: SocketAddr, request: &[u8]) -> Result<(u16, Vec<u8>), Failure> {
    let mut connection = Connection::open(address).await?;
    let answer = connection.ask(request).await?;
    Ok((answer.status, answer.body.to_vec()))
}

fn post(path: &str, kind: &str, authorization: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\n{CLIENT}{authorization}\
         content-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
