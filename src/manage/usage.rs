//! Usage, read: how often and how keys were used, and why requests were refused.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Management;
use super::caller::Actor;
use super::refusal::{Kind, Refusal};
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::{Grain, Outcome};
use crate::store::error::StoreError;
use crate::store::organizations::Page;
use crate::store::usage::reading::Counted;

pub use crate::store::usage::RefusalRow;
pub use crate::store::usage::reading::{Asked, LastUse};

/// Tokens obtained within the life of one, by one client, from which on it is taken not to
/// keep them.
const TOO_MANY_TENTHS: u64 = 50;

/// Fewer tokens in an hour tell nothing of a client's habits.
const TELLING: u64 = 20;

/// How long a reader waits for what was counted to be written.
const PATIENCE: Duration = Duration::from_secs(5);

/// The spans that are asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Period {
    /// What kind of spans.
    pub grain: Grain,
    /// The start of the first.
    pub since: Timestamp,
    /// The end of the last.
    pub until: Timestamp,
}

/// Uses by outcome: those that are not there did not happen.
pub type Counts = BTreeMap<Outcome, u64>;

/// The spans of a period in which something was used, oldest first.
#[derive(Debug)]
pub struct Used {
    /// What was asked.
    pub period: Period,
    /// Each span's start, and its uses.
    pub spans: Vec<(Timestamp, Counts)>,
}

/// The same of one key, and how it is used.
#[derive(Debug)]
pub struct KeyUsed {
    /// What it was used for.
    pub used: Used,
    /// Its last use, if any.
    pub last: Option<LastUse>,
    /// How its tokens are used.
    pub habit: Habit,
}

/// How a key's clients go about their tokens.
///
/// The measure is taken in the busiest of the last 24 hours: tokens issued in it, times the
/// life of a token, per hour, per address that obtained one on that day. A client that keeps
/// its token until it ends has a measure of about one, however many copies of it run, as long
/// as they have addresses of their own; copies behind one address look like one client. Where
/// exchanges are not recorded, all clients count as one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Habit {
    /// Tokens that each client obtained within the life of one, in tenths.
    pub tenths_per_lifetime: u64,
    /// Whether that looks like a client that obtains a token for each request: five and more,
    /// and at least 20 tokens in the hour.
    pub not_caching: bool,
}

/// How an organization's keys were used.
///
/// # Errors
/// See [`Refusal`].
pub async fn of_organization(
    management: &Management,
    actor: &Actor,
    organization: &OrganizationId,
    period: Period,
) -> Result<Used, Refusal> {
    actor.require(ManagementAction::UsageRead)?;
    management.require_organization(actor, organization).await?;
    write_down(management).await?;
    used(management, organization, None, period).await
}

/// How one key of an organization was used.
///
/// # Errors
/// [`Refusal::NotFound`] when there is none, or it is another organization's.
pub async fn of_key(
    management: &Management,
    actor: &Actor,
    organization: &OrganizationId,
    id: KeyId,
    period: Period,
) -> Result<KeyUsed, Refusal> {
    actor.require(ManagementAction::UsageRead)?;
    management.require_organization(actor, organization).await?;
    let found = management.store.api_key(organization, id).await?;
    found.ok_or(Refusal::NotFound(Kind::ApiKey))?;
    write_down(management).await?;
    Ok(KeyUsed {
        used: used(management, organization, Some(id), period).await?,
        last: management.store.last_use(id).await?,
        habit: habit(management, organization, id).await?,
    })
}

/// A page of refusals and their true causes, newest first: of an organization's keys, and for
/// the operator's own organization also those of nobody's key. A request id or key that is
/// another organization's is not in it, as if there were none.
///
/// # Errors
/// See [`Refusal`].
pub async fn refusals(
    management: &Management,
    actor: &Actor,
    asked: Asked,
) -> Result<Page<RefusalRow>, Refusal> {
    actor.require(ManagementAction::UsageRead)?;
    management
        .require_organization(actor, &asked.organization)
        .await?;
    write_down(management).await?;
    Ok(management.store.refusals(&asked).await?)
}

/// What just happened on this node is the likeliest question. Whoever asks does not wait
/// behind all those who asked before while the database hangs.
pub(super) async fn write_down(management: &Management) -> Result<(), Refusal> {
    tokio::time::timeout(PATIENCE, management.usage.flush())
        .await
        .unwrap_or(Err(StoreError::TimedOut))?;
    Ok(())
}

async fn used(
    management: &Management,
    organization: &OrganizationId,
    key: Option<KeyId>,
    period: Period,
) -> Result<Used, Refusal> {
    let Period {
        grain,
        since,
        until,
    } = period;
    let counted = management
        .store
        .usage_counts(organization, key, grain, since, until)
        .await?;
    Ok(Used {
        period,
        spans: spans(&counted),
    })
}

fn spans(counted: &[Counted]) -> Vec<(Timestamp, Counts)> {
    counted
        .chunk_by(|one, next| one.starts_at == next.starts_at)
        .map(|span| {
            let counts = span.iter().map(|one| (one.outcome, one.count)).collect();
            (span[0].starts_at, counts)
        })
        .collect()
}

async fn habit(
    management: &Management,
    organization: &OrganizationId,
    key: KeyId,
) -> Result<Habit, Refusal> {
    let store = &management.store;
    let now = management.clock.now();
    let day_ago = Timestamp::from_unix((now.unix() - 86_400).max(0)).unwrap_or(now);
    let counted = store
        .usage_counts(
            organization,
            Some(key),
            Grain::Hour,
            day_ago,
            now.plus(Duration::from_secs(1)),
        )
        .await?;
    let issued = counted.iter().filter(|one| one.outcome == Outcome::Issued);
    let Some(busiest) = issued.max_by_key(|one| one.count) else {
        return Ok(Habit::default());
    };
    let day = Grain::Day.start(busiest.starts_at);
    let clients = store.addresses_on(key, day).await?.max(1);
    Ok(Habit::of(
        busiest.count,
        management.token_lifetime.as_secs(),
        clients,
    ))
}

impl Habit {
    fn of(tokens: u64, lifetime: u64, clients: u64) -> Self {
        let tenths_per_lifetime = tokens * lifetime * 10 / (3_600 * clients);
        Self {
            tenths_per_lifetime,
            not_caching: tenths_per_lifetime >= TOO_MANY_TENTHS && tokens >= TELLING,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_keeps_its_token_is_not_flagged() {
        // Six tokens an hour are one for each ten minutes.
        assert_eq!(Habit::of(6, 600, 1).tenths_per_lifetime, 10);
        assert!(!Habit::of(6, 600, 1).not_caching);
        assert!(!Habit::of(29, 600, 1).not_caching);
        assert!(Habit::of(30, 600, 1).not_caching);
        // Ten machines with a token each, and one that takes ten at once.
        assert!(!Habit::of(60, 600, 10).not_caching);
        assert!(Habit::of(60, 600, 2).not_caching);
        // With tokens of an hour, a few tell nothing.
        assert!(!Habit::of(19, 3_600, 1).not_caching);
        assert!(Habit::of(20, 3_600, 1).not_caching);
    }
}
