//! Rows of API keys become what the domain knows.

use std::ops::ControlFlow;

use crate::domain::api_key::{ApiKey, Creator, LastUse, Overlap, Revocation, RevokeReason};
use crate::domain::rate_limit::RateLimit;
use crate::domain::role::RoleNames;
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::text::{Description, ExternalId, Name};
use crate::domain::timestamp::Timestamp;
use crate::store::error::{StoreError, corrupt};

/// What is selected of a key `k`, its lasting secret `s` and the one that ends, `e`.
macro_rules! columns {
    () => {
        "k.id, k.organization_id, k.name, k.description, k.scopes, k.allowed_ip_cidrs,
         k.rate_limit, k.rate_window, k.exchange_only, k.external_id, k.metadata, k.created_at,
         k.created_by, k.expires_at, k.disabled_at, k.narrowed_at, k.revoked_at, k.revoke_reason,
         k.revision,
         k.next_notice_at, k.unused_warned_at,
         s.fingerprint, s.created_at AS secret_created_at,
         e.fingerprint AS ending_fingerprint, e.created_at AS ending_created_at,
         e.expires_at AS ending_at,
         u.last_used_at AS secret_used_at, u.address AS secret_used_from,
         v.last_used_at AS ending_used_at, v.address AS ending_used_from,
         (SELECT MAX(a.last_used_at) FROM secret_uses a
          WHERE a.api_key_id = k.id) AS last_used_at,
         (SELECT string_agg(a.role, ' ') FROM api_key_roles a
          WHERE a.api_key_id = k.id) AS roles,
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
         LEFT JOIN api_key_secrets e ON e.api_key_id = k.id AND e.expires_at IS NOT NULL
         LEFT JOIN secret_uses u ON u.api_key_id = k.id AND u.fingerprint = s.fingerprint
         LEFT JOIN secret_uses v ON v.api_key_id = k.id AND v.fingerprint = e.fingerprint"
    };
}

pub(super) use {columns, secrets};

/// What stands in `created_by` before the operator's key id.
pub(super) const OPERATOR: &str = "operator:";

/// A key as it is selected by [`columns!`].
#[derive(sqlx::FromRow)]
pub(super) struct ApiKeyRow {
    id: String,
    organization_id: String,
    name: String,
    description: Option<String>,
    scopes: String,
    allowed_ip_cidrs: String,
    rate_limit: Option<i64>,
    rate_window: Option<i64>,
    exchange_only: i64,
    external_id: Option<String>,
    metadata: String,
    created_at: i64,
    created_by: Option<String>,
    expires_at: Option<i64>,
    disabled_at: Option<i64>,
    narrowed_at: Option<i64>,
    revoked_at: Option<i64>,
    revoke_reason: Option<String>,
    revision: i64,
    next_notice_at: Option<i64>,
    unused_warned_at: Option<i64>,
    fingerprint: String,
    secret_created_at: i64,
    ending_fingerprint: Option<String>,
    ending_created_at: Option<i64>,
    ending_at: Option<i64>,
    secret_used_at: Option<i64>,
    secret_used_from: Option<String>,
    ending_used_at: Option<i64>,
    ending_used_from: Option<String>,
    last_used_at: Option<i64>,
    roles: Option<String>,
    role_scopes: Option<String>,
}

impl TryFrom<ApiKeyRow> for ApiKey {
    type Error = StoreError;

