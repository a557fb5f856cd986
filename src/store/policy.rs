//! What policies ask of the keys in the database, and policies as they are stored.

use std::sync::Arc;

use super::Store;
use super::api_keys::with_roles;
use super::engine::sql;
use super::error::{StoreError, corrupt};
use super::write::Write;
use crate::domain::network::NetworkSet;
use crate::domain::organization::OrganizationId;
use crate::domain::policy::{Effective, Policy};
use crate::domain::rate_limit::RateLimit;
use crate::domain::scope::ScopeSet;
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;

/// What of an active key a policy looks at.
#[derive(Debug)]
pub struct KeyTerms {
    /// The key.
    pub id: KeyId,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Where it may be used from.
    pub networks: NetworkSet,
    /// How often it may be exchanged.
    pub rate_limit: Option<RateLimit>,
}

/// What an active key is worth to whoever holds its string.
#[derive(Debug)]
pub struct KeyWorth {
    /// The key.
    pub id: KeyId,
    /// What it holds, by itself and by its roles.
    pub effective: ScopeSet,
    /// Where it may be used from.
    pub networks: NetworkSet,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Whether services are never to be shown it, whatever its organization's policy is.
    pub exchange_only: bool,
}

#[derive(sqlx::FromRow)]
struct KeyWorthRow {
    id: String,
    scopes: String,
    allowed_ip_cidrs: String,
    expires_at: Option<i64>,
    exchange_only: i64,
    role_scopes: Option<String>,
}

#[derive(sqlx::FromRow)]
struct KeyTermsRow {
    id: String,
    expires_at: Option<i64>,
    allowed_ip_cidrs: String,
    rate_limit: Option<i64>,
    rate_window: Option<i64>,
}

impl Store {
    /// Active keys of an organization in the order of their ids, behind `after`.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn active_key_terms(
        &self,
        organization: &OrganizationId,
        now: Timestamp,
        after: Option<KeyId>,
        limit: u16,
    ) -> Result<Vec<KeyTerms>, StoreError> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let rows = sql!(
            all KeyTermsRow, self.reader(),
            "SELECT id, expires_at, allowed_ip_cidrs, rate_limit, rate_window FROM api_keys
             WHERE organization_id = $1 AND id > $2 AND revoked_at IS NULL
               AND disabled_at IS NULL AND (expires_at IS NULL OR expires_at > $3)
             ORDER BY id LIMIT $4",
            organization.as_str(), &after, now.unix(), i64::from(limit)
        )?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// How many active keys an organization has.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn count_active_keys(
        &self,
        organization: &OrganizationId,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let (count,) = sql!(
            one(i64,),
            self.reader(),
            "SELECT COUNT(*) FROM api_keys
             WHERE organization_id = $1 AND revoked_at IS NULL AND disabled_at IS NULL
               AND (expires_at IS NULL OR expires_at > $2)",
            organization.as_str(),
            now.unix()
        )?;
        Ok(count.unsigned_abs())
    }
}

impl Write {
    /// Some active keys of the organization of this act in the order of their ids, behind `after`:
    /// none behind the last.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn active_key_worths(
        &mut self,
        now: Timestamp,
        after: Option<KeyId>,
        limit: u16,
    ) -> Result<Vec<KeyWorth>, StoreError> {
        let organization = self.organization().id.clone();
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let rows = sql!(
            all KeyWorthRow, self.on(),
            "SELECT k.id, k.scopes, k.allowed_ip_cidrs, k.expires_at, k.exchange_only,
                 (SELECT string_agg(r.scopes, ' ' ORDER BY r.name)
                  FROM api_key_roles a
                  JOIN roles r ON r.organization_id = a.organization_id AND r.name = a.role
                  WHERE a.api_key_id = k.id) AS role_scopes
             FROM api_keys k
             WHERE k.organization_id = $1 AND k.id > $2 AND k.revoked_at IS NULL
               AND k.disabled_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $3)
             ORDER BY k.id LIMIT $4",
            organization.as_str(), &after, now.unix(), i64::from(limit)
        )?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// How many active keys the organization of this act has beside one, counted up to `enough`.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn count_other_active_keys(
        &mut self,
        beside: KeyId,
        now: Timestamp,
        enough: u32,
    ) -> Result<u64, StoreError> {
        let organization = self.organization().id.clone();
        let (count,) = sql!(
            one(i64,),
            self.on(),
            "SELECT COUNT(*) FROM (
                 SELECT 1 FROM api_keys
                 WHERE organization_id = $1 AND revoked_at IS NULL AND disabled_at IS NULL
                   AND (expires_at IS NULL OR expires_at > $2) AND id <> $3
                 LIMIT $4) AS active",
            organization.as_str(),
            now.unix(),
            beside.to_string(),
            i64::from(enough)
        )?;
        Ok(count.unsigned_abs())
    }
}

/// A policy from its column.
pub(super) fn parse(text: &str) -> Result<Policy, StoreError> {
    serde_json::from_str(text).map_err(|_| corrupt("organizations", "policy"))
}

/// What both layers come to, if there is any rule in them.
pub(super) fn effective(operator: &str, own: &str) -> Result<Option<Arc<Effective>>, StoreError> {
    if (operator, own) == ("{}", "{}") {
        return Ok(None);
    }
    Ok(Some(Arc::new(Effective::of(
        &parse(operator)?,
        &parse(own)?,
    ))))
}

impl TryFrom<KeyWorthRow> for KeyWorth {
    type Error = StoreError;

    fn try_from(row: KeyWorthRow) -> Result<Self, StoreError> {
        let wrong = |what| corrupt("api_keys", what);
        let own: ScopeSet = serde_json::from_str(&row.scopes).map_err(|_| wrong("scopes"))?;
        let expires_at = row.expires_at.map(Timestamp::from_unix).transpose();
        Ok(Self {
            id: row.id.parse().map_err(|_| wrong("id"))?,
            effective: with_roles(&own, row.role_scopes.as_deref(), false)?,
            networks: serde_json::from_str(&row.allowed_ip_cidrs)
                .map_err(|_| wrong("allowed_ip_cidrs"))?,
            expires_at: expires_at.map_err(|_| wrong("expires_at"))?,
            exchange_only: row.exchange_only != 0,
        })
    }
}

impl TryFrom<KeyTermsRow> for KeyTerms {
    type Error = StoreError;

    fn try_from(row: KeyTermsRow) -> Result<Self, StoreError> {
        let wrong = |what| corrupt("api_keys", what);
        let rate_limit = |(limit, window): (i64, i64)| {
            RateLimit::new(limit.try_into().ok()?, window.try_into().ok()?).ok()
        };
        Ok(Self {
            id: row.id.parse().map_err(|_| wrong("id"))?,
            expires_at: row
                .expires_at
                .map(Timestamp::from_unix)
                .transpose()
                .map_err(|_| wrong("expires_at"))?,
            networks: serde_json::from_str(&row.allowed_ip_cidrs)
                .map_err(|_| wrong("allowed_ip_cidrs"))?,
            rate_limit: row.rate_limit.zip(row.rate_window).and_then(rate_limit),
        })
    }
}
