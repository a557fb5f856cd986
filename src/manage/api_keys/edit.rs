//! Keys edited: what is said changes, within the authority of whoever says it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::import::not_for_imported;
use super::{Warning, effective, require_short_tokens, to_act_on};
use crate::domain::api_key::{ApiKey, ApiKeyEdit, Effect, Status, next_notice};
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::scope::Scope;
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;
use crate::manage::act::{Act, Did};
use crate::manage::caller::Actor;
use crate::manage::policy;
use crate::manage::refusal::Refusal;
use crate::manage::scopes::require_known;
use crate::manage::usage::write_down;
use crate::manage::{Management, to_its_end};
use crate::store::changes::Change;

/// A key after its edit.
#[derive(Debug)]
pub struct Edited {
    /// The key.
    pub key: ApiKey,
    /// What its editor may not have meant.
    pub warnings: Vec<Warning>,
}

/// What an edit would do.
#[derive(Debug)]
pub struct Foreseen {
    /// The key as it would become.
    pub key: ApiKey,
    /// What its editor may not mean.
    pub warnings: Vec<Warning>,
    /// From when on exchanges were looked at.
    pub since: Timestamp,
    /// Whether exchanges are recorded at all.
    pub recorded: bool,
    /// What would have become of them.
    pub effect: Effect,
    /// How many more there were, of which only the number is known.
    pub others: u64,
    /// How often services were shown the key itself since then, and it would be refused.
    pub shown: u64,
}

/// What would have become of what a key was used for lately.
#[derive(Default)]
struct Lately {
    effect: Effect,
    others: u64,
    shown: u64,
}

/// How far back exchanges are looked at.
const LATELY: Duration = Duration::from_hours(7 * 24);

/// Which revisions an edit may build on (RFC 9110 §13.1.1).
#[derive(Clone, Debug, Default)]
pub enum Precondition {
    /// Whichever is there.
    #[default]
    None,
    /// One of these.
    Revisions(Vec<i64>),
}

impl Precondition {
    /// Requires that `revision` is one that may be built on.
    ///
    /// # Errors
    /// [`Refusal::Changed`].
    pub fn require(&self, revision: i64) -> Result<(), Refusal> {
        match self {
            Self::Revisions(expected) if !expected.contains(&revision) => Err(Refusal::Changed),
            _ => Ok(()),
        }
    }
}

/// Edits a key. Nothing said, or nothing different, changes nothing.
///
/// What an edit adds must be within its editor's own authority; what was there may stay.
///
/// # Errors
/// [`Refusal::Changed`] when the precondition fails, [`Refusal::Exceeds`], and others.
pub async fn edit(
    management: Arc<Management>,
    actor: Actor,
    organization: OrganizationId,
    id: KeyId,
    edit: ApiKeyEdit,
    precondition: Precondition,
) -> Result<Edited, Refusal> {
    let action = ManagementAction::ApiKeysUpdate;
    actor.require(action)?;
    to_its_end(async move {
        let mut act = Act::begin(&management, &actor, &organization, action).await?;
        let (before, after) = prepare(&management, &mut act, id, &edit, &precondition).await?;
        let lately = lately(&mut act, &before, &after).await?;
        let warnings = warnings(&before, &after, &lately);
        let details = differences(&before, &after);
        if details.is_empty() {
            return Ok(Edited {
                key: before,
                warnings,
            });
        }
        act.write.save_api_key(&after).await?;
        act.commit(Did {
            action: "api_key.update",
            target: id.to_string(),
            details: Value::Object(details),
            changes: vec![Change::Key(id)],
        })
        .await?;
        Ok(Edited {
            key: after,
            warnings,
        })
    })
    .await
}

/// Tells what an edit would do, and changes nothing. Whatever would refuse the edit refuses this.
///
/// # Errors
/// As [`edit`].
pub async fn foresee(
    management: &Management,
    actor: &Actor,
    organization: &OrganizationId,
    id: KeyId,
    edit: &ApiKeyEdit,
    precondition: &Precondition,
) -> Result<Foreseen, Refusal> {
    let action = ManagementAction::ApiKeysUpdate;
    actor.require(action)?;
    write_down(management).await?;
    // Never committed: it never happens.
    let mut act = Act::begin(management, actor, organization, action).await?;
    let (before, after) = prepare(management, &mut act, id, edit, precondition).await?;
    let lately = lately(&mut act, &before, &after).await?;
    Ok(Foreseen {
        warnings: warnings(&before, &after, &lately),
        key: after,
        since: act.now.minus(LATELY),
        recorded: management.usage.records_exchanges(),
        effect: lately.effect,
        others: lately.others,
        shown: lately.shown,
    })
}