    fn try_from(row: ApiKeyRow) -> Result<Self, StoreError> {
        let scopes: ScopeSet = serde_json::from_str(&row.scopes).map_err(|_| wrong("scopes"))?;
        let roles = words(row.roles.as_deref())
            .map(str::parse)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| wrong("roles"))?;
        Ok(Self {
            id: row.id.parse().map_err(|_| wrong("id"))?,
            organization: row
                .organization_id
                .parse()
                .map_err(|_| wrong("organization_id"))?,
            name: Name::new(&row.name).map_err(|_| wrong("name"))?,
            description: row
                .description
                .map(|text| Description::new(&text))
                .transpose()
                .map_err(|_| wrong("description"))?,
            effective: with_roles(
                &scopes,
                row.role_scopes.as_deref(),
                row.revoked_at.is_some(),
            )?,
            scopes,
            roles: RoleNames::new(roles).map_err(|_| wrong("roles"))?,
            networks: serde_json::from_str(&row.allowed_ip_cidrs)
                .map_err(|_| wrong("allowed_ip_cidrs"))?,
            rate_limit: row
                .rate_limit
                .zip(row.rate_window)
                .map(|limit| rate_limit(limit).ok_or_else(|| wrong("rate_limit")))
                .transpose()?,
            exchange_only: row.exchange_only != 0,
            external_id: row
                .external_id
                .map(|text| ExternalId::new(&text))
                .transpose()
                .map_err(|_| wrong("external_id"))?,
            metadata: serde_json::from_str(&row.metadata).map_err(|_| wrong("metadata"))?,
            fingerprint: row.fingerprint,
            secret_created_at: time(row.secret_created_at, "secret created_at")?,
            overlap: match (row.ending_fingerprint, row.ending_created_at, row.ending_at) {
                (Some(fingerprint), Some(created_at), Some(ends_at)) => Some(Overlap {
                    fingerprint,
                    created_at: time(created_at, "secret created_at")?,
                    ends_at: time(ends_at, "secret expires_at")?,
                    last_use: last_use(row.ending_used_at, row.ending_used_from)?,
                }),
                _ => None,
            },
            created_at: time(row.created_at, "created_at")?,
            created_by: creator(row.created_by)?,
            expires_at: maybe(row.expires_at, "expires_at")?,
            disabled_at: maybe(row.disabled_at, "disabled_at")?,
            narrowed_at: maybe(row.narrowed_at, "narrowed_at")?,
            revoked: maybe(row.revoked_at, "revoked_at")?
                .map(|at| revocation(at, row.revoke_reason.as_deref()))
                .transpose()?,
            revision: row.revision,
            next_notice_at: maybe(row.next_notice_at, "next_notice_at")?,
            unused_warned_at: maybe(row.unused_warned_at, "unused_warned_at")?,
            last_used_at: maybe(row.last_used_at, "last_used_at")?,
            secret_last_use: last_use(row.secret_used_at, row.secret_used_from)?,
        })
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

fn words(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.unwrap_or_default()
        .split(' ')
        .filter(|word| !word.is_empty())
}

fn rate_limit((limit, window): (i64, i64)) -> Option<RateLimit> {
    RateLimit::new(limit.try_into().ok()?, window.try_into().ok()?).ok()
}

fn creator(text: Option<String>) -> Result<Creator, StoreError> {
    let Some(text) = text else {
        return Ok(Creator::CommandLine);
    };
    let id = |text: &str| text.parse().map_err(|_| wrong("created_by"));
    match text.strip_prefix(OPERATOR) {
        Some(operator) => Ok(Creator::Operator(id(operator)?)),
        None => Ok(Creator::Key(id(&text)?)),
    }
}

/// Rows from before reasons were kept have none.
fn revocation(at: Timestamp, reason: Option<&str>) -> Result<Revocation, StoreError> {
    let reason = match reason {
        Some(name) => RevokeReason::from_name(name).ok_or_else(|| wrong("revoke_reason"))?,
        None => RevokeReason::Unspecified,
    };
    Ok(Revocation { at, reason })
}

fn last_use(at: Option<i64>, address: Option<String>) -> Result<Option<LastUse>, StoreError> {
    let at = maybe(at, "secret last_used_at")?;
    Ok(at.map(|at| LastUse { at, address }))
}

fn time(at: i64, what: &'static str) -> Result<Timestamp, StoreError> {
    Timestamp::from_unix(at).map_err(|_| wrong(what))
}

fn maybe(at: Option<i64>, what: &'static str) -> Result<Option<Timestamp>, StoreError> {
    at.map(|at| time(at, what)).transpose()
}

fn wrong(what: &'static str) -> StoreError {
    corrupt("api_keys", what)
}
