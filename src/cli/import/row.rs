//! A line of an import, parsed. What is wrong with it is said without repeating anything of it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use zeroize::Zeroize;

use super::unique::Unique;
use crate::crypto::imported::Kept;
use crate::domain::api_key::{Expiry, NewApiKey};
use crate::domain::hex::unhex;
use crate::domain::network::NetworkSet;
use crate::domain::secret::{ForeignSecret, redact};
use crate::domain::text::Name;
use crate::manage::api_keys::import::Row;

/// Shortest beginning of a string that tells it from others.
const SHORTEST_PREFIX: usize = 8;

/// What can be said of a key.
const FIELDS: [&str; 13] = [
    "secret",
    "hash",
    "prefix",
    "name",
    "description",
    "scopes",
    "roles",
    "allowed_ip_cidrs",
    "expires_at",
    "external_id",
    "metadata",
    "rate_limit",
    "exchange_only",
];

/// What a platform kept in place of a string.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct HashField {
    sha256: Option<String>,
    sha512: Option<String>,
    bcrypt: Option<String>,
    argon2: Option<String>,
}

/// Reads a line.
///
/// # Errors
/// Why there is no key in it, with the name of the field and none of its content.
pub(super) fn read(line: u64, text: &str) -> Result<Row, String> {
    let mut fields = match serde_json::from_str(text) {
        Ok(Unique(Value::Object(fields))) => Fields(fields),
        Ok(Unique(_)) => return Err("no JSON object".to_owned()),
        Err(why) if why.is_data() => {
            return Err(format!(
                "a field that stands twice, before column {}",
                why.column()
            ));
        }
        Err(why) => return Err(format!("no JSON object, from column {} on", why.column())),
    };
    if fields.0.keys().any(|name| !FIELDS.contains(&name.as_str())) {
        return Err(format!(
            "an unknown field; known here: {}",
            FIELDS.join(", ")
        ));
    }
    if fields.repeat_the_secret() {
        return Err(
            "secret: it stands in another field as well, where it would be kept".to_owned(),
        );
    }
    let kept = kept(&mut fields)?;
    let external_id = fields.take("external_id")?;
    let name = fields.take::<Name>("name")?;
    Ok(Row {
        line,
        kept,
        new: NewApiKey {
            name: name.unwrap_or_else(|| Name::new("imported").expect("a short, visible text")),
            description: fields.take("description")?,
            scopes: fields.take("scopes")?.unwrap_or_default(),
            roles: fields.take("roles")?.unwrap_or_default(),
            networks: fields
                .take("allowed_ip_cidrs")?
                .unwrap_or_else(NetworkSet::any),
            rate_limit: fields.take("rate_limit")?,
            exchange_only: fields.take("exchange_only")?.unwrap_or_default(),
            external_id,
            metadata: fields.take("metadata")?.unwrap_or_default(),
            expiry: fields.take("expires_at")?.map(Expiry::At),
        },
    })
}

fn kept(fields: &mut Fields) -> Result<Kept, String> {
    let hash = fields.take::<HashField>("hash")?;
    let prefix = fields.take::<String>("prefix")?;
    let secret = fields.take::<String>("secret")?;
    let slow = match (secret, hash) {
        (Some(mut text), None) => {
            let secret = ForeignSecret::import(&text);
            text.zeroize();
            return match (secret, prefix) {
                (Ok(secret), None) => Ok(Kept::of(&secret)),
                (Err(why), _) => Err(format!("secret: {why}")),
                (Ok(_), Some(_)) => Err(needless()),
            };
        }
        (None, Some(hash)) => match hash {
            HashField {
                sha256: Some(text),
                sha512: None,
                bcrypt: None,
                argon2: None,
            } if prefix.is_none() => return digest(&text).map(Kept::Sha256),
            HashField {
                sha256: None,
                sha512: Some(text),
                bcrypt: None,
                argon2: None,
            } if prefix.is_none() => return digest(&text).map(Kept::Sha512),
            HashField {
                sha256: None,
                sha512: None,
                bcrypt: Some(text),
                argon2: None,
            } if text.starts_with("$2") => text,
            HashField {
                sha256: None,
                sha512: None,
                bcrypt: None,
                argon2: Some(text),
            } if text.starts_with("$argon2") => text,
            HashField { sha256, sha512, .. } if sha256.is_some() || sha512.is_some() => {
                return Err(match prefix {
                    Some(_) => needless(),
                    None => "hash: give one".to_owned(),
                });
            }
            _ => {
                return Err("hash: give one of sha256, sha512, bcrypt ($2b$…), argon2 \
                            ($argon2id$…)"
                    .to_owned());
            }
        },
        _ => return Err("give secret or hash, and not both".to_owned()),
    };
    let prefix = prefix.ok_or(
        "prefix: say how the string begins, far enough to tell it from others: nothing else of it \
         can be looked up",
    )?;
    let visible = prefix.bytes().all(|byte| byte.is_ascii_graphic());
    if !visible || !(SHORTEST_PREFIX..=64).contains(&prefix.len()) {
        return Err(format!(
            "prefix: write {SHORTEST_PREFIX} to 64 visible ASCII characters"
        ));
    }
    Kept::slow(slow, prefix).map_err(|why| format!("hash: {why}"))
}

fn needless() -> String {
    "prefix: goes with bcrypt and argon2 alone".to_owned()
}

/// In hexadecimal digits, or base64.
fn digest<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let read = unhex(text)
        .or_else(|| STANDARD.decode(text).ok())
        .or_else(|| STANDARD_NO_PAD.decode(text).ok());
    read.and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| format!("hash: write {N} bytes in hexadecimal digits or base64"))
}

