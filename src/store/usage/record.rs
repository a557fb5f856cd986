//! The record of a key's exchanges, as a dry run reads it.

use crate::domain::api_key::Recorded;
use crate::domain::scope::ScopeSet;
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;
use crate::store::engine::sql;
use crate::store::error::{StoreError, corrupt};
use crate::store::write::Write;

/// What is recorded of a key's exchanges.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExchangeRecord {
    /// The exchanges, those seen last first.
    pub exchanges: Vec<Recorded>,
    /// How many more there were, of which only the number is known.
    pub others: u64,
}

#[derive(sqlx::FromRow)]
struct Row {
    address: String,
    scope: String,
    count: i64,
    last_seen: i64,
}

impl Write {
    /// What is recorded of a key's exchanges since an instant. Asked within the act, on its
    /// connection: acts that each waited for a second one would wait for each other.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn exchange_record(
        &mut self,
        key: KeyId,
        since: Timestamp,
    ) -> Result<ExchangeRecord, StoreError> {
        let rows = sql!(
            all Row, self.on(),
            "SELECT address, scope, CAST(SUM(count) AS BIGINT) AS count,
                    MAX(last_seen) AS last_seen
             FROM exchange_records
             WHERE api_key_id = $1 AND last_seen >= $2
             GROUP BY address, scope
             ORDER BY MAX(last_seen) DESC, address, scope",
            key.to_string(), since.unix()
        )?;
        let mut record = ExchangeRecord::default();
        for row in rows {
            let count = row.count.unsigned_abs();
            if row.address == super::OTHER {
                record.others += count;
            } else {
                record.exchanges.push(row.try_into()?);
            }
        }
        Ok(record)
    }
}

impl TryFrom<Row> for Recorded {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let wrong = |what| corrupt("exchange_records", what);
        let asked = Some(row.scope.as_str()).filter(|scope| !scope.is_empty());
        Ok(Self {
            from: row.address.parse().map_err(|_| wrong("address"))?,
            asked: asked
                .map(ScopeSet::parse_parameter)
                .transpose()
                .map_err(|_| wrong("scope"))?,
            count: row.count.unsigned_abs(),
            last_seen: Timestamp::from_unix(row.last_seen).map_err(|_| wrong("last_seen"))?,
        })
    }
}
