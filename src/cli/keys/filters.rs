//! Which keys are meant.

use clap::Args;
use serde_json::{Map, Value, json};

use super::super::listing;
use crate::cli::keys::fields::Pair;

/// Filters of lists and of bulk revocation.
#[derive(Args, Debug)]
#[command(next_help_heading = "Filters")]
pub(super) struct Filters {
    /// In this state: active, disabled, expired, unrevoked; of lists also revoked, all
    #[arg(long)]
    status: Option<String>,

    /// Part of the name, or the beginning of the id
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,

    /// With this external id
    #[arg(long, value_name = "TEXT")]
    external_id: Option<String>,

    /// With this entry of metadata; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    metadata: Vec<Pair>,

    /// Holding this role
    #[arg(long)]
    role: Option<String>,

    /// Permitted this scope
    #[arg(long)]
    scope: Option<String>,

    /// Made by this key, or by `operator`
    #[arg(long, value_name = "ID")]
    created_by: Option<String>,

    /// Not used since this time
    #[arg(long, value_name = "TIME")]
    unused_since: Option<String>,

    /// Ending before this time
    #[arg(long, value_name = "TIME")]
    expires_before: Option<String>,
}

/// What lists have beside.
#[derive(Args, Debug)]
#[command(next_help_heading = "Filters")]
pub(super) struct ListFilters {
    /// Order: created_at, name or expires_at; with - before it, from the other end
    #[arg(long, allow_hyphen_values = true)]
    sort: Option<String>,
}

impl Filters {
    fn texts(&self) -> [(&'static str, &Option<String>); 8] {
        [
            ("status", &self.status),
            ("search", &self.search),
            ("external_id", &self.external_id),
            ("role", &self.role),
            ("scope", &self.scope),
            ("created_by", &self.created_by),
            ("unused_since", &self.unused_since),
            ("expires_before", &self.expires_before),
        ]
    }

    /// As a list's query string has them.
    pub(super) fn parameters(&self) -> listing::Filters {
        let texts = self.texts().into_iter();
        let texts = texts.map(|(name, value)| (name.to_owned(), value.clone()));
        let entries = self.metadata.iter();
        let entries = entries.map(|pair| (format!("metadata[{}]", pair.0), Some(pair.1.clone())));
        texts.chain(entries).collect()
    }

    /// As a body has them.
    pub(super) fn members(&self) -> Map<String, Value> {
        let given = self.texts().into_iter();
        let mut members: Map<_, _> = given
            .filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?))))
            .collect();
        if !self.metadata.is_empty() {
            members.insert("metadata".to_owned(), Pair::object(&self.metadata));
        }
        members
    }
}

impl ListFilters {
    /// As a list's query string has them.
    pub(super) fn parameters(&self) -> listing::Filters {
        vec![("sort".to_owned(), self.sort.clone())]
    }
}
