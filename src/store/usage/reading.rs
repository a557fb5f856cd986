//! Usage as it is read: counts by span, the last use of a key, refusals by id or key.

use std::net::IpAddr;

use super::RefusalRow;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::{Grain, Outcome};
use crate::store::Store;
use crate::store::engine::sql;
use crate::store::error::{StoreError, corrupt};
use crate::store::organizations::Page;

/// How many uses that began in a span came to one end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counted {
    /// The start of the span.
    pub starts_at: Timestamp,
    /// How they ended.
    pub outcome: Outcome,
    /// How many.
    pub count: u64,
}

/// When a key was used last, from where, by what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastUse {
    /// When.
    pub at: Timestamp,
    /// From where: an IPv4 address, or an IPv6 network of 64 bits.
    pub address: Option<String>,
    /// By what.
    pub user_agent: Option<String>,
}

/// Which refusals are asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Those of this organization's keys.
    pub organization: OrganizationId,
    /// Those of nobody's key too.
    pub strangers: bool,
    /// Only this request.
    pub request_id: Option<String>,
    /// Only this key's.
    pub key: Option<KeyId>,
    /// Only those before this request id.
    pub before: Option<String>,
    /// At most so many.
    pub limit: u8,
}

#[derive(sqlx::FromRow)]
struct Row {
    request_id: String,
    organization_id: Option<String>,
    api_key_id: Option<String>,
    at: i64,
    cause: String,
    detail: String,
    address: Option<String>,
}

macro_rules! refusals {
    ($of:literal) => {
        concat!(
            "SELECT request_id, organization_id, api_key_id, at, cause, detail, address
             FROM refusals
             WHERE ($2 = '' OR request_id = $2) AND ($3 = '' OR api_key_id = $3)
               AND request_id < $4 AND ",
            $of,
            " ORDER BY request_id DESC LIMIT $5"
        )
    };
}

impl Store {
    /// The counts of an organization, or of one of its keys, in spans that start at or after
    /// `since` and before `until`, oldest first.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn usage_counts(
        &self,
        organization: &OrganizationId,
        key: Option<KeyId>,
        grain: Grain,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Counted>, StoreError> {
        let key = key.map_or_else(String::new, |key| key.to_string());
        let rows = sql!(
            all(i64, String, i64),
            self.reader(),
            "SELECT starts_at, outcome, count FROM usage_counts
             WHERE organization_id = $1 AND api_key_id = $2 AND grain = $3
               AND starts_at >= $4 AND starts_at < $5
             ORDER BY starts_at, outcome",
            organization.as_str(),
            &key,
            grain.as_str(),
            since.unix(),
            until.unix()
        )?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// The last use of a key, with whichever of its secrets; `None` if there was none.
    ///
    /// # Errors
    /// When the database is unavailable or the row corrupt.
    pub async fn last_use(&self, key: KeyId) -> Result<Option<LastUse>, StoreError> {
        let row = sql!(
            optional(i64, Option<String>, Option<String>),
            self.reader(),
            "SELECT last_used_at, address, user_agent FROM secret_uses
             WHERE api_key_id = $1 ORDER BY last_used_at DESC, fingerprint LIMIT 1",
            key.to_string()
        )?;
        row.map(|(at, address, user_agent)| {
            Ok(LastUse {
                at: Timestamp::from_unix(at).map_err(|_| corrupt("secret_uses", "last_used_at"))?,
                address,
                user_agent,
            })
        })
        .transpose()
    }

    /// From how many places a key obtained tokens on the day that starts at `day`, as far as
    /// that is recorded.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn addresses_on(&self, key: KeyId, day: Timestamp) -> Result<u64, StoreError> {
        let (addresses,) = sql!(
            one(i64,),
            self.reader(),
            "SELECT COUNT(DISTINCT address) FROM exchange_records
             WHERE api_key_id = $1 AND day = $2",
            key.to_string(),
            day.unix()
        )?;
        Ok(addresses.unsigned_abs())
    }

    /// A page of refusals, newest first.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn refusals(&self, asked: &Asked) -> Result<Page<RefusalRow>, StoreError> {
        // Above every id: their letters are below `~`.
        let before = asked.before.as_deref().unwrap_or("~");
        let key = asked.key.map(|key| key.to_string());
        let text = if asked.strangers {
            refusals!("(organization_id = $1 OR organization_id IS NULL)")
        } else {
            refusals!("organization_id = $1")
        };
        let rows = sql!(
            all Row, self.reader(), text,
            asked.organization.as_str(), asked.request_id.as_deref().unwrap_or_default(),
            key.as_deref().unwrap_or_default(), before, i64::from(asked.limit) + 1
        )?;
        let rows = rows
            .into_iter()
            .map(TryInto::try_into)
            .collect::<Result<_, _>>()?;
        Ok(Page::from_overfull(rows, usize::from(asked.limit)))
    }
}

impl TryFrom<(i64, String, i64)> for Counted {
    type Error = StoreError;

    fn try_from((starts_at, outcome, count): (i64, String, i64)) -> Result<Self, StoreError> {
        let wrong = |what| corrupt("usage_counts", what);
        Ok(Self {
            starts_at: Timestamp::from_unix(starts_at).map_err(|_| wrong("starts_at"))?,
            outcome: Outcome::from_name(&outcome).ok_or_else(|| wrong("outcome"))?,
            count: u64::try_from(count).map_err(|_| wrong("count"))?,
        })
    }
}

impl TryFrom<Row> for RefusalRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let wrong = |what| corrupt("refusals", what);
        Ok(Self {
            request_id: row.request_id,
            organization: row
                .organization_id
                .map(|id| id.parse())
                .transpose()
                .map_err(|_| wrong("organization_id"))?,
            key: row
                .api_key_id
                .map(|id| id.parse())
                .transpose()
                .map_err(|_| wrong("api_key_id"))?,
            at: Timestamp::from_unix(row.at).map_err(|_| wrong("at"))?,
            cause: Outcome::from_name(&row.cause).ok_or_else(|| wrong("cause"))?,
            detail: row.detail,
            address: row
                .address
                .map(|text| text.parse::<IpAddr>())
                .transpose()
                .map_err(|_| wrong("address"))?,
        })
    }
}
