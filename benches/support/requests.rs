//! Requests to tenmint, whole, and what is needed to send them: API keys.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tenmint::domain::secret::{ApiKeySecret, KeyPrefix};

use super::Failure;
use super::child::Child;
use super::load::{Connection, unexpected};

/// The organization whose keys are used.
const ORGANIZATION: &str = "bench";

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
        let organization = json!({ "id": ORGANIZATION });
        operator.post("/v1/organizations", &organization).await?;
        Ok(operator)
    }

    /// New keys, each with three scopes and two networks.
    pub async fn keys(&mut self, count: usize) -> Result<Vec<Key>, Failure> {
        let path = format!("/v1/organizations/{ORGANIZATION}/api-keys");
        let mut keys = Vec::with_capacity(count);
        for number in 0..count {
            let key = json!({
                "name": format!("bench {number}"),
                "scopes": ["read:projects/42/**", "write:projects/42/files/*", "inference"],
                "allowed_ip_cidrs": ["127.0.0.0/8", "203.0.113.0/24"],
                "expires_in_days": 90,
            });
            let made = self.post(&path, &key).await?;
            let text = |member: &str| made[member].as_str().map(str::to_owned);
            let (id, secret) = text("id").zip(text("secret")).ok_or("a key has a secret")?;
            keys.push(Key { id, secret });
        }
        Ok(keys)
    }

    async fn post(&mut self, path: &str, body: &Value) -> Result<Value, Failure> {
        let bearer = format!("authorization: Bearer {}\r\n", self.secret);
        let request = post(path, "application/json", &bearer, &body.to_string());
        let answer = self.connection.ask(&request).await?;
        if answer.status != 201 {
            return Err(unexpected(&answer).into());
        }
        Ok(serde_json::from_slice(answer.body)?)
    }
}

/// A token request by HTTP Basic, as client libraries send it.
pub fn exchange(path: &str, key: &Key) -> Vec<u8> {
    let pair = STANDARD.encode(format!("{}:{}", key.id, key.secret));
    let basic = format!("authorization: Basic {pair}\r\n");
    let form = "application/x-www-form-urlencoded";
    post(path, form, &basic, "grant_type=client_credentials")
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

/// One answer's status and body.
pub async fn ask(address: SocketAddr, request: &[u8]) -> Result<(u16, Vec<u8>), Failure> {
    let mut connection = Connection::open(address).await?;
    let answer = connection.ask(request).await?;
    Ok((answer.status, answer.body.to_vec()))
}

fn post(path: &str, kind: &str, authorization: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nuser-agent: bench\r\naccept: */*\r\n\
         {authorization}content-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
