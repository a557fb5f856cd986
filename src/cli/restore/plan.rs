//! What a restore is going to do, known before it does anything.

use std::collections::{BTreeMap, BTreeSet};

use super::root_keys::Later;
use super::{Arguments, choice, unlogged};
use crate::app::App;
use crate::cli::Failure;
use crate::cli::exit::{Exit, Failed};
use crate::manage::Management;
use crate::manage::audit_verification::{Checkpoints, Keys, verify};
use crate::manage::restore::{
    Chapter, Logs, MissingRootKey, Outcome, Unknown, bring_up_to_date, living, missing_root_keys,
    replace_everywhere,
};
use crate::manage::root_keys::rotate::Rotated;
use crate::store::error::StoreError;
use crate::store::history::History;
use crate::store::restore::Unfinished;

/// What is to be done.
pub(super) struct Plan {
    chapters: Vec<Chapter>,
    /// Organizations of which not everything is known, and why.
    pub(super) untold: BTreeMap<String, String>,
    /// What no log tells, but for whole organizations.
    pub(super) known: Unfinished,
    /// How many API keys of the backup need root keys with which others ended.
    pub(super) needing: i64,
    /// Organizations that were made after the backup, and the last entry known of each.
    pub(super) lost: BTreeMap<String, i64>,
    /// The signing keys that they had.
    pub(super) lost_signing_keys: BTreeMap<String, BTreeSet<String>>,
    pub(super) unknown: Option<Unknown>,
    /// What became of the root key, if it was replaced again.
    pub(super) replaced: Option<Rotated>,
    /// Root keys that something needs, and that are not held.
    pub(super) missing_root_keys: Vec<MissingRootKey>,
    /// Root keys that are held, and that the database does not know.
    pub(super) unknown_root_keys: Option<Later>,
    /// Exports in which there is nothing.
    pub(super) empty_exports: Vec<String>,
    /// What was served before.
    served: Option<History>,
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
        let (lost, lost_signing_keys) = (logs.lost(), logs.lost_signing_keys());
        let (empty_exports, proven_lost) = (logs.empty(), logs.proven_lost());
        let (store, crypto) = (&management.store, &management.crypto);
        let chapters = logs.chapters(store, crypto).await?;
        let told = (&*chapters, &proven_lost);
        let unlogged = unlogged::find(store, served, told, arguments.in_place).await?;
        // One that was stopped half way knew more: what it did is by now in the log as well.
        let mut known = store.unfinished_restore().await?.unwrap_or_default();
        known.missing = known.missing.max(unlogged.acts);
        // Where some are known to be missing, that the last is not there says nothing more.
        known.another_history |= unlogged.another_history && known.missing == 0;
        known
            .ended_with
            .extend(chapters.iter().flat_map(Chapter::ended_with));
        let needing = keys_needing(management, &known.ended_with).await?;
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
            known,
            needing,
            lost,
            lost_signing_keys,
            unknown: arguments.unknown(),
            replaced: None,
            missing_root_keys: Vec::new(),
            unknown_root_keys: None,
            empty_exports,
            served: served.cloned(),
        };
        choice::require(&plan)?;
        Ok(plan)
    }

    /// Does it, one organization at a time.
    ///
    /// # Errors
    /// What went wrong. What was done until then stays done, and doing it again does the rest.
    pub(super) async fn carry_out(&mut self, app: &App) -> Result<Vec<Outcome>, Failure> {
        let mut outcomes = Vec::new();
        let nothing = BTreeMap::new();
        let ended_with = match self.unknown {
            Some(Unknown::Quarantine) => &self.known.ended_with,
            _ => &nothing,
        };
        app.management.store.begin_restore(&self.known).await?;
        let (told, served) = self.became_current(&app.management).await?;
        let became_current: Vec<_> = told.iter().chain(&served).cloned().collect();
        for chapter in std::mem::take(&mut self.chapters) {
            // What nobody knows of may have been done to any of them.
            let unlogged = self.known.missing > 0 || self.known.another_history;
            let known = chapter.is_whole() && !unlogged;
            let unknown = self.unknown.filter(|_| !known);
            let organization = chapter.head.organization.clone();
            let management = &app.management;
            let done = bring_up_to_date(management, chapter, unknown, ended_with, &became_current);
            let done = done.await;
            let done = done.map_err(|why| format!("{organization}: {why}"))?;
            outcomes.extend(done);
        }
        self.replaced = replace_everywhere(&app.management).await?;
        self.missing_root_keys = missing_root_keys(&app.management).await?;
        self.unknown_root_keys = Later::find(&app.management, &told, served).await?;
        outcomes.sort_by(|one, other| one.organization.cmp(&other.organization));
        Ok(outcomes)
    }

    /// The root keys that became current after the backup, as the operator's log tells, and the one
    /// that was in what was served here last.
    async fn became_current(
        &self,
        management: &Management,
    ) -> Result<(Vec<String>, Option<String>), StoreError> {
        let told = self
            .chapters
            .iter()
            .filter(|chapter| chapter.is_operators());
        let told = told.flat_map(|chapter| chapter.root_keys.clone()).collect();
        let there = management.store.history().await?;
        let served = self.served.as_ref().zip(there);
        let served = served.filter(|(served, there)| served.is_of(there));
        Ok((told, served.map(|(served, _)| served.root_key.clone())))
    }
}

/// How many API keys need one of these root keys.
async fn keys_needing(
    management: &Management,
    root_keys: &BTreeMap<String, i64>,
) -> Result<i64, StoreError> {
    if root_keys.is_empty() {
        return Ok(0);
    }
    let needs = management.store.root_key_needs(management.clock.now());
    let needs = needs.await?.into_iter();
    let needs = needs.filter(|need| root_keys.contains_key(&need.root_key));
    Ok(needs.map(|need| need.api_keys).sum())
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
