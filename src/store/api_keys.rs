//! API keys and the hashes of their secrets in the database.

use super::Store;
use super::engine::{Engine, sql};
use super::error::{StoreError, corrupt};
use super::organizations::Page;
use super::write::Write;
use crate::domain::api_key::{ApiKey, Creator, StatusFilter};
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;
use crate::domain::text::{Description, ExternalId, Name};
use crate::domain::timestamp::Timestamp;

/// What is needed to decide about a key that was presented.
#[derive(Clone, Debug)]
pub struct StoredCredential {
    /// The key.
    pub key: ApiKey,
    /// Whether its organization is suspended.
    pub organization_suspended: bool,
    /// The PHC string of its secret.
    pub hash: String,
}

/// A new secret, as it is stored.
#[derive(Debug)]
pub struct NewSecret {
    /// Its PHC string.
    pub hash: String,
    /// The id of the root key that peppers the hash.
    pub root_key: String,
}

#[derive(sqlx::FromRow)]
struct ApiKeyRow {
    id: String,
    organization_id: String,
    name: String,
    description: Option<String>,
    scopes: String,
    allowed_ip_cidrs: String,
    external_id: Option<String>,
    metadata: String,
    fingerprint: String,
    created_at: i64,
    created_by: Option<String>,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct CredentialRow {
    #[sqlx(flatten)]
    key: ApiKeyRow,
    suspended_at: Option<i64>,
    hash: String,
}

impl Store {
    /// What is needed to decide about a key, whatever its state; `None` if there is none.
    ///
    /// # Errors
    /// When the database is unavailable or the row corrupt.
    pub async fn credential(&self, id: KeyId) -> Result<Option<StoredCredential>, StoreError> {
        let row = sql!(optional CredentialRow, self.reader(), CREDENTIAL, id.to_string())?;
        row.map(TryInto::try_into).transpose()
    }

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
            "SELECT k.id, k.organization_id, k.name, k.description, k.scopes, k.allowed_ip_cidrs,
                    k.external_id, k.metadata, s.fingerprint, k.created_at, k.created_by,
                    k.expires_at, k.revoked_at
             FROM api_keys k JOIN api_key_secrets s ON s.api_key_id = k.id
             WHERE k.organization_id = $1 AND k.id < $2
               AND ($3 = 'all'
                    OR ($3 = 'active' AND k.revoked_at IS NULL
                        AND (k.expires_at IS NULL OR k.expires_at > $4))
                    OR ($3 = 'expired' AND k.revoked_at IS NULL AND k.expires_at <= $4)
                    OR ($3 = 'revoked' AND k.revoked_at IS NOT NULL))
             ORDER BY k.id DESC LIMIT $5",
            organization.as_str(), &after, status.as_str(), now.unix(), i64::from(limit) + 1
        )?;
        let rows = rows
            .into_iter()
            .map(TryInto::try_into)
            .collect::<Result<_, _>>()?;
        Ok(Page::from_overfull(rows, usize::from(limit)))
    }
}

impl Write {
    /// One key of the organization of this act, as it is now.
    ///
    /// # Errors
    /// When the database is unavailable or the row corrupt.
    pub async fn api_key(&mut self, id: KeyId) -> Result<Option<ApiKey>, StoreError> {
        let organization = self.organization().id.clone();
        let row = sql!(
            optional ApiKeyRow, self.on(), ONE_OF_ORGANIZATION,
            organization.as_str(), id.to_string()
        )?;
        row.map(TryInto::try_into).transpose()
    }

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

