//! A row of `signing_keys`, and the signing key that it is.

use super::SealedSigningKey;
use crate::domain::signing_key::{Kid, Life, RsaBits, RsaBitsError, SigningKey};
use crate::domain::timestamp::Timestamp;
use crate::store::error::{StoreError, corrupt};

/// The columns that a [`SigningKeyRow`] is read from.
macro_rules! columns {
    () => {
        "kid, organization_id, algorithm, public_jwk, sealed, root_key, created_at, published_at,
         activates_at, activated_at, retiring_at, retires_at, retired_at, revoked_at, jitter,
         imported, stands_in_for, replaced_by"
    };
}
pub(super) use columns;

#[derive(sqlx::FromRow)]
pub(super) struct SigningKeyRow {
    kid: String,
    organization_id: String,
    algorithm: String,
    public_jwk: String,
    sealed: Vec<u8>,
    root_key: String,
    created_at: i64,
    published_at: i64,
    activates_at: i64,
    activated_at: Option<i64>,
    retiring_at: Option<i64>,
    retires_at: Option<i64>,
    retired_at: Option<i64>,
    revoked_at: Option<i64>,
    jitter: i64,
    imported: i64,
    stands_in_for: Option<i64>,
    replaced_by: Option<String>,
}

impl TryFrom<SigningKeyRow> for SigningKey {
    type Error = StoreError;

    fn try_from(row: SigningKeyRow) -> Result<Self, StoreError> {
        SealedSigningKey::try_from(row).map(|stored| stored.key)
    }
}

impl TryFrom<SigningKeyRow> for SealedSigningKey {
    type Error = StoreError;

    fn try_from(row: SigningKeyRow) -> Result<Self, StoreError> {
        let wrong = |what| corrupt("signing_keys", what);
        let time = |seconds, what| Timestamp::from_unix(seconds).map_err(|_| wrong(what));
        let some_time = |seconds: Option<i64>, what| seconds.map(|at| time(at, what)).transpose();
        Ok(Self {
            key: SigningKey {
                kid: Kid::new(&row.kid),
                organization: row
                    .organization_id
                    .parse()
                    .map_err(|_| wrong("organization_id"))?,
                algorithm: row.algorithm.parse().map_err(|_| wrong("algorithm"))?,
                public: serde_json::from_str(&row.public_jwk).map_err(|_| wrong("public_jwk"))?,
                created_at: time(row.created_at, "created_at")?,
                life: Life {
                    published_at: time(row.published_at, "published_at")?,
                    activates_at: time(row.activates_at, "activates_at")?,
                    activated_at: some_time(row.activated_at, "activated_at")?,
                    retiring_at: some_time(row.retiring_at, "retiring_at")?,
                    retires_at: some_time(row.retires_at, "retires_at")?,
                    retired_at: some_time(row.retired_at, "retired_at")?,
                    revoked_at: some_time(row.revoked_at, "revoked_at")?,
                    jitter: u8::try_from(row.jitter).map_err(|_| wrong("jitter"))?,
                    stands_in_for: row
                        .stands_in_for
                        .map(|bits| {
                            u64::try_from(bits).map_or(Err(RsaBitsError), RsaBits::try_from)
                        })
                        .transpose()
                        .map_err(|_| wrong("stands_in_for"))?,
                },
                imported: row.imported != 0,
                replaced_by: row.replaced_by.as_deref().map(Kid::new),
            },
            sealed: row.sealed,
            root_key: row.root_key,
        })
    }
}