/// The fields of a line, each read once.
struct Fields(Map<String, Value>);

impl Fields {
    /// Whether another field holds the string itself: it would be kept in clear, and shown.
    fn repeat_the_secret(&self) -> bool {
        let Some(secret) = self.0.get("secret").and_then(Value::as_str) else {
            return false;
        };
        let others = self.0.iter().filter(|(name, _)| *name != "secret");
        !secret.is_empty() && others.into_iter().any(|(_, value)| holds(value, secret))
    }

    /// A field; `null` counts as left out.
    fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, String> {
        let Some(value) = self.0.remove(name).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let mut texts = Vec::new();
        collect(&value, &mut texts);
        serde_json::from_value(value).map(Some).map_err(|why| {
            let why = why.to_string();
            // Somebody may have put the string into another field than that of secrets.
            let repeats = texts.iter().any(|text| why.contains(text.as_str()));
            if repeats || redact(&why) != why {
                format!("{name}: not acceptable")
            } else {
                format!("{name}: {why}")
            }
        })
    }
}

/// Every text of a value that is long enough to be one's own.
fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) if text.len() >= 4 => texts.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| collect(value, texts)),
        Value::Object(members) => {
            for (name, value) in members {
                texts.extend((name.len() >= 8).then(|| name.clone()));
                collect(value, texts);
            }
        }
        _ => {}
    }
}

fn holds(value: &Value, secret: &str) -> bool {
    match value {
        Value::String(text) => text.contains(secret),
        Value::Array(values) => values.iter().any(|value| holds(value, secret)),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains(secret) || holds(value, secret)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SECRET: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";

    fn why(row: &Value) -> String {
        let outcome = read(7, &row.to_string());
        outcome.err().unwrap_or_else(|| "read".to_owned())
    }

    #[test]
    fn a_field_that_stands_twice_is_refused() {
        let begin = format!(r#"{{"secret":"{SECRET}","#);
        for rest in [
            r#""scopes":["read"],"scopes":["*"]}"#,
            r#""metadata":{"a":"1","a":"2"}}"#,
            r#""secret":"sk_live_another_that_is_as_long"}"#,
        ] {
            let refused = read(7, &(begin.clone() + rest)).err().unwrap();
            assert!(
                refused.contains("twice") && !refused.contains("sk_"),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_line_may_hold_a_string_or_any_kind_of_hash() {
        let hex = "ab".repeat(32);
        let bcrypt = "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";
        let argon2 = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAA";
        for good in [
            json!({ "secret": SECRET, "scopes": ["read"], "expires_at": null }),
            json!({ "hash": { "sha256": hex }, "scopes": ["read"] }),
            json!({ "hash": { "sha256": hex.to_uppercase() } }),
            json!({ "hash": { "sha256": STANDARD.encode([7; 32]) } }),
            json!({ "hash": { "sha512": STANDARD_NO_PAD.encode([7; 64]) } }),
            json!({ "hash": { "bcrypt": bcrypt }, "prefix": "sk_live_4eC3" }),
            json!({ "hash": { "argon2": argon2 }, "prefix": "sk_live_4eC3" }),
        ] {
            assert_eq!(why(&good), "read", "{good}");
        }
        for bad in [
            json!({}),
            json!([]),
            json!({ "secret": SECRET, "hash": { "sha256": hex } }),
            json!({ "hash": {} }),
            json!({ "hash": { "sha256": hex, "sha512": hex } }),
            json!({ "hash": { "sha512": hex } }),
            json!({ "hash": { "md5": hex } }),
            json!({ "hash": { "sha256": hex }, "prefix": "sk_live_4eC3" }),
            json!({ "hash": { "bcrypt": bcrypt } }),
            json!({ "hash": { "bcrypt": bcrypt }, "prefix": "short" }),
            json!({ "hash": { "bcrypt": argon2 }, "prefix": "sk_live_4eC3" }),
            json!({ "secret": SECRET, "client_id": "x" }),
        ] {
            assert_ne!(why(&bad), "read", "{bad}");
        }
    }

    #[test]
    fn a_reason_repeats_nothing_of_its_line() {
        for bad in [
            json!({ "secret": [SECRET] }),
            json!({ "secret": { SECRET: SECRET } }),
            json!({ SECRET: "x" }),
            json!({ "secret": SECRET, "name": [SECRET] }),
            json!({ "secret": SECRET, "scopes": SECRET }),
            json!({ "secret": SECRET, "scopes": [format!("{SECRET} ?")] }),
            json!({ "secret": SECRET, "metadata": { "a": [SECRET] } }),
            json!({ "secret": SECRET, "metadata": { SECRET: 1 } }),
            json!({ "secret": SECRET, "expires_at": SECRET }),
            json!({ "secret": SECRET, "allowed_ip_cidrs": [SECRET] }),
            json!({ "secret": SECRET, "rate_limit": SECRET }),
            json!({ "secret": SECRET, "rate_limit": { SECRET: 1 } }),
            json!({ "hash": { "sha256": SECRET } }),
            json!({ "hash": SECRET }),
            json!({ "hash": { SECRET: SECRET } }),
        ] {
            let why = why(&bad);
            assert!(why != "read" && !why.contains(&SECRET[..12]), "{why}");
        }
        let broken = format!(r#"{{"secret": "{SECRET}"#);
        assert!(!read(7, &broken).err().unwrap().contains("sk_live"));
    }
}