    /// Stores a new key with its secret's hash.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn insert_api_key(
        &mut self,
        key: &ApiKey,
        secret: &NewSecret,
    ) -> Result<(), StoreError> {
        let id = key.id.to_string();
        let json = |value: serde_json::Result<String>| value.expect("strings are JSON");
        let created_by = match key.created_by {
            Creator::Key(creator) => Some(creator.to_string()),
            Creator::Operator(creator) => Some(format!("{OPERATOR}{creator}")),
            Creator::CommandLine => None,
        };
        sql!(
            run self.on(),
            "INSERT INTO api_keys
             (id, organization_id, name, description, scopes, allowed_ip_cidrs, external_id,
              metadata, created_at, created_by, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            &id, key.organization.as_str(), key.name.as_str(),
            key.description.as_ref().map(Description::as_str),
            json(serde_json::to_string(&key.scopes)), json(serde_json::to_string(&key.networks)),
            key.external_id.as_ref().map(ExternalId::as_str),
            json(serde_json::to_string(&key.metadata)), key.created_at.unix(), &created_by,
            key.expires_at.map(Timestamp::unix)
        )?;
        sql!(
            run self.on(),
            "INSERT INTO api_key_secrets (api_key_id, fingerprint, hash, root_key, created_at)
             VALUES ($1, $2, $3, $4, $5)",
            &id, &key.fingerprint, &secret.hash, &secret.root_key, key.created_at.unix()
        )?;
        Ok(())
    }

    /// Revokes a key of the organization of this act, if that has not been done.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn revoke_api_key(&mut self, id: KeyId, at: Timestamp) -> Result<(), StoreError> {
        let organization = self.organization().id.clone();
        sql!(
            run self.on(),
            "UPDATE api_keys SET revoked_at = $3
             WHERE organization_id = $1 AND id = $2 AND revoked_at IS NULL",
            organization.as_str(), id.to_string(), at.unix()
        )?;
        Ok(())
    }
}

/// What stands in `created_by` before the operator's key id.
const OPERATOR: &str = "operator:";

const ONE_OF_ORGANIZATION: &str =
    "SELECT k.id, k.organization_id, k.name, k.description, k.scopes, k.allowed_ip_cidrs,
            k.external_id, k.metadata, s.fingerprint, k.created_at, k.created_by,
            k.expires_at, k.revoked_at
     FROM api_keys k JOIN api_key_secrets s ON s.api_key_id = k.id
     WHERE k.organization_id = $1 AND k.id = $2";

macro_rules! credential {
    ($($end:literal)?) => {
        concat!(
            "SELECT k.id, k.organization_id, k.name, k.description, k.scopes, k.allowed_ip_cidrs,
                    k.external_id, k.metadata, s.fingerprint, k.created_at, k.created_by,
                    k.expires_at, k.revoked_at, o.suspended_at, s.hash
             FROM api_keys k
             JOIN api_key_secrets s ON s.api_key_id = k.id
             JOIN organizations o ON o.id = k.organization_id
             WHERE k.id = $1"
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
            hash: row.hash,
        })
    }
}

impl TryFrom<ApiKeyRow> for ApiKey {
    type Error = StoreError;

    fn try_from(row: ApiKeyRow) -> Result<Self, StoreError> {
        let wrong = |what| corrupt("api_keys", what);
        let time = |at: Option<i64>, what| {
            at.map(Timestamp::from_unix)
                .transpose()
                .map_err(|_| wrong(what))
        };
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
            scopes: serde_json::from_str(&row.scopes).map_err(|_| wrong("scopes"))?,
            networks: serde_json::from_str(&row.allowed_ip_cidrs)
                .map_err(|_| wrong("allowed_ip_cidrs"))?,
            external_id: row
                .external_id
                .map(|text| ExternalId::new(&text))
                .transpose()
                .map_err(|_| wrong("external_id"))?,
            metadata: serde_json::from_str(&row.metadata).map_err(|_| wrong("metadata"))?,
            fingerprint: row.fingerprint,
            created_at: Timestamp::from_unix(row.created_at).map_err(|_| wrong("created_at"))?,
            created_by: match row.created_by {
                Some(text) => match text.strip_prefix(OPERATOR) {
                    Some(id) => Creator::Operator(id.parse().map_err(|_| wrong("created_by"))?),
                    None => Creator::Key(text.parse().map_err(|_| wrong("created_by"))?),
                },
                None => Creator::CommandLine,
            },
            expires_at: time(row.expires_at, "expires_at")?,
            revoked_at: time(row.revoked_at, "revoked_at")?,
        })
    }
}
