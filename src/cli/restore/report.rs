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
    /// Acts that are known to have been done, and that no log tells of.
    pub(super) missing_acts: i64,
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
            "Look at `tenmint doctor`, then start the servers. What was done after the last entry \
             of the logs that were given is not known"
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
    for key in &outcome.quarantined {
        let (id, name, why) = (&key.id, visible(&key.name), &key.why);
        writeln!(out, "{organization}: switched off {id} ({name}): {why}")?;
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
