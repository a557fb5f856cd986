//! `POST …/api-keys/revoke`: many keys at once, looked at first.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::view::KeyView;
use crate::app::App;
use crate::domain::api_key::{KeyFilter, Maker, Makers, RevokeReason, Search, StatusFilter};
use crate::domain::management::ManagementAction;
use crate::domain::role::RoleName;
use crate::domain::scope::Scope;
use crate::domain::text::{ExternalId, Metadata};
use crate::domain::timestamp::Timestamp;
use crate::http::json;
use crate::http::openapi::words::{ReasonGiven, Revocable, ScopeWritten};
use crate::http::problem::Problem;
use crate::http::reach::{Answer, Reach};
use crate::manage::api_keys as manage;

/// How many of the keys an answer shows.
const SHOWN: usize = 100;

/// Which keys to revoke, and why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BulkRevocation)]
pub(super) struct BulkBody {
    filter: FilterBody,
    #[serde(default)]
    #[schema(value_type = ReasonGiven)]
    reason: RevokeReason,
    #[serde(default)]
    dry_run: bool,
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    expected_count: Option<u32>,
}

/// The filters of lists, in JSON, and what lists do not have: makers of makers, and all keys.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApiKeyFilter)]
struct FilterBody {
    #[serde(default)]
    all: bool,
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false, value_type = Option<Revocable>)]
    status: Option<StatusFilter>,
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    search: Option<Search>,
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    external_id: Option<ExternalId>,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    role: Option<RoleName>,
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false, value_type = Option<ScopeWritten>)]
    scope: Option<Scope>,
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    created_by: Option<Maker>,
    #[serde(default)]
    transitive: bool,
    #[serde(default)]
    include_creator: bool,
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    expires_before: Option<Timestamp>,
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    unused_since: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BulkRevoked)]
pub(super) struct BulkView<'a> {
    dry_run: bool,
    count: usize,
    /// The first of them; `null` for a caller that may not read keys.
    #[schema(required)]
    data: Option<Vec<KeyView<'a>>>,
}

/// `POST`: shows what would be revoked, or revokes it.
pub async fn revoke_many(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    reach.require(ManagementAction::ApiKeysRevoke)?;
    let (parts, body) = request.into_parts();
    let body: BulkBody = json::read(&parts.headers, body)
        .await
        .map_err(|why| reach.refuse(why))?;
    let expected = body.expected().map_err(|why| reach.refuse(why))?;
    let filter = body.filter.check().map_err(|why| reach.refuse(why))?;
    let keys = match expected {
        None => {
            let (actor, organization) = (&reach.actor, &reach.organization);
            manage::preview_revoke(&app.management, actor, organization, &filter).await
        }
        Some(expected) => {
            manage::revoke_many(
                Arc::clone(&app.management),
                reach.actor.clone(),
                reach.organization.clone(),
                filter,
                body.reason,
                expected,
            )
            .await
        }
    };
    let keys = keys.map_err(|why| reach.refuse_act(why))?;
    let now = app.mint.clock.now();
    let may_read = reach.actor.require(ManagementAction::ApiKeysRead).is_ok();
    let shown = keys.iter().take(SHOWN).map(|key| KeyView::of(key, now));
    let view = BulkView {
        dry_run: expected.is_none(),
        count: keys.len(),
        data: may_read.then(|| shown.collect()),
    };
    Ok(json::answer(StatusCode::OK, &view))
}

impl BulkBody {
    /// How many keys are to be revoked; `None` for none, when they are only looked at.
    fn expected(&self) -> Result<Option<usize>, Problem> {
        let refuse = |why: &str| Err(Problem::invalid("/expected_count", why));
        match (self.dry_run, self.expected_count) {
            (true, None) => Ok(None),
            (true, Some(_)) => refuse("leave it out of a dry run, which revokes nothing"),
            (false, None) => refuse("write the count that the same filter gave with dry_run: true"),
            (false, Some(count)) => Ok(usize::try_from(count).ok()),
        }
    }
}

impl FilterBody {
    fn check(self) -> Result<KeyFilter, Problem> {
        let all = self.all;
        let created_by = self.makers()?;
        let status = match self.status {
            None => StatusFilter::Unrevoked,
            Some(StatusFilter::All | StatusFilter::Revoked) => {
                let why = "write active, disabled, expired or unrevoked: the others are revoked";
                return Err(Problem::invalid("/filter/status", why));
            }
            Some(status) => status,
        };
        let said = self.status.is_some();
        let filter = KeyFilter {
            status,
            search: self.search,
            external_id: self.external_id,
            metadata: self.metadata,
            role: self.role,
            scope: self.scope,
            created_by,
            expires_before: self.expires_before,
            unused_since: self.unused_since,
        };
        let every_key = KeyFilter {
            status: StatusFilter::Unrevoked,
            ..KeyFilter::default()
        };
        match (all, filter == every_key) {
            (true, true) if !said => Ok(filter),
            (true, _) => {
                let why = "all means every key: leave it out, or everything else";
                Err(Problem::invalid("/filter/all", why))
            }
            (false, true) => {
                let why = "say which keys; {\"all\": true} says every one of them aloud";
                Err(Problem::invalid("/filter", why))
            }
            (false, false) => Ok(filter),
        }
    }

    fn makers(&self) -> Result<Option<Makers>, Problem> {
        let (transitive, include_creator) = (self.transitive, self.include_creator);
        match self.created_by {
            None if transitive => {
                let why = "it goes with created_by";
                Err(Problem::invalid("/filter/transitive", why))
            }
            None | Some(Maker::Operator) if include_creator => {
                let why = "it goes with the id of a key as created_by";
                Err(Problem::invalid("/filter/include_creator", why))
            }
            maker => Ok(maker.map(|maker| Makers {
                maker,
                transitive,
                include_creator,
            })),
        }
    }
}
