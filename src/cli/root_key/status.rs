//! `tenmint root-key status`.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::app::StartError;
use crate::app::existing::existing;
use crate::cli::Failure;
use crate::cli::output::{escaped, visible};
use crate::cli::table::{Columns, Table};
use crate::clock::Clock;
use crate::domain::organization::OrganizationId;
use crate::manage::root_keys::status::{Described, State, Status, Waiting, WouldEnd, status};
use crate::settings::Settings;

/// How many API keys are shown to people, and how many organizations are named.
const SHOWN: usize = 50;

const ROOT_KEYS: Columns = &[
    ("ROOT KEY", "id"),
    ("STATE", "state"),
    ("SUPERSEDED", "superseded_at"),
    ("HELD HERE", "held"),
    ("ORGANIZATIONS", "organizations"),
    ("SIGNING KEYS", "signing_keys"),
    ("API KEYS", "api_keys"),
];

const NODES: Columns = &[
    ("SERVER", "id"),
    ("WORKS WITH", "in_use"),
    ("HOLDS", "held"),
    ("HEARD", "seen_at"),
];

const API_KEYS: Columns = &[
    ("API KEY", "id"),
    ("ORGANIZATION", "organization"),
    ("NAME", "name"),
    ("STATUS", "status"),
    ("LAST USED", "last_used_at"),
    ("NEEDS", "root_key"),
    ("WOULD END", "would_end"),
];

#[derive(Args, Debug)]
pub(in crate::cli) struct Show {
    /// Print JSON, with every API key that needs a former root key
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    pub(super) settings: Settings,
}

impl Show {
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let (store, crypto) = existing(&self.settings).await?;
        let found = status(&store, &crypto.keyring(), Clock::system().now()).await?;
        store.close().await;
        let nothing = || StartError::NoDeployment(self.settings.database_url_shown());
        let status = found.ok_or_else(nothing)?;
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", escaped(&serde_json::to_string(&status)?))?;
        } else {
            tell(&mut out, &status)?;
        }
        Ok(out.flush()?)
    }
}

fn tell(out: &mut impl Write, status: &Status) -> Result<(), Failure> {
    Table::new(ROOT_KEYS).print(out, &rows(&status.root_keys)?)?;
    if !status.nodes.is_empty() {
        writeln!(out)?;
        Table::new(NODES).print(out, &rows(&status.nodes)?)?;
    }
    if !status.api_keys.is_empty() {
        writeln!(out)?;
        tell_waiting(out, &status.api_keys, "--json names them all")?;
        writeln!(
            out,
            "\n`tenmint root-key drop --force` ends what is named here, for good: the key, or one \
             of its two secrets."
        )?;
    }
    writeln!(out)?;
    for key in &status.root_keys {
        if let Some(verdict) = verdict(key) {
            writeln!(out, "{verdict}")?;
        }
    }
    Ok(())
}

/// Names API keys that need a root key; `more` says where those beyond the first are named.
pub(super) fn tell_waiting(
    out: &mut impl Write,
    api_keys: &[Waiting],
    more: &str,
) -> Result<(), Failure> {
    let shown = &api_keys[..api_keys.len().min(SHOWN)];
    Table::new(API_KEYS).print(out, &rows(shown)?)?;
    let others = api_keys.len() - shown.len();
    if others > 0 {
        writeln!(out, "and {others} more: {more}")?;
    }
    match api_keys.iter().filter(|key| key.used_since).count() {
        0 => {}
        used => writeln!(
            out,
            "{used} of them were used after their root key was replaced: each is freed at its next use"
        )?,
    }
    let operator = OrganizationId::operator();
    let ending = api_keys.iter().filter(|key| key.would_end == WouldEnd::Key);
    let (own, others): (Vec<_>, Vec<_>) =
        ending.partition(|key| key.organization == operator.as_str());
    let managers = others.iter().filter(|key| key.management_key);
    let managed: Vec<_> = managers.map(|key| key.organization.clone()).collect();
    if !managed.is_empty() {
        let names = visible(&listed(&managed));
        writeln!(out, "among them are the management keys of {names}")?;
    }
    if !own.is_empty() {
        writeln!(out, "{} of them are the operator's own", own.len())?;
    }
    Ok(())
}

/// The first of many names.
pub(super) fn listed(names: &[String]) -> String {
    let shown = &names[..names.len().min(SHOWN)];
    let more = names.len() - shown.len();
    match more {
        0 => shown.join(", "),
        more => format!("{}, and {more} more", shown.join(", ")),
    }
}

/// What is to be done about a root key; `None`: nothing.
pub(in crate::cli) fn verdict(key: &Described) -> Option<String> {
    let id = &key.id;
    Some(match key.state {
        State::Current if !key.held => {
            format!("Root key {id} is current and is not held here: nothing works without it.")
        }
        State::Dropped if key.api_keys > 0 => format!(
            "Root key {id} was given up, and {} API keys that need it count as in force: \
             `tenmint root-key drop {id} --force` ends them.",
            key.api_keys
        ),
        State::Current | State::Dropped => return None,
        State::Added => format!(
            "Root key {id} was added, and nothing depends on it: run `tenmint root-key rotate` \
             when every server holds it."
        ),
        State::Replacing => format!(
            "Root key {id} is still being replaced: run `tenmint root-key rotate` to finish that."
        ),
        State::Former if key.droppable => {
            format!("Nothing needs root key {id} any more: run `tenmint root-key drop {id}`.")
        }
        State::Former if key.is_unfinished() => format!(
            "Root key {id} is still needed by {} API keys, and by {} organizations and {} signing \
             keys that did not go over: run `tenmint root-key rotate`, which says why they do not.",
            key.api_keys, key.organizations, key.signing_keys
        ),
        State::Former if key.api_keys == 0 => format!(
            "Nothing needs root key {id} any more, but a server still works with another than the \
             current one: wait for it."
        ),
        State::Former => format!(
            "Root key {id} is still needed by {} API keys: keep it. Each is freed of it when it is \
             next used, or by being rotated or revoked; `tenmint root-key status` names them.",
            key.api_keys
        ),
    })
}

pub(super) fn rows(values: &[impl Serialize]) -> Result<Vec<Value>, Failure> {
    let rows: Result<_, _> = values.iter().map(serde_json::to_value).collect();
    Ok(rows?)
}
