//! What a restore is going to do, known before it does anything.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Arguments;
use crate::app::App;
use crate::cli::Failure;
use crate::cli::exit::{Exit, Failed};
use crate::manage::Management;
use crate::manage::audit_verification::{Checkpoints, Keys, verify};
use crate::manage::restore::{
    Chapter, Logs, Outcome, Unknown, bring_up_to_date, living, replace_everywhere,
};
use crate::manage::root_keys::rotate::Rotated;
use crate::store::history::History;

/// What is to be done.
pub(super) struct Plan {
    chapters: Vec<Chapter>,
    /// Organizations of which not everything is known, and why.
    untold: BTreeMap<String, String>,
    /// Acts that are known to have been done, and that no log tells of.
    pub(super) missing: i64,
    /// Organizations that were made after the backup, and the last entry known of each.
    pub(super) lost: BTreeMap<String, i64>,
    unknown: Option<Unknown>,
    /// What became of the root key, if it was replaced again.
    pub(super) replaced: Option<Rotated>,
}

impl Plan {
    /// Holds what is in the database against what logs tell, and `served`, which says how far the
    /// deployment had come. Changes nothing.
    ///
    /// # Errors
    /// When something is not known, and nobody said what to do about it.
    pub(super) async fn make(
        app: &App,
        arguments: &Arguments,
        logs: Logs,
        served: Option<&History>,
    ) -> Result<Self, Failure> {
        let management = &app.management;
        require_whole_chains(management, arguments.accept_faults).await?;
        let living = living(management).await?;
        let lost = logs.lost().clone();
        let (store, crypto) = (&management.store, &management.crypto);
        let chapters = logs.chapters(store, crypto).await?;
        let known: i64 = chapters
            .iter()
            .map(Chapter::last)
            .chain(lost.values().copied())
            .sum();
        let history = management.store.history().await?;
        let missing = served
            .zip(history)
            // Other databases may have been in its place since: what was done on those counts too.
            .filter(|(served, there)| served.is_of(there) && served.restores >= there.restores)
            .map_or(0, |(served, _)| (served.acts - known).max(0));
        let untold = chapters
            .iter()
            .filter(|chapter| !chapter.is_whole())
            .filter(|chapter| living.contains_key(&chapter.head.organization))
            .map(|chapter| {
                let why = chapter.fault.clone();
                let why = why.unwrap_or_else(|| "no log that was given tells of it".to_owned());
                (chapter.head.organization.clone(), why)
            })
            .collect();
        let plan = Self {
            chapters,
            untold,
            missing,
            lost,
            unknown: arguments.unknown(),
            replaced: None,
        };
        plan.require_choice()?;
        Ok(plan)
    }

    /// Explains what has to be chosen between.
    fn require_choice(&self) -> Result<(), Failed> {
        if self.unknown.is_some() || (self.untold.is_empty() && self.missing == 0) {
            return Ok(());
        }
        let mut text = String::from(
            "keys that were revoked, switched off or narrowed after the backup would be as they \
             were before, and nobody would notice. Nothing was changed.\n",
        );
        for (organization, why) in self.untold.iter().take(20) {
            let _ = writeln!(text, "  {organization}: {why}");
        }
        if self.untold.len() > 20 {
            let more = self.untold.len() - 20;
            let _ = writeln!(text, "  and {more} more organizations");
        }
        if self.missing > 0 {
            let missing = self.missing;
            let _ = writeln!(
                text,
                "  {missing} acts were done after the backup of which no log tells"
            );
        }
        text.push_str(
            "Say how to go on:\n  \
             --audit-export FILE    what `tenmint audit export` wrote as operator, one for each\n  \
             \x20                      organization: what it tells of is done again\n  \
             --audit-database FILE  another copy of the database, damaged or not: likewise\n  \
             --quarantine           every key of these organizations is switched off, until\n  \
             \x20                      somebody has looked at it and switches it on\n  \
             --accept-resurrected   they are taken as they are in the backup",
        );
        Err(Failed::new(Exit::Conflict, text))
    }

    /// Does it, one organization at a time.
    ///
    /// # Errors
    /// What went wrong. What was done until then stays done, and doing it again does the rest.
    pub(super) async fn carry_out(&mut self, app: &App) -> Result<Vec<Outcome>, Failure> {
        let mut outcomes = Vec::new();
        for chapter in std::mem::take(&mut self.chapters) {
            let known = chapter.is_whole() && self.missing == 0;
            let unknown = self.unknown.filter(|_| !known);
            let organization = chapter.head.organization.clone();
            let done = bring_up_to_date(&app.management, chapter, unknown).await;
            let done = done.map_err(|why| format!("{organization}: {why}"))?;
            outcomes.extend(done);
        }
        self.replaced = replace_everywhere(&app.management).await?;
        outcomes.sort_by(|one, other| one.organization.cmp(&other.organization));
        Ok(outcomes)
    }
}

/// What cannot be trusted is not put in force by itself.
async fn require_whole_chains(management: &Management, accept: bool) -> Result<(), Failure> {
    let mut faults = Vec::new();
    let (keys, _) = Keys::of(&management.store, &management.crypto).await?;
    verify(
        &management.store,
        &keys,
        None,
        &Checkpoints::default(),
        |report| {
            let fault = report.fault.as_ref();
            faults.extend(fault.map(|fault| format!("{}: {fault}", report.organization)));
        },
    )
    .await?;
    if faults.is_empty() {
        return Ok(());
    }
    let text = faults.join("\n  ");
    if accept {
        eprintln!("audit chains that do not hold:\n  {text}");
        return Ok(());
    }
    let text = format!(
        "audit chains of this database do not hold: somebody changed it past tenmint. Take another \
         backup, or give --accept-faults. Nothing was changed.\n  {text}"
    );
    Err(Failed::new(Exit::Refused, text).into())
}
