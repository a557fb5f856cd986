//! The way from API keys to tokens: which keys services are still shown, which are ready for
//! `exchange_only`, and of which that is not known.

use std::time::Duration;

use super::Management;
use super::caller::Actor;
use super::refusal::{Kind, Refusal};
use super::usage::write_down;
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::{Grain, Outcome};

pub use crate::store::usage::shown::{KeyShown, Place, Which};

/// Days in the two windows, today's included.
const WINDOWS: (u64, u64) = (7, 30);

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Only keys of which this is known.
    pub readiness: Option<Readiness>,
    /// Behind which key the page begins.
    pub after: Option<Place>,
    /// At most so many keys.
    pub limit: u8,
}

/// What is known of a key by how it was used within thirty days.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Readiness {
    /// It was exchanged for tokens, and no service was shown it itself: nothing would be refused.
    Ready,
    /// A service was shown it itself, and would refuse it.
    NotReady,
    /// It was not used at all. How it is used when it is, nobody knows here.
    Unknown,
}

/// How keys were used in a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Window {
    /// Tokens that they were exchanged for.
    pub issued: u64,
    /// How often services were shown keys themselves, and let them in.
    pub direct: u64,
    /// How often because of `exchange_only` they did not.
    pub refused: u64,
}

/// Both windows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Windows {
    /// The last seven days.
    pub week: Window,
    /// The last thirty.
    pub month: Window,
}

/// A key on its way.
#[derive(Debug)]
pub struct KeyOnItsWay {
    /// The key.
    pub key: KeyShown,
    /// What is known of it.
    pub readiness: Readiness,
    /// How it was used.
    pub used: Windows,
}

/// How far an organization is.
#[derive(Debug)]
pub struct Report {
    /// Where the window of seven days begins, and that of thirty.
    pub since: (Timestamp, Timestamp),
    /// Whether its policy ends direct use for all of its keys.
    pub exchange_only: bool,
    /// How many keys are active.
    pub active: u64,
    /// How many of them are ready.
    pub ready: u64,
    /// How many of them are not. Of all others it is unknown.
    pub not_ready: u64,
    /// How its keys were used in all, those included that are active no more.
    pub used: Windows,
    /// A page of active keys: the latest that a service was shown first.
    pub keys: Vec<KeyOnItsWay>,
    /// Where to go on, if there is more.
    pub next: Option<Place>,
}

/// How far an organization is, from what is counted of its keys anyway.
///
/// # Errors
/// See [`Refusal`].
pub async fn report(
    management: &Management,
    actor: &Actor,
    organization: &OrganizationId,
    asked: Asked,
) -> Result<Report, Refusal> {
    actor.require(ManagementAction::UsageRead)?;
    management.require_organization(actor, organization).await?;
    write_down(management).await?;
    let store = &management.store;
    let now = management.clock.now();
    let since = (begin(now, WINDOWS.0), begin(now, WINDOWS.1));
    let found = store.organization(organization).await?;
    let found = found.ok_or(Refusal::NotFound(Kind::Organization))?;
    let which = match asked.readiness {
        None => Which::All,
        Some(Readiness::NotReady) => Which::ShownSince(since.1),
        Some(Readiness::Ready) => Which::ExchangedSince(since.1),
        Some(Readiness::Unknown) => Which::UnseenSince(since.1),
    };
    let page = store
        .keys_shown(organization, which, asked.after, now, asked.limit)
        .await?;
    let next = page.rows.last().filter(|_| page.more).map(|key| Place {
        last_at: key.last_at,
        id: key.id,
    });
    let mut keys = Vec::with_capacity(page.rows.len());
    for key in page.rows {
        let used = windows(management, organization, Some(key.id), since, now).await?;
        keys.push(KeyOnItsWay {
            readiness: match key.last_at {
                Some(at) if at >= since.1 => Readiness::NotReady,
                _ if used.month.issued > 0 => Readiness::Ready,
                _ => Readiness::Unknown,
            },
            used,
            key,
        });
    }
    Ok(Report {
        since,
        exchange_only: found.effective_policy().exchange_only(),
        active: store.count_active_keys(organization, now).await?,
        ready: store
            .count_exchanged_keys(organization, since.1, now)
            .await?,
        not_ready: store.count_shown_keys(organization, since.1, now).await?,
        used: windows(management, organization, None, since, now).await?,
        keys,
        next,
    })
}

/// The start of a window of whole UTC days that ends today.
fn begin(now: Timestamp, days: u64) -> Timestamp {
    let earlier = Duration::from_secs((days - 1) * 86_400);
    Grain::Day.start(now.minus(earlier))
}

async fn windows(
    management: &Management,
    organization: &OrganizationId,
    key: Option<KeyId>,
    (week, month): (Timestamp, Timestamp),
    now: Timestamp,
) -> Result<Windows, Refusal> {
    let until = now.plus(Duration::from_secs(1));
    let store = &management.store;
    let counted = store.usage_counts(organization, key, Grain::Day, month, until);
    let mut windows = Windows::default();
    for one in counted.await? {
        windows.month.add(one.outcome, one.count);
        if one.starts_at >= week {
            windows.week.add(one.outcome, one.count);
        }
    }
    Ok(windows)
}

impl Window {
    fn add(&mut self, outcome: Outcome, count: u64) {
        match outcome {
            Outcome::Issued => self.issued += count,
            Outcome::ExchangeOnly => self.refused += count,
            of_a_service if of_a_service.is_of_a_service() => self.direct += count,
            _ => {}
        }
    }
}
