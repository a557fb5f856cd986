//! Signing keys in the database: public halves in the clear, private ones sealed until they are
//! destroyed.

mod due;
mod row;

use super::Store;
use super::engine::sql;
use super::error::{StoreError, corrupt};
use super::organizations::Page;
use super::write::Write;
use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::{Kid, PublicJwk, SigningKey};
use crate::domain::timestamp::Timestamp;
use row::{SigningKeyRow, columns};

/// Those of an organization that are published, the oldest first.
const PUBLISHED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM signing_keys WHERE organization_id = $1 AND retired_at IS NULL ORDER BY created_at, kid"
);

/// One of an organization's, whatever became of it.
const ONE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM signing_keys WHERE organization_id = $1 AND kid = $2"
);

/// Those of an organization that were made in a hurry.
const HURRIED: &str = "SELECT published_at FROM signing_keys
     WHERE organization_id = $1 AND published_at > $2
       AND (activates_at = published_at OR revoked_at IS NOT NULL)
     ORDER BY published_at";

/// A signing key, and its private half as it is stored.
#[derive(Clone, Debug)]
pub struct SealedSigningKey {
    /// What may be told of it.
    pub key: SigningKey,
    /// PKCS#8 under AES-256-GCM; empty once the private half is destroyed.
    pub sealed: Vec<u8>,
    /// The id of the root key that sealed it.
    pub root_key: String,
}

impl Store {
    /// The signing keys of an organization that are published, the oldest first; none if it was
    /// not bootstrapped.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn published_signing_keys(
        &self,
        organization: &OrganizationId,
    ) -> Result<Vec<SealedSigningKey>, StoreError> {
        sql!(
            all SigningKeyRow, self.reader(),
            PUBLISHED,
            organization.as_str()
        )?
        .into_iter()
        .map(TryInto::try_into)
        .collect()
    }

    /// The signing keys of an organization that are published, or have a private half for any
    /// other reason, the oldest first.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn sealed_signing_keys(
        &self,
        organization: &OrganizationId,
    ) -> Result<Vec<SealedSigningKey>, StoreError> {
        sql!(
            all SigningKeyRow, self.reader(),
            concat!(
                "SELECT ", columns!(), " FROM signing_keys
                 WHERE organization_id = $1 AND (retired_at IS NULL OR LENGTH(sealed) > 0)
                 ORDER BY created_at, kid"
            ),
            organization.as_str()
        )?
        .into_iter()
        .map(TryInto::try_into)
        .collect()
    }

    /// One signing key of an organization, whatever became of it.
    ///
    /// # Errors
    /// When the database is unavailable or the row corrupt.
    pub async fn signing_key(
        &self,
        organization: &OrganizationId,
        kid: &Kid,
    ) -> Result<Option<SigningKey>, StoreError> {
        sql!(
            optional SigningKeyRow, self.reader(),
            ONE,
            organization.as_str(), kid.as_str()
        )?
        .map(SigningKey::try_from)
        .transpose()
    }

    /// A page of an organization's signing keys, whatever became of them: the newest first, after
    /// the one of this `kid`.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn signing_keys(
        &self,
        organization: &OrganizationId,
        after: Option<&Kid>,
        limit: u8,
    ) -> Result<Page<SigningKey>, StoreError> {
        let most = i64::from(limit) + 1;
        let rows = match after {
            None => sql!(
                all SigningKeyRow, self.reader(),
                concat!(
                    "SELECT ", columns!(), " FROM signing_keys WHERE organization_id = $1
                     ORDER BY created_at DESC, kid DESC LIMIT $2"
                ),
                organization.as_str(), most
            ),
            Some(after) => sql!(
                all SigningKeyRow, self.reader(),
                concat!(
                    "SELECT ", columns!(), " FROM signing_keys
                     WHERE organization_id = $1
                       AND (created_at, kid) < (
                           SELECT created_at, kid FROM signing_keys
                           WHERE organization_id = $1 AND kid = $3)
                     ORDER BY created_at DESC, kid DESC LIMIT $2"
                ),
                organization.as_str(), most, after.as_str()
            ),
        }?;
        let keys = rows
            .into_iter()
            .map(SigningKey::try_from)
            .collect::<Result<_, _>>()?;
        Ok(Page::from_overfull(keys, usize::from(limit)))
    }
}

impl Store {
    /// What [`Write::hurried_signing_keys`] says, before an act.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn hurried_signing_keys(
        &self,
        organization: &OrganizationId,
        since: Timestamp,
    ) -> Result<Vec<Timestamp>, StoreError> {
        let rows = sql!(
            all(i64,),
            self.reader(),
            HURRIED,
            organization.as_str(),
            since.unix()
        )?;
        times(rows)
    }
}

