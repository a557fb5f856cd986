//! Signing keys in the database: public halves in the clear, private ones sealed.

use super::Store;
use super::engine::sql;
use super::error::{StoreError, corrupt};
use super::write::Write;
use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::{Kid, SigningKey};
use crate::domain::timestamp::Timestamp;

/// A signing key, and its private half as it is stored.
#[derive(Clone, Debug)]
pub struct SealedSigningKey {
    /// What may be told of it.
    pub key: SigningKey,
    /// PKCS#8 under AES-256-GCM.
    pub sealed: Vec<u8>,
    /// The id of the root key that sealed it.
    pub root_key: String,
}

#[derive(sqlx::FromRow)]
struct SigningKeyRow {
    kid: String,
    organization_id: String,
    algorithm: String,
    public_jwk: String,
    sealed: Vec<u8>,
    root_key: String,
    created_at: i64,
}

impl Store {
    /// The signing key of an organization, if it was bootstrapped.
    ///
    /// # Errors
    /// When the database is unavailable or the row corrupt.
    pub async fn signing_key(
        &self,
        organization: &OrganizationId,
    ) -> Result<Option<SealedSigningKey>, StoreError> {
        sql!(
            optional SigningKeyRow, self.reader(),
            "SELECT kid, organization_id, algorithm, public_jwk, sealed, root_key, created_at
             FROM signing_keys WHERE organization_id = $1",
            organization.as_str()
        )?
        .map(TryInto::try_into)
        .transpose()
    }
}

impl Write {
    /// The signing key of the organization of this act, if it has one.
    ///
    /// # Errors
    /// When the database is unavailable or the row corrupt.
    pub async fn signing_key(&mut self) -> Result<Option<SealedSigningKey>, StoreError> {
        let organization = self.organization().id.clone();
        sql!(
            optional SigningKeyRow, self.on(),
            "SELECT kid, organization_id, algorithm, public_jwk, sealed, root_key, created_at
             FROM signing_keys WHERE organization_id = $1",
            organization.as_str()
        )?
        .map(TryInto::try_into)
        .transpose()
    }

    /// Stores a new signing key.
    ///
    /// # Errors
    /// When the database is unavailable, or there is one already.
    pub async fn insert_signing_key(&mut self, new: &SealedSigningKey) -> Result<(), StoreError> {
        let public = serde_json::to_string(&new.key.public).expect("a JWK is JSON");
        sql!(
            run self.on(),
            "INSERT INTO signing_keys
             (kid, organization_id, algorithm, public_jwk, sealed, root_key, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            new.key.kid.as_str(), new.key.organization.as_str(), new.key.algorithm.as_str(),
            &public, &new.sealed, &new.root_key, new.key.created_at.unix()
        )?;
        Ok(())
    }
}

impl TryFrom<SigningKeyRow> for SealedSigningKey {
    type Error = StoreError;

    fn try_from(row: SigningKeyRow) -> Result<Self, StoreError> {
        let wrong = |what| corrupt("signing_keys", what);
        Ok(Self {
            key: SigningKey {
                kid: Kid::new(&row.kid),
                organization: row
                    .organization_id
                    .parse()
                    .map_err(|_| wrong("organization_id"))?,
                algorithm: row.algorithm.parse().map_err(|_| wrong("algorithm"))?,
                public: serde_json::from_str(&row.public_jwk).map_err(|_| wrong("public_jwk"))?,
                created_at: Timestamp::from_unix(row.created_at)
                    .map_err(|_| wrong("created_at"))?,
            },
            sealed: row.sealed,
            root_key: row.root_key,
        })
    }
}
