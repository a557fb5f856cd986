//! What a restore did, for people and for scripts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use super::plan::Plan;
use super::root_keys::{self, Later};
use crate::cli::Failure;
use crate::cli::output::visible;
use crate::manage::restore::{MissingRootKey, Outcome};

/// What was done.
#[derive(Serialize)]
pub(super) struct Report {
    /// Which database, without a password.
    pub(super) database: String,
    /// Where the database that was there before is kept.
    pub(super) replaced: Option<PathBuf>,
    /// The root key that is current now, if a rotation was done again.
    pub(super) root_key: Option<String>,
    /// Acts that are known to have been done, and that no log tells of.
    pub(super) missing_acts: i64,
    /// Whether the database that was served before had another history, of which no log tells.
    pub(super) another_history: bool,
    /// Root keys that were given up after the backup, and how many API keys ended with each.
    pub(super) ended_with: BTreeMap<String, i64>,
    /// Root keys from before that something needs, and that are not held: no server starts.
    pub(super) missing_root_keys: Vec<MissingRootKey>,
    /// Root keys of which one may be later than the one that is current now.
    pub(super) unknown_root_keys: Option<Later>,
    /// Exports in which there was nothing.
    pub(super) empty_exports: Vec<String>,
    /// Organizations that are gone, and the last entry that is known of each.
    pub(super) lost_organizations: BTreeMap<String, i64>,
    /// The signing keys that these had.
    pub(super) lost_organizations_signing_keys: BTreeMap<String, BTreeSet<String>>,
    /// Each organization that there is.
    pub(super) organizations: Vec<Outcome>,
}

impl Report {
    /// What came of a plan.
    pub(super) fn of(
        plan: Plan,
        organizations: Vec<Outcome>,
        database: String,
        replaced: Option<PathBuf>,
    ) -> Self {
        Self {
            database,
            replaced,
            root_key: plan.replaced.map(|replaced| replaced.to),
            missing_acts: plan.known.missing,
            another_history: plan.known.another_history,
            ended_with: plan.known.ended_with,
            missing_root_keys: plan.missing_root_keys,
            unknown_root_keys: plan.unknown_root_keys,
            empty_exports: plan.empty_exports,
            lost_organizations: plan.lost,
            lost_organizations_signing_keys: plan.lost_signing_keys,
            organizations,
        }
    }

    /// Prints it.
    pub(super) fn show(&self, json: bool) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        if json {
            writeln!(out, "{}", serde_json::to_string(self)?)?;
            return Ok(out.flush()?);
        }
        writeln!(out, "restored {}", self.database)?;
        if let Some(replaced) = &self.replaced {
            let path = replaced.display();
            writeln!(out, "the database that was there is kept at {path}")?;
        }
        let all = &self.organizations;
        let sum = |count: fn(&Outcome) -> usize| all.iter().map(count).sum::<usize>();
        writeln!(
            out,
            "{} organizations: {} acts done again, {} keys switched off, {} keys made after the \
             backup are lost",
            all.len(),
            all.iter().map(|o| o.reapplied).sum::<u64>(),
            sum(|o| o.quarantined.len()),
            sum(|o| o.lost_keys.len()),
        )?;
        root_keys::show(&mut out, self)?;
        for export in &self.empty_exports {
            writeln!(out, "{} is empty, and told of nothing", visible(export))?;
        }
        for outcome in all {
            show_one(&mut out, outcome)?;
        }
        for (organization, last) in &self.lost_organizations {
            let organization = visible(organization);
            writeln!(
                out,
                "{organization}: made after the backup, and gone (its log had {last} entries)"
            )?;
        }
        for (organization, kids) in &self.lost_organizations_signing_keys {
            show_lost_signing_keys(&mut out, organization, kids)?;
        }
        if self.missing_acts > 0 {
            let missing = self.missing_acts;
            writeln!(out, "{missing} acts were done of which no log tells")?;
        }
        if self.another_history {
            writeln!(
                out,
                "the database that was served here before had another history: what was revoked \
                 there is in force, unless it was revoked here too"
            )?;
        }
        writeln!(
            out,
            "Look at `tenmint doctor`, then start the servers. What was done after the times above is \
             not known"
        )?;
        Ok(out.flush()?)
    }
}

/// Names signing keys that are gone, whatever of their tokens is still out.
fn show_lost_signing_keys<'k>(
    out: &mut impl Write,
    organization: &str,
    kids: impl IntoIterator<Item = &'k String>,
) -> io::Result<()> {
    let organization = visible(organization);
    for kid in kids {
        writeln!(
            out,
            "{organization}: lost signing key {kid}, made after the backup: tokens that it signed are \
             refused where validators fetch the keys anew"
        )?;
    }
    Ok(())
}

fn show_one(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    let organization = visible(&outcome.organization);
    let (from, to) = (outcome.backup_entry, outcome.log_entry);
    if to > from {
        let first = from + 1;
        let again = outcome.reapplied;
        writeln!(
            out,
            "{organization}: entries {first} to {to} taken back, {again} acts done again"
        )?;
    }
    match (outcome.log_until, outcome.log_whole) {
        (Some(until), true) => writeln!(
            out,
            "{organization}: everything is known up to entry {to}, until {until}"
        )?,
        (Some(at), false) => writeln!(
            out,
            "{organization}: known up to entry {to} of {at}; whether more was done is not known"
        )?,
        (None, _) => writeln!(
            out,
            "{organization}: nothing is known of what was done after entry {to}, the backup's last"
        )?,
    }
    if let Some(why) = &outcome.unknown_because {
        writeln!(out, "{organization}: {}", visible(why))?;
    }
    for key in &outcome.quarantined {
        let (id, name, why) = (&key.id, visible(&key.name), &key.why);
        writeln!(out, "{organization}: switched off {id} ({name}): {why}")?;
    }
    for kid in &outcome.revoked_signing_keys {
        writeln!(
            out,
            "{organization}: signing key {kid} was revoked, as it may have been after the backup"
        )?;
    }
    for key in &outcome.lost_keys {
        let (id, name) = (&key.id, visible(&key.name));
        writeln!(
            out,
            "{organization}: lost {id} ({name}), made after the backup"
        )?;
    }
    show_lost_signing_keys(out, &outcome.organization, &outcome.lost_signing_keys)?;
    for note in &outcome.notes {
        writeln!(out, "{organization}: {}", visible(note))?;
    }
    Ok(())
}
