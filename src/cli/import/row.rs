//! A line of an import, parsed. What is wrong with it is said without repeating anything of it.

use serde_json::Value;

use super::fields::Fields;
use super::kept::kept;
use super::unique::Unique;
use crate::domain::api_key::{Expiry, NewApiKey};
use crate::domain::network::NetworkSet;
use crate::domain::text::Name;
use crate::manage::api_keys::import::Row;

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

/// Reads a line.
///
/// # Errors
/// Why there is no key in it, with the name of the field and none of its content.
pub(super) fn read(line: u64, text: &str) -> Result<Row, String> {
    let mut fields = match serde_json::from_str(text) {
        Ok(Unique(Value::Object(fields))) => Fields::of(fields),
        Ok(Unique(_)) => return Err("no JSON object".to_owned()),
        Err(why) if why.is_data() => {
            return Err(format!(
                "a field that stands twice, before column {}",
                why.column()
            ));
        }
        Err(why) => return Err(format!("no JSON object, from column {} on", why.column())),
    };
    if fields.names().any(|name| !FIELDS.contains(&name)) {
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
            networks: fields.networks()?.unwrap_or_else(NetworkSet::any),
            rate_limit: fields.take("rate_limit")?,
            exchange_only: fields.take("exchange_only")?.unwrap_or_default(),
            external_id,
            metadata: fields.take("metadata")?.unwrap_or_default(),
            expiry: fields.take("expires_at")?.map(Expiry::At),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
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
            json!({ "hash": { "sha256": "00" }, "allowed_ip_cidrs": [SECRET] }),
            // Written with escapes in place of what cannot be seen.
            json!({ "hash": { "sha256": "ab".repeat(32) }, "allowed_ip_cidrs": [format!("{SECRET}\n")] }),
            json!({ "hash": { "sha256": "ab".repeat(32) }, "scopes": [format!("{SECRET}\n")] }),
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

    #[test]
    fn a_reason_says_which_entry_of_a_list_is_wrong() {
        let hash = json!({ "sha256": "ab".repeat(32) });
        for (wrong, reason) in [
            ("203.0.113.7/24", "bits set after its prefix"),
            ("203.0.113.0/33", "prefix length: write one from /0 to /32"),
            ("2001:db8::/129", "prefix length: write one from /0 to /128"),
            ("fe80::1%eth0", "a zone id"),
            ("everywhere", "is no network: write"),
        ] {
            let row = json!({ "hash": hash, "allowed_ip_cidrs": ["::/0", wrong] });
            let why = why(&row);
            assert!(why.starts_with("allowed_ip_cidrs: entry 2 "), "{why}");
            assert!(why.contains(reason) && !why.contains(wrong), "{why}");
        }
        let row = json!({ "hash": hash, "scopes": ["read", "write", "no scope at all"] });
        assert_eq!(why(&row), "scopes: entry 3 is not acceptable");
    }
}
