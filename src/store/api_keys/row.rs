//! Rows of API keys become what the domain knows.

use super::in_use::{KeyInUseRow, maybe, time, words, wrong};
use crate::domain::api_key::{ApiKey, Creator, LastUse, Overlap};
use crate::domain::role::RoleNames;
use crate::domain::text::{Description, Name};
use crate::store::error::StoreError;

/// What is selected of a key `k`, its lasting secret `s`, the one that ends, `e`, and how these were
/// last used, `u` and `v`.
macro_rules! columns {
    () => {
        concat!(
            $crate::store::api_keys::in_use::columns_in_use!(),
            ", k.name, k.description, k.created_at, k.created_by, k.revision, k.next_notice_at,
             k.unused_warned_at,
             u.last_used_at AS secret_used_at, u.address AS secret_used_from,
             v.last_used_at AS ending_used_at, v.address AS ending_used_from,
             (SELECT MAX(a.last_used_at) FROM secret_uses a
              WHERE a.api_key_id = k.id) AS last_used_at,
             (SELECT string_agg(a.role, ' ') FROM api_key_roles a
              WHERE a.api_key_id = k.id) AS roles"
        )
    };
}

/// Where a key `k` has its secrets, and where it is written how they were last used.
macro_rules! secrets_and_uses {
    () => {
        concat!(
            $crate::store::api_keys::in_use::secrets!(),
            " LEFT JOIN secret_uses u ON u.api_key_id = k.id AND u.fingerprint = s.fingerprint
              LEFT JOIN secret_uses v ON v.api_key_id = k.id AND v.fingerprint = e.fingerprint"
        )
    };
}

pub(super) use {columns, secrets_and_uses};

/// What stands in `created_by` before the operator's key id.
pub(super) const OPERATOR: &str = "operator:";

/// A key as it is selected by [`columns!`].
#[derive(sqlx::FromRow)]
pub(super) struct ApiKeyRow {
    #[sqlx(flatten)]
    in_use: KeyInUseRow,
    name: String,
    description: Option<String>,
    created_at: i64,
    created_by: Option<String>,
    revision: i64,
    next_notice_at: Option<i64>,
    unused_warned_at: Option<i64>,
    secret_used_at: Option<i64>,
    secret_used_from: Option<String>,
    ending_used_at: Option<i64>,
    ending_used_from: Option<String>,
    last_used_at: Option<i64>,
    roles: Option<String>,
}

impl TryFrom<ApiKeyRow> for ApiKey {
    type Error = StoreError;

    fn try_from(row: ApiKeyRow) -> Result<Self, StoreError> {
        let scopes = row.in_use.own_scopes()?;
        let effective = row.in_use.effective(&scopes)?;
        let key = row.in_use.holding(&effective)?;
        let roles = words(row.roles.as_deref())
            .map(str::parse)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| wrong("roles"))?;
        Ok(Self {
            id: key.id,
            organization: key.organization,
            name: Name::new(&row.name).map_err(|_| wrong("name"))?,
            description: row
                .description
                .map(|text| Description::new(&text))
                .transpose()
                .map_err(|_| wrong("description"))?,
            scopes,
            roles: RoleNames::new(roles).map_err(|_| wrong("roles"))?,
            effective,
            networks: key.networks,
            rate_limit: key.rate_limit,
            exchange_only: key.exchange_only,
            external_id: key.external_id,
            metadata: key.metadata,
            fingerprint: key.fingerprint.into(),
            secret_created_at: key.secret_created_at,
            overlap: match key.overlap {
                Some(overlap) => Some(Overlap {
                    last_use: last_use(row.ending_used_at, row.ending_used_from)?,
                    ..*overlap
                }),
                None => None,
            },
            created_at: time(row.created_at, "created_at")?,
            created_by: creator(row.created_by)?,
            expires_at: key.expires_at,
            disabled_at: key.disabled_at,
            narrowed_at: key.narrowed_at,
            revoked: key.revoked,
            revision: row.revision,
            next_notice_at: maybe(row.next_notice_at, "next_notice_at")?,
            unused_warned_at: maybe(row.unused_warned_at, "unused_warned_at")?,
            last_used_at: maybe(row.last_used_at, "last_used_at")?,
            secret_last_use: last_use(row.secret_used_at, row.secret_used_from)?,
        })
    }
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

fn last_use(at: Option<i64>, address: Option<String>) -> Result<Option<LastUse>, StoreError> {
    let at = maybe(at, "secret last_used_at")?;
    Ok(at.map(|at| LastUse { at, address }))
}
