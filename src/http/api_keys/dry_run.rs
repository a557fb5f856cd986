//! What a dry run answers.

use serde::Serialize;
use utoipa::ToSchema;

use super::view::{KeyView, WarningView};
use crate::domain::api_key::{Because, Recorded};
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::timestamp::Timestamp;
use crate::manage::api_keys::Foreseen;

/// An edit that was not made, and what it would have done.
#[derive(Serialize, ToSchema)]
#[schema(as = DryRun)]
pub(super) struct DryRunView<'a> {
    dry_run: bool,
    /// The key as it would become.
    key: KeyView<'a>,
    warnings: Vec<WarningView>,
    /// From when on exchanges are looked at.
    since: Timestamp,
    /// `false` where exchanges are not recorded: nothing is known then.
    recorded: bool,
    refused: Vec<RefusedView>,
    would_lose: Vec<LostView<'a>>,
    /// Exchanges beyond the record's bound, of which only the number is known.
    unrecorded: u64,
    /// How often a service was shown the key itself, which would be refused.
    refused_direct: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Exchange)]
struct ExchangeView {
    address: String,
    /// `null` when none was named.
    #[schema(required)]
    scope: Option<String>,
    count: u64,
    last_seen: Timestamp,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RefusedExchange)]
struct RefusedView {
    #[serde(flatten)]
    exchange: ExchangeView,
    because: Vec<&'static str>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LesserExchange)]
struct LostView<'a> {
    #[serde(flatten)]
    exchange: ExchangeView,
    scopes: &'a [Scope],
}

impl<'a> DryRunView<'a> {
    pub(super) fn of(foreseen: &'a Foreseen, now: Timestamp) -> Self {
        let refused = foreseen.effect.refused.iter();
        let less = foreseen.effect.less.iter();
        Self {
            dry_run: true,
            key: KeyView::of(&foreseen.key, now),
            warnings: WarningView::all(&foreseen.warnings),
            since: foreseen.since,
            recorded: foreseen.recorded,
            refused: refused
                .map(|(exchange, because)| RefusedView {
                    exchange: ExchangeView::of(exchange),
                    because: because.iter().copied().map(name).collect(),
                })
                .collect(),
            would_lose: less
                .map(|(exchange, scopes)| LostView {
                    exchange: ExchangeView::of(exchange),
                    scopes,
                })
                .collect(),
            unrecorded: foreseen.others,
            refused_direct: foreseen.shown,
        }
    }
}

impl ExchangeView {
    fn of(recorded: &Recorded) -> Self {
        let network = recorded.from.to_string();
        Self {
            // One IPv4 address is shown as such.
            address: network
                .strip_suffix("/32")
                .map_or_else(|| network.clone(), str::to_owned),
            scope: recorded.asked.as_ref().map(ScopeSet::to_parameter),
            count: recorded.count,
            last_seen: recorded.last_seen,
        }
    }
}

fn name(because: Because) -> &'static str {
    match because {
        Because::Network => "network",
        Because::Scope => "scope",
    }
}
