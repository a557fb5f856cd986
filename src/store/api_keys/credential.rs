//! What is needed to decide about a key that was presented.

use std::sync::Arc;

use super::row::{ApiKeyRow, columns, secrets};
use crate::domain::api_key::ApiKey;
use crate::domain::policy::Effective;
use crate::domain::secret::KeyId;
use crate::store::Store;
use crate::store::engine::{Engine, sql};
use crate::store::error::StoreError;
use crate::store::policy::effective;
use crate::store::write::Write;

/// A key, the hashes of its secrets, and what of its organization decides about it.
#[derive(Clone, Debug)]
pub struct StoredCredential {
    /// The key.
    pub key: ApiKey,
    /// Whether its organization is suspended.
    pub organization_suspended: bool,
    /// The policy of its organization, if that has one.
    pub policy: Option<Arc<Effective>>,
    /// The hash of its secret.
    pub hash: StoredHash,
    /// The hash of the secret that a rotation replaced, if it may still count.
    pub ending_hash: Option<StoredHash>,
}

/// The hash of a secret, as it is stored.
#[derive(Clone, Debug)]
pub struct StoredHash {
    /// Its PHC string.
    pub phc: Box<str>,
    /// The id of the root key that peppers it.
    pub root_key: Arc<str>,
}

#[derive(sqlx::FromRow)]
struct CredentialRow {
    #[sqlx(flatten)]
    key: ApiKeyRow,
    suspended_at: Option<i64>,
    operator_policy: String,
    policy: String,
    hash: String,
    hash_root_key: String,
    ending_hash: Option<String>,
    ending_root_key: Option<String>,
}

impl Store {
    /// What is needed to decide about a key, whatever its state; `None` if there is none, or none any
    /// more because its organization was deleted.
    ///
    /// # Errors
    /// When the database is unavailable or the row corrupt.
    pub async fn credential(&self, id: KeyId) -> Result<Option<StoredCredential>, StoreError> {
        let row = sql!(optional CredentialRow, self.reader(), CREDENTIAL, id.to_string())?;
        row.map(TryInto::try_into).transpose()
    }
}

impl Write {
    /// The credential of a key of any organization, as it is now and stays until the act ends:
    /// who acts is asked again inside the act, and whoever would revoke that key waits for it.
    ///
    /// # Errors
    /// When the database is unavailable or the row corrupt.
    pub async fn credential(&mut self, id: KeyId) -> Result<Option<StoredCredential>, StoreError> {
        let on = self.on();
        let text = match on {
            // It has one writer, and this is it.
            Engine::Sqlite(_) => CREDENTIAL,
            Engine::Postgres(_) => CREDENTIAL_KEPT,
        };
        let row = sql!(optional CredentialRow, on, text, id.to_string())?;
        row.map(TryInto::try_into).transpose()
    }
}

macro_rules! credential {
    ($($end:literal)?) => {
        concat!(
            "SELECT ", columns!(), ", o.suspended_at, o.operator_policy, o.policy,
             s.hash, s.root_key AS hash_root_key,
             e.hash AS ending_hash, e.root_key AS ending_root_key
             FROM api_keys k
             JOIN organizations o ON o.id = k.organization_id ", secrets!(), "
             WHERE k.id = $1 AND o.deleted_at IS NULL"
            $(, $end)?
        )
    };
}

const CREDENTIAL: &str = credential!();
const CREDENTIAL_KEPT: &str = credential!(" FOR SHARE OF k");

impl TryFrom<CredentialRow> for StoredCredential {
    type Error = StoreError;

    fn try_from(row: CredentialRow) -> Result<Self, StoreError> {
        Ok(Self {
            key: row.key.try_into()?,
            organization_suspended: row.suspended_at.is_some(),
            policy: effective(&row.operator_policy, &row.policy)?,
            hash: StoredHash {
                phc: row.hash.into(),
                root_key: row.hash_root_key.into(),
            },
            ending_hash: row
                .ending_hash
                .zip(row.ending_root_key)
                .map(|(phc, root_key)| StoredHash {
                    phc: phc.into(),
                    root_key: root_key.into(),
                }),
        })
    }
}
