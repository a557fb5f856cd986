//! The fields of a line of an import. What is wrong with one is said without repeating anything of it.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use zeroize::Zeroize;

use crate::domain::network::{Network, NetworkError, NetworkSet};
use crate::domain::secret::redact;

/// Words that are so long, in letters and digits, are a value's own.
const LONG_WORD: usize = 8;

/// The fields of a line, each read once.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Of a line.
    pub(super) const fn of(fields: Map<String, Value>) -> Self {
        Self(fields)
    }

    /// How they are called that were not read yet.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether another field holds the string itself: it would be kept in clear, and shown.
    pub(super) fn repeat_the_secret(&self) -> bool {
        let Some(secret) = self.0.get("secret").and_then(Value::as_str) else {
            return false;
        };
        let others = self.0.iter().filter(|(name, _)| *name != "secret");
        !secret.is_empty() && others.into_iter().any(|(_, value)| holds(value, secret))
    }

    /// A field; `null` counts as left out.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, String> {
        let Some(value) = self.0.remove(name).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let read = T::deserialize(&value).map(Some);
        let read = read.map_err(|why| format!("{name}: {}", unfit::<T>(&value, why.to_string())));
        if let Value::String(mut text) = value {
            text.zeroize();
        }
        read
    }

    /// From where a key may be used: which of them is no network, and why.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn networks(&mut self) -> Result<Option<NetworkSet>, String> {
        const NAME: &str = "allowed_ip_cidrs";
        let entries = self.0.get(NAME).and_then(Value::as_array);
        for (place, entry) in (1..).zip(entries.into_iter().flatten()) {
            if let Some(Err(why)) = entry.as_str().map(str::parse::<Network>) {
                return Err(format!("{NAME}: entry {place} {}", in_general(&why)));
            }
        }
        self.take(NAME)
    }
}

/// What is wrong with a value; of a list which entry, where no more can be said.
fn unfit<T: DeserializeOwned>(value: &Value, why: String) -> String {
    if !repeats(value, &why) {
        return why;
    }
    let alone = |entry: &Value| T::deserialize(Value::Array(vec![entry.clone()]));
    let entries = value.as_array().into_iter().flatten();
    match (1..).zip(entries).find(|(_, entry)| alone(entry).is_err()) {
        Some((place, _)) => format!("entry {place} is not acceptable"),
        None => "not acceptable".to_owned(),
    }
}

/// Whether a reason repeats what a value holds: somebody may have put the string into another field
/// than that of secrets. Reasons may write characters otherwise, so it is looked for word by word.
fn repeats(value: &Value, why: &str) -> bool {
    let mut texts = Vec::new();
    collect(value, &mut texts);
    let is_repeated = |text: &String| {
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
        why.contains(text.as_str())
            || words.any(|word| word.len() >= LONG_WORD && why.contains(word))
    };
    redact(why) != why || texts.iter().any(is_repeated)
}

/// Why a text is no network, without the text.
fn in_general(why: &NetworkError) -> String {
    match why {
        NetworkError::Zone { .. } => {
            "has a zone id, which means nothing on another machine: leave it out".to_owned()
        }
        NetworkError::PrefixLength { max, .. } => {
            format!("has no valid prefix length: write one from /0 to /{max}")
        }
        NetworkError::HostBits { .. } => {
            "has bits set after its prefix: write the first address of the network".to_owned()
        }
        NetworkError::Unrepeatable
        | NetworkError::NotANetwork { .. }
        | NetworkError::NoNetworks
        | NetworkError::TooMany => "is no network: write an address such as `203.0.113.7`, or a \
             CIDR such as `203.0.113.0/24` or `2001:db8::/32`"
            .to_owned(),
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
