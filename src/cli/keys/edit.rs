//! `tenmint keys edit`.

use clap::Args;
use serde_json::{Map, Value, json};

use super::fields::Fields;
use crate::cli::Failure;
use crate::cli::client::Client;
use crate::cli::editing::{self, Change};
use crate::cli::output;
use crate::domain::secret::KeyId;

#[derive(Args, Debug)]
pub(in crate::cli) struct Edit {
    id: KeyId,

    /// What to call it
    #[arg(long)]
    name: Option<String>,

    #[command(flatten)]
    fields: Fields,

    #[command(flatten)]
    clear: Clear,

    /// A scope to add to those it has; may be repeated
    #[arg(long, value_name = "SCOPE", conflicts_with = "scope")]
    add_scope: Vec<String>,

    /// A scope to take from it; may be repeated
    #[arg(long, value_name = "SCOPE", conflicts_with = "scope")]
    remove_scope: Vec<String>,

    /// A role to add to those it holds; may be repeated
    #[arg(long, value_name = "ROLE", conflicts_with = "role")]
    add_role: Vec<String>,

    /// A role to take from it; may be repeated
    #[arg(long, value_name = "ROLE", conflicts_with = "role")]
    remove_role: Vec<String>,

    /// Only if this is still its revision
    #[arg(long, value_name = "NUMBER")]
    if_revision: Option<i64>,

    /// Show what would come of it, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    clippy::struct_field_names,
    reason = "each is a flag of its own"
)]
struct Clear {
    /// Let it never end by itself
    #[arg(long, conflicts_with_all = ["expires_in", "expires_at"])]
    clear_expiry: bool,

    /// Let it have no description
    #[arg(long, conflicts_with = "description")]
    clear_description: bool,

    /// Let it have no rate limit of its own
    #[arg(long, conflicts_with = "rate_limit")]
    clear_rate_limit: bool,

    /// Let it have no external id
    #[arg(long, conflicts_with = "external_id")]
    clear_external_id: bool,

    /// Let it be used from any network
    #[arg(long, conflicts_with = "network")]
    clear_networks: bool,

    /// An entry of metadata to remove; may be repeated
    #[arg(long, value_name = "NAME")]
    clear_metadata: Vec<String>,
}

impl Edit {
    pub(super) fn run(&self, client: &Client) -> Result<(), Failure> {
        let edit = editing::Edit {
            path: &["api-keys", &self.id.to_string()],
            body: self.body(),
            changes: vec![
                (
                    "scopes",
                    Change::scopes(&self.add_scope, &self.remove_scope)?,
                ),
                ("roles", Change::names(&self.add_role, &self.remove_role)),
            ],
            revision: self.if_revision,
            dry_run: self.dry_run,
        };
        output::show(client, &edit.send(client)?)
    }

    /// What is said outright.
    fn body(&self) -> Map<String, Value> {
        let mut body = self.fields.members();
        body.extend(
            self.name
                .as_ref()
                .map(|name| ("name".to_owned(), json!(name))),
        );
        for (name, cleared) in [
            ("expires_at", self.clear.clear_expiry),
            ("description", self.clear.clear_description),
            ("rate_limit", self.clear.clear_rate_limit),
            ("external_id", self.clear.clear_external_id),
        ] {
            if cleared {
                body.insert(name.to_owned(), Value::Null);
            }
        }
        if self.clear.clear_networks {
            let any = json!(["0.0.0.0/0", "::/0"]);
            body.insert("allowed_ip_cidrs".to_owned(), any);
        }
        if !self.clear.clear_metadata.is_empty() {
            let metadata = body.entry("metadata").or_insert_with(|| json!({}));
            for name in &self.clear.clear_metadata {
                metadata[name] = Value::Null;
            }
        }
        body
    }
}