impl Write {
    /// The signing keys of the organization of this act that are published, the oldest first.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn published_signing_keys(&mut self) -> Result<Vec<SigningKey>, StoreError> {
        let organization = self.organization().id.clone();
        sql!(
            all SigningKeyRow, self.on(),
            PUBLISHED,
            organization.as_str()
        )?
        .into_iter()
        .map(SigningKey::try_from)
        .collect()
    }

    /// One signing key of the organization of this act, whatever became of it.
    ///
    /// # Errors
    /// When the database is unavailable or the row corrupt.
    pub async fn signing_key(&mut self, kid: &Kid) -> Result<Option<SigningKey>, StoreError> {
        let organization = self.organization().id.clone();
        sql!(
            optional SigningKeyRow, self.on(),
            ONE,
            organization.as_str(), kid.as_str()
        )?
        .map(SigningKey::try_from)
        .transpose()
    }

    /// Whether this is the public half of a signing key of any organization, whatever became of it.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn knows_signing_key(&mut self, public: &PublicJwk) -> Result<bool, StoreError> {
        let public = serde_json::to_string(public).expect("a JWK is JSON");
        let found = sql!(
            optional(String,),
            self.on(),
            "SELECT kid FROM signing_keys WHERE public_jwk = $1 LIMIT 1",
            &public
        )?;
        Ok(found.is_some())
    }

    /// When the organization of this act got each signing key that was made in a hurry since then:
    /// those that signed at once, and those that were withdrawn. The oldest first.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn hurried_signing_keys(
        &mut self,
        since: Timestamp,
    ) -> Result<Vec<Timestamp>, StoreError> {
        let organization = self.organization().id.clone();
        let rows = sql!(
            all(i64,),
            self.on(),
            HURRIED,
            organization.as_str(),
            since.unix()
        )?;
        times(rows)
    }

    /// Stores a new signing key; false if there is one of this `kid` or with this public half, here
    /// or elsewhere.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn insert_signing_key(&mut self, new: &SealedSigningKey) -> Result<bool, StoreError> {
        let public = serde_json::to_string(&new.key.public).expect("a JWK is JSON");
        let life = &new.key.life;
        let inserted = sql!(
            run self.on(),
            "INSERT INTO signing_keys
             (kid, organization_id, algorithm, public_jwk, sealed, root_key, created_at,
              published_at, activates_at, activated_at, due_at, jitter, imported, stands_in_for)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
             ON CONFLICT DO NOTHING",
            new.key.kid.as_str(), new.key.organization.as_str(), new.key.algorithm.as_str(),
            &public, &new.sealed, &new.root_key, new.key.created_at.unix(),
            life.published_at.unix(), life.activates_at.unix(), seconds(life.activated_at),
            seconds(life.due_at()), i64::from(life.jitter), i64::from(new.key.imported),
            life.stands_in_for.map(|bits| i64::from(bits.get()))
        )?;
        Ok(inserted == 1)
    }

    /// Stores how far the life of a signing key has come. One that is published no more loses its
    /// private half here, for good.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn save_signing_key(&mut self, key: &SigningKey) -> Result<(), StoreError> {
        let life = &key.life;
        sql!(
            run self.on(),
            "UPDATE signing_keys
             SET activated_at = $2, retiring_at = $3, retires_at = $4, retired_at = $5,
                 revoked_at = $6, due_at = $7, replaced_by = $8
             WHERE kid = $1",
            key.kid.as_str(), seconds(life.activated_at), seconds(life.retiring_at),
            seconds(life.retires_at), seconds(life.retired_at), seconds(life.revoked_at),
            seconds(life.due_at()), key.replaced_by.as_ref().map(Kid::as_str)
        )?;
        if !life.is_published() {
            sql!(
                run self.on(),
                "UPDATE signing_keys SET sealed = $2 WHERE kid = $1",
                key.kid.as_str(), Vec::<u8>::new()
            )?;
            self.owe_erasure().await?;
        }
        Ok(())
    }
}

fn seconds(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::unix)
}

fn times(rows: Vec<(i64,)>) -> Result<Vec<Timestamp>, StoreError> {
    let time = |(at,)| Timestamp::from_unix(at);
    let times: Result<_, _> = rows.into_iter().map(time).collect();
    times.map_err(|_| corrupt("signing_keys", "published_at"))
}
