//! What a restore did, for people and for scripts.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use crate::cli::Failure;
use crate::cli::output::visible;
use crate::manage::restore::Outcome;

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
    /// Root keys that were given up after the backup, and how many API keys ended with each.
    pub(super) ended_with: BTreeMap<String, i64>,
    /// Organizations that are gone, and the last entry that is known of each.
    pub(super) lost_organizations: BTreeMap<String, i64>,
    /// Each organization that there is.
    pub(super) organizations: Vec<Outcome>,
}

impl Report {
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
        if let Some(root_key) = &self.root_key {
            writeln!(
                out,
                "root key {root_key} is current again: keep the one of the backup until `tenmint \
                 root-key status` says that nothing needs it"
            )?;
        }
        for (root_key, ended) in &self.ended_with {
            writeln!(
                out,
                "root key {root_key} was given up after the backup, and {ended} API keys ended with \
                 it. Which, no log tells: what `tenmint root-key status` names as needing it and is \
                 not disabled is in force again. Disable what should not be, or end all of it by \
                 `tenmint root-key drop {root_key} --force`, before a server starts"
            )?;
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
        if self.missing_acts > 0 {
            let missing = self.missing_acts;
            writeln!(out, "{missing} acts were done of which no log tells")?;
        }
        writeln!(
            out,
            "Look at `tenmint doctor`, then start the servers. What was done after the times above is \
             not known"
        )?;
        Ok(out.flush()?)
    }
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
    for note in &outcome.notes {
        writeln!(out, "{organization}: {}", visible(note))?;
    }
    Ok(())
}
