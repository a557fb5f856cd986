//! Edits of a key: what is said changes, what is not said stays (RFC 7396).

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::super::network::NetworkSet;
use super::super::rate_limit::RateLimit;
use super::super::role::RoleNames;
use super::super::scope::ScopeSet;
use super::super::text::{Description, ExternalId, Metadata, Name};
use super::{ApiKey, Expiry};

/// What a caller says should change, each part already checked by itself. The outer `None`
/// leaves a field as it is, the inner one removes what is there.
#[derive(Clone, Debug, Default)]
pub struct ApiKeyEdit {
    /// What people call it.
    pub name: Option<Name>,
    /// What it is for.
    pub description: Option<Option<Description>>,
    /// Its own scopes, all of them.
    pub scopes: Option<ScopeSet>,
    /// Its roles, all of them.
    pub roles: Option<RoleNames>,
    /// Where it may be used from.
    pub networks: Option<NetworkSet>,
    /// How often it may be exchanged.
    pub rate_limit: Option<Option<RateLimit>>,
    /// Whether services are never to be shown it itself.
    pub exchange_only: Option<bool>,
    /// The platform's own id for the holder.
    pub external_id: Option<Option<ExternalId>>,
    /// The platform's own notes.
    pub metadata: Option<MetadataEdit>,
    /// When it ends.
    pub expiry: Option<Option<Expiry>>,
}

/// An edit of metadata.
#[derive(Clone, Debug)]
pub enum MetadataEdit {
    /// Removes all of it.
    Clear,
    /// Sets entries, and removes those without a value.
    Merge(Vec<(String, Option<String>)>),
}

impl MetadataEdit {
    /// The metadata as it becomes.
    ///
    /// # Errors
    /// Says why a name or value was refused, or that there is no room.
    pub fn apply(&self, to: &Metadata) -> Result<Metadata, String> {
        let Self::Merge(entries) = self else {
            return Ok(Metadata::default());
        };
        let mut merged = to.clone();
        // What goes makes room for what comes, in whichever order they were written.
        for (name, _) in entries {
            merged.remove(name);
        }
        for (name, value) in entries {
            if let Some(value) = value {
                merged.insert(name, value)?;
            }
        }
        Ok(merged)
    }
}

impl ApiKeyEdit {
    /// Sets what needs no more than to be set: names, notes and limits. What a key may do and
    /// when it ends is for the caller, who knows of roles and of the time.
    ///
    /// # Errors
    /// Those of metadata.
    pub fn set_plain(&self, key: &mut ApiKey) -> Result<(), String> {
        if let Some(name) = &self.name {
            key.name = name.clone();
        }
        if let Some(description) = &self.description {
            key.description.clone_from(description);
        }
        if let Some(external_id) = &self.external_id {
            key.external_id.clone_from(external_id);
        }
        if let Some(metadata) = &self.metadata {
            key.metadata = metadata.apply(&key.metadata)?;
        }
        if let Some(rate_limit) = self.rate_limit {
            key.rate_limit = rate_limit;
        }
        if let Some(exchange_only) = self.exchange_only {
            key.exchange_only = exchange_only;
        }
        if let Some(networks) = &self.networks {
            key.networks = networks.clone();
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for MetadataEdit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = MetadataEdit;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object whose values are strings, or null to remove one")
            }
            fn visit_unit<E: de::Error>(self) -> Result<MetadataEdit, E> {
                Ok(MetadataEdit::Clear)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MetadataEdit, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    map.next_value_seed(Entry(name, &mut entries))?;
                }
                Ok(MetadataEdit::Merge(entries.into_iter().collect()))
            }
        }
        deserializer.deserialize_any(Entries)
    }
}

/// One entry, checked where it stands, so that a refusal points at it.
struct Entry<'a>(String, &'a mut BTreeMap<String, Option<String>>);

impl<'de> DeserializeSeed<'de> for Entry<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self(name, entries) = self;
        let value = Option::<String>::deserialize(deserializer)?;
        let mut alone = Metadata::default();
        alone
            .insert(&name, value.as_deref().unwrap_or_default())
            .map_err(de::Error::custom)?;
        let name = name.trim().to_owned();
        match entries.insert(name, value) {
            None if entries.len() <= 2 * Metadata::MAX => Ok(()),
            None => Err(de::Error::custom("too many metadata entries in one edit")),
            Some(_) => Err(de::Error::custom("a metadata name is given twice")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_merged_member_by_member() {
        let mut metadata = Metadata::default();
        for n in 0..Metadata::MAX {
            metadata.insert(&format!("n{n}"), "v").unwrap();
        }
        let entry = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        let full = MetadataEdit::Merge(vec![entry("new", Some("v"))]);
        assert!(full.apply(&metadata).is_err());
        let swap = MetadataEdit::Merge(vec![entry("new", Some("v")), entry("n0", None)]);
        let swapped = serde_json::to_value(swap.apply(&metadata).unwrap()).unwrap();
        assert_eq!(swapped["new"], "v");
        assert!(swapped.get("n0").is_none() && swapped["n1"] == "v");
        let gone = MetadataEdit::Clear.apply(&metadata).unwrap();
        assert_eq!(gone, Metadata::default());
    }
}
