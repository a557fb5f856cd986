//! Who holds a role, by what of them decides whether the role may change.

use crate::domain::network::NetworkSet;
use crate::domain::role::RoleName;
use crate::domain::scope::ScopeSet;
use crate::domain::secret::{IMPORTED, KeyId};
use crate::domain::timestamp::Timestamp;
use crate::store::engine::{Engine, answered, sql};
use crate::store::error::{StoreError, corrupt};
use crate::store::write::Write;

/// How many holders are read at once.
const BATCH: i64 = 500;

/// How many holders one statement changes.
const IN_ONE: i64 = 5_000;

/// A key that holds a role and is not revoked.
#[derive(Debug)]
pub struct Holder {
    /// Which.
    pub id: KeyId,
    /// When it ends, if ever.
    pub expires_at: Option<Timestamp>,
    /// What it shares with others made alike.
    pub kin: Kin,
}

/// What a holder has beside the role, as it is stored: thousands of keys may have the same.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Kin {
    scopes: String,
    networks: String,
    of_other_roles: String,
    is_imported: bool,
}

#[derive(sqlx::FromRow)]
struct HolderRow {
    id: String,
    scopes: String,
    allowed_ip_cidrs: String,
    expires_at: Option<i64>,
    of_other_roles: Option<String>,
    imported: i64,
}

impl Write {
    /// Some holders of a role behind `after`, in the order of their ids; none behind the last.
    /// What they are at `now`.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn role_holders(
        &mut self,
        name: &RoleName,
        after: Option<KeyId>,
        now: Timestamp,
    ) -> Result<Vec<Holder>, StoreError> {
        let organization = self.organization().id.clone();
        let after = after.map_or_else(String::new, |id| id.to_string());
        let rows = sql!(
            all HolderRow, self.on(),
            "SELECT k.id, k.scopes, k.allowed_ip_cidrs, k.expires_at,
                 (SELECT string_agg(r.scopes, ' ' ORDER BY r.name)
                  FROM api_key_roles b
                  JOIN roles r ON r.organization_id = b.organization_id AND r.name = b.role
                  WHERE b.api_key_id = k.id AND b.role <> $2) AS of_other_roles,
                 (SELECT COUNT(*) FROM api_key_secrets s
                  WHERE s.api_key_id = k.id AND s.fingerprint LIKE $5
                    AND (s.expires_at IS NULL OR s.expires_at > $6)) AS imported
             FROM api_key_roles a JOIN api_keys k ON k.id = a.api_key_id
             WHERE a.organization_id = $1 AND a.role = $2 AND a.api_key_id > $3
               AND k.revoked_at IS NULL
             ORDER BY a.api_key_id LIMIT $4",
            organization.as_str(), name.as_str(), &after, BATCH,
            format!("{IMPORTED}%"), now.unix()
        )?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Up to which key those hold a role that one statement concerns, behind `behind`; `None` if there
    /// are no more. A million may hold it.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub(in crate::store) async fn next_holders(
        &mut self,
        name: &RoleName,
        behind: &str,
    ) -> Result<Option<String>, StoreError> {
        let organization = self.organization().id.clone();
        let (_, end) = sql!(
            one(i64, Option<String>),
            self.on(),
            "SELECT COUNT(*), MAX(api_key_id) FROM
                 (SELECT api_key_id FROM api_key_roles
                  WHERE organization_id = $1 AND role = $2 AND api_key_id > $3
                  ORDER BY api_key_id LIMIT $4) AS some_holders",
            organization.as_str(),
            name.as_str(),
            behind,
            IN_ONE
        )?;
        Ok(end)
    }

    /// How many keys, none of them revoked, hold this role and nothing else, and the first.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn only_held(&mut self, name: &RoleName) -> Result<Option<(i64, KeyId)>, StoreError> {
        let organization = self.organization().id.clone();
        let (count, first) = sql!(
            one(i64, Option<String>),
            self.on(),
            "SELECT COUNT(*), MIN(k.id)
             FROM api_key_roles a JOIN api_keys k ON k.id = a.api_key_id
             WHERE a.organization_id = $1 AND a.role = $2
               AND k.revoked_at IS NULL AND k.scopes = '[]'
               AND NOT EXISTS (SELECT 1 FROM api_key_roles b
                               WHERE b.api_key_id = k.id AND b.role <> $2)",
            organization.as_str(),
            name.as_str()
        )?;
        first
            .map(|first| first.parse().map(|first| (count, first)))
            .transpose()
            .map_err(|_| corrupt("api_keys", "id"))
    }

    /// Waits for acts under way, on whichever organization, of the keys that hold a role, and
    /// keeps others from beginning: their authority is about to change.
    ///
    /// # Errors
    /// When the database is unavailable, or they took too long.
    pub async fn still_holders(&mut self, name: &RoleName) -> Result<(), StoreError> {
        let organization = self.organization().id.clone();
        // Acts on one organization take turns, and SQLite has one writer: what is left are acts
        // on the others, which the operator's keys alone can do.
        if let Engine::Postgres(on) = self.on()
            && organization.is_operator()
        {
            let wait = sqlx::query(
                "SELECT 1 FROM api_keys k WHERE k.organization_id = $1 AND EXISTS
                     (SELECT 1 FROM api_key_roles a WHERE a.api_key_id = k.id AND a.role = $2)
                 ORDER BY k.id FOR UPDATE OF k",
            )
            .bind(organization.as_str())
            .bind(name.as_str())
            .execute(on);
            answered(wait).await?;
        }
        Ok(())
    }
}

impl Kin {
    /// Its own scopes and those of its other roles, which are at most [`ScopeSet::MAX`].
    ///
    /// # Errors
    /// When the row is corrupt.
    pub fn beside(&self) -> Result<ScopeSet, StoreError> {
        let wrong = |_| corrupt("api_keys", "scopes");
        let own: ScopeSet =
            serde_json::from_str(&self.scopes).map_err(|_| corrupt("api_keys", "scopes"))?;
        let others = self
            .of_other_roles
            .split(' ')
            .filter(|word| !word.is_empty());
        let others = others
            .map(str::parse)
            .collect::<Result<Vec<_>, _>>()
            .map_err(wrong)?;
        ScopeSet::new(own.iter().cloned().chain(others)).map_err(wrong)
    }

    /// Whether a string that another system gave out counts for it.
    #[must_use]
    pub const fn is_imported(&self) -> bool {
        self.is_imported
    }

    /// Where it may be used from.
    ///
    /// # Errors
    /// When the row is corrupt.
    pub fn networks(&self) -> Result<NetworkSet, StoreError> {
        serde_json::from_str(&self.networks).map_err(|_| corrupt("api_keys", "allowed_ip_cidrs"))
    }
}

impl TryFrom<HolderRow> for Holder {
    type Error = StoreError;

    fn try_from(row: HolderRow) -> Result<Self, StoreError> {
        let expires_at = row.expires_at.map(Timestamp::from_unix).transpose();
        Ok(Self {
            id: row.id.parse().map_err(|_| corrupt("api_keys", "id"))?,
            expires_at: expires_at.map_err(|_| corrupt("api_keys", "expires_at"))?,
            kin: Kin {
                scopes: row.scopes,
                networks: row.allowed_ip_cidrs,
                of_other_roles: row.of_other_roles.unwrap_or_default(),
                is_imported: row.imported != 0,
            },
        })
    }
}
