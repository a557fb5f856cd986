//! What callers say about keys.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::domain::api_key::{ApiKeyEdit, Days, Expiry, MetadataEdit, NewApiKey, RevokeReason};
use crate::domain::network::NetworkSet;
use crate::domain::rate_limit::RateLimit;
use crate::domain::role::RoleNames;
use crate::domain::scope::ScopeSet;
use crate::domain::text::{Description, ExternalId, Metadata, Name};
use crate::domain::timestamp::Timestamp;
use crate::http::json;
use crate::http::openapi::words::{MetadataWritten, ReasonGiven, ScopesWritten};
use crate::http::problem::Problem;

/// A new key. What answers show as `null` may be said as `null`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewApiKey)]
pub(super) struct NewKeyBody {
    name: Name,
    description: Option<Description>,
    #[serde(default)]
    #[schema(value_type = ScopesWritten)]
    scopes: ScopeSet,
    #[serde(default)]
    roles: RoleNames,
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    allowed_ip_cidrs: Option<NetworkSet>,
    rate_limit: Option<RateLimit>,
    #[serde(default)]
    exchange_only: bool,
    expires_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    expires_in_days: Option<Days>,
    external_id: Option<ExternalId>,
    #[serde(default)]
    metadata: Metadata,
}

/// An edit, as a merge patch (RFC 7396): `null` removes what can be absent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApiKeyEdit)]
pub(super) struct EditBody {
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    name: Option<Name>,
    #[serde(default, deserialize_with = "json::nullable")]
    #[schema(value_type = Option<Description>)]
    description: Option<Option<Description>>,
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false, value_type = Option<ScopesWritten>)]
    scopes: Option<ScopeSet>,
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    roles: Option<RoleNames>,
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    allowed_ip_cidrs: Option<NetworkSet>,
    #[serde(default, deserialize_with = "json::nullable")]
    #[schema(value_type = Option<RateLimit>)]
    rate_limit: Option<Option<RateLimit>>,
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    exchange_only: Option<bool>,
    #[serde(default, deserialize_with = "json::nullable")]
    #[schema(value_type = Option<Timestamp>)]
    expires_at: Option<Option<Timestamp>>,
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    expires_in_days: Option<Days>,
    #[serde(default, deserialize_with = "json::nullable")]
    #[schema(value_type = Option<ExternalId>)]
    external_id: Option<Option<ExternalId>>,
    #[serde(default, deserialize_with = "json::present")]
    #[schema(value_type = Option<MetadataWritten>)]
    metadata: Option<MetadataEdit>,
}

/// Why a key is revoked.
#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Revocation)]
pub(super) struct RevokeBody {
    #[serde(default)]
    #[schema(value_type = ReasonGiven)]
    pub(super) reason: RevokeReason,
}

impl NewKeyBody {
    /// With the scopes of a key that is given neither scopes nor roles, where there are such.
    pub(super) fn check(self, default_scopes: Option<&ScopeSet>) -> Result<NewApiKey, Problem> {
        let expiry = match (self.expires_at, self.expires_in_days) {
            (Some(_), Some(_)) => return Err(both()),
            (Some(at), None) => Some(Expiry::At(at)),
            (None, days) => days.map(Expiry::In),
        };
        let scopes = match default_scopes {
            Some(default) if self.scopes.is_empty() && self.roles.is_empty() => default.clone(),
            _ => self.scopes,
        };
        Ok(NewApiKey {
            name: self.name,
            description: self.description,
            scopes,
            roles: self.roles,
            networks: self.allowed_ip_cidrs.unwrap_or_else(NetworkSet::any),
            rate_limit: self.rate_limit,
            exchange_only: self.exchange_only,
            external_id: self.external_id,
            metadata: self.metadata,
            expiry,
        })
    }
}

impl EditBody {
    pub(super) fn check(self) -> Result<ApiKeyEdit, Problem> {
        let expiry = match (self.expires_at, self.expires_in_days) {
            (Some(_), Some(_)) => return Err(both()),
            (Some(None), None) => Some(None),
            (Some(Some(at)), None) => Some(Some(Expiry::At(at))),
            (None, days) => days.map(|days| Some(Expiry::In(days))),
        };
        Ok(ApiKeyEdit {
            name: self.name,
            description: self.description,
            scopes: self.scopes,
            roles: self.roles,
            networks: self.allowed_ip_cidrs,
            rate_limit: self.rate_limit,
            exchange_only: self.exchange_only,
            external_id: self.external_id,
            metadata: self.metadata,
            expiry,
        })
    }
}

fn both() -> Problem {
    let why = "give expires_at or expires_in_days, not both";
    Problem::invalid("/expires_in_days", why)
}
