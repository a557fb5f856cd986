//! Keys that services were shown themselves: how often lately, and when last.

use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;
use crate::domain::text::{ExternalId, Name};
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::Grain;
use crate::store::Store;
use crate::store::engine::sql;
use crate::store::error::{StoreError, corrupt};
use crate::store::organizations::Page;
use crate::store::write::Write;

/// What services were shown of an organization's active keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Shown {
    /// How many of them.
    pub keys: u64,
    /// How often any, be it active by now or not.
    pub uses: u64,
}

impl Store {
    /// How many active keys services were shown since an instant, and how often: to the hour.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn shown_lately(
        &self,
        organization: &OrganizationId,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Shown, StoreError> {
        let (uses,) = sql!(
            one(i64,),
            self.reader(),
            SHOWN,
            organization.as_str(),
            "",
            Grain::Hour.start(since).unix()
        )?;
        Ok(Shown {
            keys: self.count_shown_keys(organization, since, now).await?,
            uses: uses.unsigned_abs(),
        })
    }

    /// How many active keys services were shown since an instant.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn count_shown_keys(
        &self,
        organization: &OrganizationId,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let (keys,) = sql!(
            one(i64,),
            self.reader(),
            "SELECT COUNT(*) FROM direct_uses d JOIN api_keys k ON k.id = d.api_key_id
             WHERE d.organization_id = $1 AND d.last_at >= $2
               AND k.revoked_at IS NULL AND k.disabled_at IS NULL
               AND (k.expires_at IS NULL OR k.expires_at > $3)",
            organization.as_str(),
            since.unix(),
            now.unix()
        )?;
        Ok(keys.unsigned_abs())
    }

    /// How many active keys were exchanged since an instant that begins a UTC day, and no service
    /// was shown.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn count_exchanged_keys(
        &self,
        organization: &OrganizationId,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let (keys,) = sql!(
            one(i64,),
            self.reader(),
            EXCHANGED_KEYS,
            organization.as_str(),
            since.unix(),
            now.unix()
        )?;
        Ok(keys.unsigned_abs())
    }
}

impl Write {
    /// How often services were shown a key itself since an instant: to the hour.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn count_shown(&mut self, key: KeyId, since: Timestamp) -> Result<u64, StoreError> {
        let organization = self.organization().id.clone();
        let (uses,) = sql!(
            one(i64,),
            self.on(),
            SHOWN,
            organization.as_str(),
            key.to_string(),
            Grain::Hour.start(since).unix()
        )?;
        Ok(uses.unsigned_abs())
    }
}

const SHOWN: &str = "SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM usage_counts
     WHERE organization_id = $1 AND api_key_id = $2 AND grain = 'hour' AND starts_at >= $3
       AND outcome IN ('direct', 'checked')";

/// An active key, and when a service was last shown it.
#[derive(Debug, sqlx::FromRow)]
struct KeyRow {
    id: String,
    name: String,
    external_id: Option<String>,
    exchange_only: i64,
    last_at: Option<i64>,
    address: Option<String>,
}

/// An active key, and when a service was last shown it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyShown {
    /// The key.
    pub id: KeyId,
    /// What people call it.
    pub name: Name,
    /// The platform's own id for the holder.
    pub external_id: Option<ExternalId>,
    /// Whether it may be shown no more, by itself.
    pub exchange_only: bool,
    /// When last, if ever.
    pub last_at: Option<Timestamp>,
    /// From where: an IPv4 address, or an IPv6 network of 64 bits; if that was told.
    pub address: Option<String>,
}

/// Behind which key a page begins: those that were shown come first, the latest before all, then
/// those that never were, in the order of their making.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// When that key was last shown, if ever.
    pub last_at: Option<Timestamp>,
    /// That key.
    pub id: KeyId,
}

/// Of which active keys a page is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// All.
    All,
    /// Those that were shown since an instant.
    ShownSince(Timestamp),
    /// Those that were not, and were exchanged for tokens since the start of that UTC day.
    ExchangedSince(Timestamp),
    /// Those that were neither.
    UnseenSince(Timestamp),
}

