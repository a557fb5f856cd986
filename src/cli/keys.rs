//! `tenmint keys`: API keys, of one's own organization or, for the operator, of another.

mod create;
mod edit;
mod fields;
mod filters;
mod revoke;
mod rotate;

use clap::{Args, Subcommand};

use super::Failure;
use super::client::{Answer, Client};
use super::exit::Failed;
use super::listing::{self, Paging};
use super::output;
use super::remote::With;
use super::table::Columns;
use super::{progress, usage};
use crate::domain::secret::KeyId;

/// What lists show.
const COLUMNS: Columns = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("STATUS", "status"),
    ("SCOPES", "scopes"),
    ("ROLES", "roles"),
    ("EXPIRES", "expires_at"),
    ("LAST USED", "last_used_at"),
];

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// List keys
    List(Box<With<List>>),
    /// Show one
    Show(With<One>),
    /// Create one; its secret is shown once
    Create(Box<With<create::Create>>),
    /// Change what one may do, or is called
    Edit(Box<With<edit::Edit>>),
    /// Give one another secret, shown once; the one before counts for a while longer
    Rotate(With<rotate::Rotate>),
    /// End the secrets that rotations left in force
    Finish(With<rotate::Finish>),
    /// Let keys do nothing, until they are enabled
    Disable(With<Several>),
    /// Let disabled keys work again
    Enable(With<Several>),
    /// End keys for good
    Revoke(With<revoke::Revoke>),
    /// End every key that filters select: shows them, asks, and ends those and no others
    RevokeAll(Box<With<revoke::RevokeAll>>),
    /// What one is used for
    Usage(With<Used>),
}

#[derive(Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    filters: filters::Filters,
    #[command(flatten)]
    more: filters::ListFilters,
    #[command(flatten)]
    paging: Paging,
}

#[derive(Args, Debug)]
pub(super) struct One {
    id: KeyId,
}

/// The same thing done to each of several keys.
#[derive(Args, Debug)]
pub(super) struct Several {
    #[arg(required = true, value_name = "ID")]
    ids: Vec<KeyId>,
}

#[derive(Args, Debug)]
pub(super) struct Used {
    id: KeyId,
    #[command(flatten)]
    period: usage::Period,
}

impl Command {
    /// Runs the command to its end.
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Self::List(with) => {
                let List {
                    filters,
                    more,
                    paging,
                } = &with.verb;
                let mut parameters = filters.parameters();
                parameters.extend(more.parameters());
                let client = with.remote.open()?;
                listing::print(&client, &["api-keys"], &parameters, paging, COLUMNS)
            }
            Self::Show(With { verb, remote }) => {
                let client = remote.open()?;
                output::show(&client, &client.get(&["api-keys", &verb.id.to_string()])?)
            }
            Self::Create(with) => with.verb.run(&with.remote.open()?),
            Self::Edit(with) => with.verb.run(&with.remote.open()?),
            Self::Rotate(With { verb, remote }) => verb.run(&remote.open()?),
            Self::Finish(With { verb, remote }) => verb.run(&remote.open()?),
            Self::Disable(With { verb, remote }) => verb.switch(&remote.open()?, "disable"),
            Self::Enable(With { verb, remote }) => verb.switch(&remote.open()?, "enable"),
            Self::Revoke(With { verb, remote }) => verb.run(&remote.open()?),
            Self::RevokeAll(with) => with.verb.run(&with.remote.open()?),
            Self::Usage(With { verb, remote }) => verb.period.print(&remote.open()?, Some(verb.id)),
        }
    }
}

impl Several {
    fn switch(&self, client: &Client, verb: &str) -> Result<(), Failure> {
        self.each(client, |id| client.post(&["api-keys", id, verb]))
    }

    /// Does the same to each key, also when one of them is refused, and prints what each is then.
    fn each(
        &self,
        client: &Client,
        act: impl Fn(&str) -> Result<Answer, Failed>,
    ) -> Result<(), Failure> {
        let bar = progress::bar(self.ids.len());
        let mut refused = None;
        for id in self.ids.iter().map(KeyId::to_string) {
            let outcome = act(&id);
            bar.suspend(|| -> Result<(), Failure> {
                match outcome {
                    Ok(answer) => {
                        let key: serde_json::Value = answer.read()?;
                        let words = format!("{id} {}", output::cell(&key["status"]));
                        output::told(client, &answer, &words)
                    }
                    Err(why) => {
                        // The last one is told by whoever ends the command.
                        if let Some((id, why)) = refused.replace((id, why)) {
                            eprintln!("tenmint: {id}: {why}");
                        }
                        Ok(())
                    }
                }
            })?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        match refused {
            Some((id, why)) if self.ids.len() > 1 => Err(why.about(&id).into()),
            Some((_, why)) => Err(why.into()),
            None => Ok(()),
        }
    }

    /// The keys as a question names them.
    fn names(&self, client: &Client) -> String {
        let few = self.ids.len() <= 10;
        let names = self.ids.iter().map(|id| {
            let path = ["api-keys", &id.to_string()];
            // Whoever may revoke keys may not always read them.
            let key = few.then(|| client.get(&path).and_then(|key| key.read()));
            match key {
                Some(Ok(key)) => named(&key),
                _ => id.to_string(),
            }
        });
        names.collect::<Vec<_>>().join(", ")
    }
}

/// A key as a person recognises it.
fn named(key: &serde_json::Value) -> String {
    format!(
        "{} ({})",
        output::cell(&key["id"]),
        output::cell(&key["name"])
    )
}
