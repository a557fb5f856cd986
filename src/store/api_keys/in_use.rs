//! Rows of API keys become what is held of those in use.

use std::ops::ControlFlow;

use crate::domain::api_key::{KeyInUse, Overlap, Revocation, RevokeReason};
use crate::domain::rate_limit::RateLimit;
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::text::ExternalId;
use crate::domain::timestamp::Timestamp;
use crate::store::error::{StoreError, corrupt};

/// What is selected of a key `k`, its lasting secret `s` and the one that ends, `e`: no more, because
/// every first use of a key waits for it.
macro_rules! columns_in_use {
    () => {
        "k.id, k.organization_id, k.scopes, k.allowed_ip_cidrs, k.rate_limit, k.rate_window,
         k.exchange_only, k.external_id, k.metadata, k.expires_at, k.disabled_at, k.narrowed_at,
         k.revoked_at, k.revoke_reason,
         s.fingerprint, s.created_at AS secret_created_at,
         e.fingerprint AS ending_fingerprint, e.created_at AS ending_created_at,
         e.expires_at AS ending_at,
         (SELECT string_agg(r.scopes, ' ' ORDER BY r.name)
          FROM api_key_roles a
          JOIN roles r ON r.organization_id = a.organization_id AND r.name = a.role
          WHERE a.api_key_id = k.id) AS role_scopes"
    };
}

/// Where a key `k` has its secrets.
macro_rules! secrets {
    () => {
        "JOIN api_key_secrets s ON s.api_key_id = k.id AND s.expires_at IS NULL
         LEFT JOIN api_key_secrets e ON e.api_key_id = k.id AND e.expires_at IS NOT NULL"
    };
}

pub(super) use {columns_in_use, secrets};

/// A key as it is selected by [`columns_in_use!`].
#[derive(sqlx::FromRow)]
pub(super) struct KeyInUseRow {
    id: String,
    organization_id: String,
    scopes: String,
    allowed_ip_cidrs: String,
    rate_limit: Option<i64>,
    rate_window: Option<i64>,
    exchange_only: i64,
    external_id: Option<String>,
    metadata: String,
    expires_at: Option<i64>,
    disabled_at: Option<i64>,
    narrowed_at: Option<i64>,
    revoked_at: Option<i64>,
    revoke_reason: Option<String>,
    fingerprint: String,
    secret_created_at: i64,
    ending_fingerprint: Option<String>,
    ending_created_at: Option<i64>,
    ending_at: Option<i64>,
    role_scopes: Option<String>,
}

impl KeyInUseRow {
    /// The scopes that the key holds by itself.
    pub(super) fn own_scopes(&self) -> Result<ScopeSet, StoreError> {
        serde_json::from_str(&self.scopes).map_err(|_| wrong("scopes"))
    }

    /// The most a token of the key can carry.
    pub(super) fn effective(&self, own: &ScopeSet) -> Result<ScopeSet, StoreError> {
        with_roles(own, self.role_scopes.as_deref(), self.revoked_at.is_some())
    }

    /// What is held of the key, which comes to these scopes.
    pub(super) fn holding(self, effective: &ScopeSet) -> Result<KeyInUse, StoreError> {
        Ok(KeyInUse {
            id: self.id.parse().map_err(|_| wrong("id"))?,
            organization: self
                .organization_id
                .parse()
                .map_err(|_| wrong("organization_id"))?,
            effective: effective.into(),
            networks: serde_json::from_str(&self.allowed_ip_cidrs)
                .map_err(|_| wrong("allowed_ip_cidrs"))?,
            rate_limit: self
                .rate_limit
                .zip(self.rate_window)
                .map(|limit| rate_limit(limit).ok_or_else(|| wrong("rate_limit")))
                .transpose()?,
            exchange_only: self.exchange_only != 0,
            external_id: self
                .external_id
                .map(|text| ExternalId::new(&text))
                .transpose()
                .map_err(|_| wrong("external_id"))?,
            metadata: serde_json::from_str(&self.metadata).map_err(|_| wrong("metadata"))?,
            fingerprint: self.fingerprint.into(),
            secret_created_at: time(self.secret_created_at, "secret created_at")?,
            overlap: match (
                self.ending_fingerprint,
                self.ending_created_at,
                self.ending_at,
            ) {
                (Some(fingerprint), Some(created_at), Some(ends_at)) => Some(Box::new(Overlap {
                    fingerprint,
                    created_at: time(created_at, "secret created_at")?,
                    ends_at: time(ends_at, "secret expires_at")?,
                    last_use: None,
                })),
                _ => None,
            },
            expires_at: maybe(self.expires_at, "expires_at")?,
            disabled_at: maybe(self.disabled_at, "disabled_at")?,
            narrowed_at: maybe(self.narrowed_at, "narrowed_at")?,
            revoked: maybe(self.revoked_at, "revoked_at")?
                .map(|at| revocation(at, self.revoke_reason.as_deref()))
                .transpose()?,
        })
    }
}

impl TryFrom<KeyInUseRow> for KeyInUse {
    type Error = StoreError;

    fn try_from(row: KeyInUseRow) -> Result<Self, StoreError> {
        let effective = row.effective(&row.own_scopes()?)?;
        row.holding(&effective)
    }
}

/// What a key holds that has scopes of its own, and those of its roles with spaces between them.
pub(in crate::store) fn with_roles(
    own: &ScopeSet,
    of_roles: Option<&str>,
    revoked: bool,
) -> Result<ScopeSet, StoreError> {
    let of_roles = words(of_roles).map(str::parse::<Scope>);
    let of_roles = of_roles
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| wrong("role scopes"))?;
    let mut all = own.iter().cloned().chain(of_roles);
    if revoked {
        // It can do nothing, and does not stand in the way of a role that grows: what was too
        // much of it is not shown.
        let fit = all.try_fold(ScopeSet::default(), |fit, scope| {
            match ScopeSet::new([scope]).and_then(|one| fit.union(&one)) {
                Ok(more) => ControlFlow::Continue(more),
                Err(_) => ControlFlow::Break(fit),
            }
        });
        return match fit {
            ControlFlow::Continue(fit) | ControlFlow::Break(fit) => Ok(fit),
        };
    }
    // Keys and roles are written under one lock, which sees to it that they fit together.
    ScopeSet::new(all).map_err(|_| wrong("role scopes"))
}

/// What stands in a text with spaces between.
pub(super) fn words(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.unwrap_or_default()
        .split(' ')
        .filter(|word| !word.is_empty())
}

fn rate_limit((limit, window): (i64, i64)) -> Option<RateLimit> {
    RateLimit::new(limit.try_into().ok()?, window.try_into().ok()?).ok()
}

/// Rows from before reasons were kept have none.
fn revocation(at: Timestamp, reason: Option<&str>) -> Result<Revocation, StoreError> {
    let reason = match reason {
        Some(name) => RevokeReason::from_name(name).ok_or_else(|| wrong("revoke_reason"))?,
        None => RevokeReason::Unspecified,
    };
    Ok(Revocation { at, reason })
}

/// The instant that is stored under this name.
pub(super) fn time(at: i64, what: &'static str) -> Result<Timestamp, StoreError> {
    Timestamp::from_unix(at).map_err(|_| wrong(what))
}

/// The same, if it is.
pub(super) fn maybe(at: Option<i64>, what: &'static str) -> Result<Option<Timestamp>, StoreError> {
    at.map(|at| time(at, what)).transpose()
}

/// That a row of a key holds what nobody wrote.
pub(super) fn wrong(what: &'static str) -> StoreError {
    corrupt("api_keys", what)
}
