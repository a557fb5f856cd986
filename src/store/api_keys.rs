//! API keys in the database.

mod credential;
mod row;
mod secrets;
mod writing;

use super::Store;
use super::engine::sql;
use super::error::StoreError;
use super::organizations::Page;
use crate::domain::api_key::{ApiKey, StatusFilter};
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;

use row::{ApiKeyRow, columns, secrets};

pub use credential::StoredCredential;
pub use secrets::NewSecret;

const ONE_OF_ORGANIZATION: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM api_keys k ",
    secrets!(),
    "
     WHERE k.organization_id = $1 AND k.id = $2"
);

impl Store {
    /// One key of an organization.
    ///
    /// # Errors
    /// When the database is unavailable or the row corrupt.
    pub async fn api_key(
        &self,
        organization: &OrganizationId,
        id: KeyId,
    ) -> Result<Option<ApiKey>, StoreError> {
        let row = sql!(
            optional ApiKeyRow, self.reader(), ONE_OF_ORGANIZATION,
            organization.as_str(), id.to_string()
        )?;
        row.map(TryInto::try_into).transpose()
    }

    /// A page of an organization's keys, newest first, beginning behind `after`.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn api_keys(
        &self,
        organization: &OrganizationId,
        status: StatusFilter,
        now: Timestamp,
        after: Option<KeyId>,
        limit: u8,
    ) -> Result<Page<ApiKey>, StoreError> {
        // Above every id: letters of key ids are below `~`.
        let after = after.map_or_else(|| "~".to_owned(), |id| id.to_string());
        let rows = sql!(
            all ApiKeyRow, self.reader(),
            concat!("SELECT ", columns!(), " FROM api_keys k ", secrets!(), "
             WHERE k.organization_id = $1 AND k.id < $2
               AND ($3 = 'all'
                    OR ($3 = 'active' AND k.revoked_at IS NULL AND k.disabled_at IS NULL
                        AND (k.expires_at IS NULL OR k.expires_at > $4))
                    OR ($3 = 'disabled' AND k.revoked_at IS NULL AND k.disabled_at IS NOT NULL
                        AND (k.expires_at IS NULL OR k.expires_at > $4))
                    OR ($3 = 'expired' AND k.revoked_at IS NULL AND k.expires_at <= $4)
                    OR ($3 = 'revoked' AND k.revoked_at IS NOT NULL))
             ORDER BY k.id DESC LIMIT $5"),
            organization.as_str(), &after, status.as_str(), now.unix(), i64::from(limit) + 1
        )?;
        let rows = rows
            .into_iter()
            .map(TryInto::try_into)
            .collect::<Result<_, _>>()?;
        Ok(Page::from_overfull(rows, usize::from(limit)))
    }
}
