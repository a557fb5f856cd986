//! The audit log: read in pages, exported whole, and its head kept elsewhere.

use std::sync::Arc;

use super::Management;
use super::caller::Actor;
use super::refusal::{Kind, Refusal};
use crate::domain::audit::{Checkpoint, End, Entry, Filter, OPERATOR};
use crate::domain::hex::hex;
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::store::audit::{Head, Reader};
use crate::store::audit_chain::end_proof;
use crate::store::organizations::Page;

/// Entries that an export holds in memory at a time.
const BATCH: i64 = 200;

/// A page of an organization's entries, newest first, beginning before `before`.
///
/// # Errors
/// See [`Refusal`].
pub async fn list(
    management: &Management,
    actor: &Actor,
    organization: &OrganizationId,
    filter: &Filter,
    before: Option<i64>,
    limit: u8,
) -> Result<Page<Entry>, Refusal> {
    actor.require(ManagementAction::AuditRead)?;
    require_head(management, organization).await?;
    let reader = reader(actor);
    if asks_beyond(filter, reader) {
        let rows = Vec::new();
        return Ok(Page { rows, more: false });
    }
    let store = &management.store;
    let mut page = store
        .audit_page(organization, (filter, reader), before, limit)
        .await?;
    page.rows = shown(page.rows, reader);
    Ok(page)
}

/// The head of an organization's chain now.
///
/// # Errors
/// See [`Refusal`].
pub async fn checkpoint(
    management: &Management,
    actor: &Actor,
    organization: &OrganizationId,
) -> Result<Checkpoint, Refusal> {
    actor.require(ManagementAction::AuditRead)?;
    let head = require_head(management, organization).await?;
    Ok(Checkpoint {
        organization: organization.clone(),
        sequence: head.sequence,
        mac: hex(&head.mac),
        at: management.clock.now(),
    })
}

/// An export under way: every entry asked for, oldest first, up to the one that was the last
/// when it began. What came later was not there to be asked for.
pub struct Export {
    management: Arc<Management>,
    organization: OrganizationId,
    filter: Filter,
    reader: Reader,
    after: i64,
    through: i64,
    end: Option<End>,
}

/// Begins an export.
///
/// # Errors
/// See [`Refusal`].
pub async fn export(
    management: Arc<Management>,
    actor: &Actor,
    organization: OrganizationId,
    filter: Filter,
) -> Result<Export, Refusal> {
    actor.require(ManagementAction::AuditRead)?;
    // Before the head is read: what was done until then is in it.
    let at = management.clock.now();
    let head = require_head(&management, &organization).await?;
    let reader = reader(actor);
    let end = if filter.reaches_the_end() {
        let anchor = management.crypto.anchor(&head.root_key)?;
        let last = (head.sequence, &*head.mac);
        Some(End {
            proof: hex(&end_proof(&anchor, organization.as_str(), last, at)),
            checkpoint: Checkpoint {
                organization: organization.clone(),
                sequence: head.sequence,
                mac: hex(&head.mac),
                at,
            },
        })
    } else {
        None
    };
    let through = if asks_beyond(&filter, reader) {
        0
    } else {
        head.sequence
    };
    Ok(Export {
        management,
        organization,
        filter,
        reader,
        after: 0,
        through,
        end,
    })
}

impl Export {
    /// The next entries; none once it is complete.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt: what was given before is then not all.
    pub async fn next(&mut self) -> Result<Vec<Entry>, Refusal> {
        if self.after >= self.through {
            return Ok(Vec::new());
        }
        let range = (self.after, self.through);
        let store = &self.management.store;
        let entries = store
            .audit_batch(
                &self.organization,
                (&self.filter, self.reader),
                range,
                BATCH,
            )
            .await?;
        self.after = entries.last().map_or(self.through, |last| last.sequence);
        Ok(shown(entries, self.reader))
    }

    /// What it ends with, once; `None` if it was to leave something out.
    pub fn end(&mut self) -> Option<End> {
        self.end.take()
    }

    /// Whose log it is.
    #[must_use]
    pub fn organization(&self) -> &OrganizationId {
        &self.organization
    }
}

fn reader(actor: &Actor) -> Reader {
    match actor.require_operator() {
        Ok(()) => Reader::Operator,
        Err(_) => Reader::Tenant,
    }
}

/// Whether a tenant asks for one of the operator's keys: it is told the same of those that
/// acted and those that do not exist.
fn asks_beyond(filter: &Filter, reader: Reader) -> bool {
    let actor = filter.actor.as_ref();
    reader == Reader::Tenant && actor.is_some_and(|actor| actor.as_str().starts_with(OPERATOR))
}

fn shown(entries: Vec<Entry>, reader: Reader) -> Vec<Entry> {
    match reader {
        Reader::Operator => entries,
        Reader::Tenant => entries.into_iter().map(Entry::for_tenant).collect(),
    }
}

/// The operator names organizations that may not exist.
async fn require_head(
    management: &Management,
    organization: &OrganizationId,
) -> Result<Head, Refusal> {
    let head = management.store.audit_head(organization.as_str()).await?;
    head.ok_or(Refusal::NotFound(Kind::Organization))
}
