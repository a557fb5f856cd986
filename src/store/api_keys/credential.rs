//! What is needed to decide about a key that was presented.

use std::sync::Arc;

use super::in_use::{KeyInUseRow, columns_in_use, secrets};
use crate::domain::api_key::KeyInUse;
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
    pub key: KeyInUse,
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
    key: KeyInUseRow,
    suspended_at: Option<i64>,
    operator_policy: String,
    policy: String,
    hash: String,
    hash_root_key: String,
    ending_hash: Option<String>,
    ending_root_key: Option<String>,
}

impl Store {
    /// What is needed to decide about each of these keys, whatever its state. Of keys that are not
    /// there, or not any more because their organization was deleted, nothing is given back.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn credentials(&self, ids: &[KeyId]) -> Result<Vec<StoredCredential>, StoreError> {
        let ids = serde_json::to_string(ids).expect("ids are JSON");
        let reader = self.reader();
        let text = match reader {
            Engine::Sqlite(_) => CREDENTIALS_IN,
            Engine::Postgres(_) => CREDENTIALS_OF_EACH,
        };
        let rows = sql!(all CredentialRow, reader, text, &ids)?;
        rows.into_iter().map(TryInto::try_into).collect()
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
    ($which:literal) => {
        concat!(
            "SELECT ",
            columns_in_use!(),
            ", o.suspended_at, o.operator_policy, o.policy,
             s.hash, s.root_key AS hash_root_key,
             e.hash AS ending_hash, e.root_key AS ending_root_key
             FROM api_keys k
             JOIN organizations o ON o.id = k.organization_id ",
            secrets!(),
            "
             WHERE o.deleted_at IS NULL AND k.id ",
            $which
        )
    };
}

const CREDENTIAL: &str = credential!("= $1");
const CREDENTIAL_KEPT: &str = credential!("= $1 FOR SHARE OF k");
const CREDENTIALS_IN: &str = credential!("IN (SELECT value FROM json_each($1))");

/// One after the other, each by the plan of one: planned together, and while tables are small, they
/// would be joined by reading these as a whole, and a plan is kept while a table grows.
const CREDENTIALS_OF_EACH: &str = concat!(
    "SELECT found.* FROM jsonb_array_elements_text(CAST($1 AS jsonb)) AS asked(id)
     CROSS JOIN LATERAL (",
    credential!("= asked.id OFFSET 0"),
    ") AS found"
);

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