impl Store {
    /// A page of an organization's active keys.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn keys_shown(
        &self,
        organization: &OrganizationId,
        which: Which,
        after: Option<Place>,
        now: Timestamp,
        limit: u8,
    ) -> Result<Page<KeyShown>, StoreError> {
        let limit = usize::from(limit);
        let (since, until, start, exchanged) = match which {
            Which::All => (0, i64::MAX, 0, EITHER),
            Which::ShownSince(start) => (start.unix(), i64::MAX, 0, EITHER),
            Which::ExchangedSince(start) => (0, start.unix(), start.unix(), 1),
            Which::UnseenSince(start) => (0, start.unix(), start.unix(), 0),
        };
        let mut rows = Vec::new();
        // Above every id: their letters are below `~`.
        let behind = match after {
            None => Some((until, String::new())),
            Some(Place { last_at, id }) => last_at.map(|at| (at.unix(), id.to_string())),
        };
        if let Some((at, id)) = behind {
            let shown = sql!(
                all KeyRow, self.reader(), SHOWN_KEYS,
                organization.as_str(), at, &id, since, now.unix(), most(limit), exchanged, start
            )?;
            rows.extend(shown);
        }
        if rows.len() <= limit && !matches!(which, Which::ShownSince(_)) {
            let id = after.filter(|place| place.last_at.is_none());
            let id = id.map_or_else(String::new, |place| place.id.to_string());
            let never = sql!(
                all KeyRow, self.reader(), KEYS_NEVER_SHOWN,
                organization.as_str(), &id, now.unix(), most(limit - rows.len()), exchanged, start
            )?;
            rows.extend(never);
        }
        let rows = rows.into_iter().map(TryInto::try_into);
        Ok(Page::from_overfull(rows.collect::<Result<_, _>>()?, limit))
    }
}

/// One more than fits tells that there is more.
fn most(limit: usize) -> i64 {
    i64::try_from(limit).map_or(i64::MAX, |limit| limit + 1)
}

/// Keys that were exchanged and such that were not.
const EITHER: i64 = 2;

/// Whether a key `k` was exchanged since the day that begins at an instant: 1 or 0.
macro_rules! exchanged_since {
    ($start:literal) => {
        concat!(
            "CASE WHEN EXISTS (SELECT 1 FROM usage_counts c
                               WHERE c.organization_id = k.organization_id
                                 AND c.api_key_id = k.id AND c.grain = 'day'
                                 AND c.starts_at >= ",
            $start,
            " AND c.outcome = 'issued') THEN 1 ELSE 0 END"
        )
    };
}

const SHOWN_KEYS: &str = concat!(
    "SELECT k.id, k.name, k.external_id, k.exchange_only, d.last_at, d.address
     FROM direct_uses d JOIN api_keys k ON k.id = d.api_key_id
     WHERE d.organization_id = $1 AND (d.last_at, d.api_key_id) < ($2, $3) AND d.last_at >= $4
       AND k.revoked_at IS NULL AND k.disabled_at IS NULL
       AND (k.expires_at IS NULL OR k.expires_at > $5)
       AND $7 IN (2, ",
    exchanged_since!("$8"),
    ")
     ORDER BY d.last_at DESC, d.api_key_id DESC LIMIT $6"
);

const KEYS_NEVER_SHOWN: &str = concat!(
    "SELECT k.id, k.name, k.external_id, k.exchange_only,
            CAST(NULL AS BIGINT) AS last_at, CAST(NULL AS TEXT) AS address
     FROM api_keys k
     WHERE k.organization_id = $1 AND k.id > $2
       AND k.revoked_at IS NULL AND k.disabled_at IS NULL
       AND (k.expires_at IS NULL OR k.expires_at > $3)
       AND NOT EXISTS (SELECT 1 FROM direct_uses d WHERE d.api_key_id = k.id)
       AND $5 IN (2, ",
    exchanged_since!("$6"),
    ")
     ORDER BY k.id LIMIT $4"
);

const EXCHANGED_KEYS: &str = concat!(
    "SELECT COUNT(*) FROM api_keys k
     WHERE k.organization_id = $1
       AND k.revoked_at IS NULL AND k.disabled_at IS NULL
       AND (k.expires_at IS NULL OR k.expires_at > $3)
       AND NOT EXISTS (SELECT 1 FROM direct_uses d
                       WHERE d.api_key_id = k.id AND d.last_at >= $2)
       AND 1 = ",
    exchanged_since!("$2")
);

impl TryFrom<KeyRow> for KeyShown {
    type Error = StoreError;

    fn try_from(row: KeyRow) -> Result<Self, StoreError> {
        let wrong = |what| corrupt("api_keys", what);
        let external_id = row.external_id.map(|text| ExternalId::new(&text));
        let last_at = row.last_at.map(Timestamp::from_unix);
        Ok(Self {
            id: row.id.parse().map_err(|_| wrong("id"))?,
            name: Name::new(&row.name).map_err(|_| wrong("name"))?,
            external_id: external_id.transpose().map_err(|_| wrong("external_id"))?,
            exchange_only: row.exchange_only != 0,
            last_at: last_at
                .transpose()
                .map_err(|_| corrupt("direct_uses", "last_at"))?,
            address: row.address,
        })
    }
}
