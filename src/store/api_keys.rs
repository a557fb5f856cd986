//! API keys in the database.

mod bulk;
mod credential;
pub mod due;
mod in_use;
mod list;
mod row;
mod secrets;
mod writing;

use super::Store;
use super::engine::sql;
use super::error::StoreError;
use crate::domain::api_key::ApiKey;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;

use row::{ApiKeyRow, columns, secrets_and_uses};

pub(super) use in_use::with_roles;

pub use credential::{StoredCredential, StoredHash};
pub use list::{KeyPage, LISTS};

const ONE_OF_ORGANIZATION: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM api_keys k ",
    secrets_and_uses!(),
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
}