async fn lately(act: &mut Act<'_>, before: &ApiKey, after: &ApiKey) -> Result<Lately, Refusal> {
    let since = act.now.minus(LATELY);
    let mut lately = Lately::default();
    if after.exchange_only && !before.exchange_only {
        lately.shown = act.write.count_shown(before.id, since).await?;
    }
    let narrowed = after.effective.uncovered(&before.effective).is_some()
        || !after.networks.covers(&before.networks);
    if !narrowed {
        return Ok(lately);
    }
    let record = act.write.exchange_record(before.id, since).await?;
    lately.effect = Effect::of(before, after, record.exchanges);
    lately.others = record.others;
    Ok(lately)
}

/// The key as it is and as it would become, once everything that could refuse the edit was
/// asked.
async fn prepare(
    management: &Management,
    act: &mut Act<'_>,
    id: KeyId,
    edit: &ApiKeyEdit,
    precondition: &Precondition,
) -> Result<(ApiKey, ApiKey), Refusal> {
    let before = to_act_on(act, id, precondition).await?;
    if before.revoked.is_some() {
        return Err(Refusal::KeyRevoked);
    }
    let mut after = before.clone();
    edit.set_plain(&mut after)
        .map_err(|why| Refusal::invalid("/metadata", why))?;
    if let Some(scopes) = &edit.scopes {
        after.scopes = scopes.clone();
    }
    if let Some(roles) = &edit.roles {
        after.roles = roles.clone();
    }
    if let Some(expiry) = edit.expiry {
        let end = expiry
            .map(|expiry| expiry.instant(act.now))
            .transpose()
            .map_err(|past| Refusal::invalid("/expires_at", past))?;
        if end != before.expires_at {
            after.expires_at = end;
            after.next_notice_at = end.and_then(|end| next_notice(end, act.now));
        }
    }
    after.effective = effective(act, &after.scopes, &after.roles).await?;
    after.note_narrowing(&before, act.now);
    require_own_string(&before, &after, act.now)?;
    require_grant(act, &before, &after)?;
    require_known(act, &before.scopes, &after.scopes).await?;
    require_short_tokens(management, &after)?;
    policy::require(act, Some(&before), &after).await?;
    after.revision += 1;
    Ok((before, after))
}

/// No edit gives an imported key what its import could not.
fn require_own_string(before: &ApiKey, after: &ApiKey, now: Timestamp) -> Result<(), Refusal> {
    if !after.is_imported(now) {
        return Ok(());
    }
    let held = |scope: &Scope| before.effective.covers(scope);
    let Some(action) = ManagementAction::added(&after.effective, held) else {
        return Ok(());
    };
    let of_scopes = after.scopes.covers(&action.scope());
    let pointer = if of_scopes { "/scopes" } else { "/roles" };
    Err(Refusal::invalid(pointer, not_for_imported(action)))
}

/// An edit may leave what is there. One that brings an ended key back to life gives all of it.
fn require_grant(act: &Act<'_>, before: &ApiKey, after: &ApiKey) -> Result<(), Refusal> {
    let revived =
        before.status(act.now) == Status::Expired && after.status(act.now) != Status::Expired;
    if revived {
        return act
            .authority
            .require_whole(after)
            .map_err(Refusal::TargetExceeds);
    }
    act.authority.require_growth(before, after)
}

fn warnings(before: &ApiKey, after: &ApiKey, lately: &Lately) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if after.networks.has_wildcard() && after.networks != before.networks {
        warnings.push(Warning::WildcardNetwork);
    }
    if before.effective.uncovered(&after.effective).is_some() {
        warnings.push(Warning::WidenedScopes);
    }
    if !before.networks.covers(&after.networks) {
        warnings.push(Warning::WidenedNetworks);
    }
    if after.expires_at.is_none() && before.expires_at.is_some() {
        warnings.push(Warning::NoExpiry);
    }
    if !lately.effect.is_none() || lately.shown > 0 {
        warnings.push(Warning::BreaksPresentUse);
    }
    warnings
}

/// What changed, from what to what.
fn differences(before: &ApiKey, after: &ApiKey) -> Map<String, Value> {
    let mut details = Map::new();
    let mut note = |field: &str, from: Value, to: Value| {
        if from != to {
            details.insert(field.to_owned(), json!({ "from": from, "to": to }));
        }
    };
    note("name", json!(before.name), json!(after.name));
    note(
        "description",
        json!(before.description),
        json!(after.description),
    );
    note("scopes", json!(before.scopes), json!(after.scopes));
    note("roles", json!(before.roles), json!(after.roles));
    note(
        "allowed_ip_cidrs",
        json!(before.networks),
        json!(after.networks),
    );
    note(
        "rate_limit",
        json!(before.rate_limit),
        json!(after.rate_limit),
    );
    note(
        "exchange_only",
        json!(before.exchange_only),
        json!(after.exchange_only),
    );
    note(
        "external_id",
        json!(before.external_id),
        json!(after.external_id),
    );
    note("metadata", json!(before.metadata), json!(after.metadata));
    let end = |at: Option<Timestamp>| json!(at);
    note("expires_at", end(before.expires_at), end(after.expires_at));
    details
}
