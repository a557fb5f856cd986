//! What has become too old to keep, erased in portions so that nobody waits long for a lock.

use crate::domain::timestamp::Timestamp;
use crate::domain::usage::Grain;
use crate::store::Store;
use crate::store::engine::sql;
use crate::store::error::StoreError;

/// Rows erased in one transaction.
const PORTION: i64 = 2_000;

/// Most refusals that are kept of one key: the newest.
const MOST_REFUSALS: i64 = 1_000;

macro_rules! counts {
    ($grain:literal) => {
        concat!(
            "DELETE FROM usage_counts
             WHERE (organization_id, api_key_id, grain, starts_at, outcome) IN (
                 SELECT organization_id, api_key_id, grain, starts_at, outcome FROM usage_counts
                 WHERE starts_at < $1 AND grain = '",
            $grain,
            "' LIMIT $2)"
        )
    };
}

impl Store {
    /// Erases the counts of spans that started before an instant.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn erase_counts(&self, grain: Grain, before: Timestamp) -> Result<(), StoreError> {
        let text = match grain {
            Grain::Hour => counts!("hour"),
            Grain::Day => counts!("day"),
        };
        self.erase(text, before).await
    }

    /// Erases the exchange records of days that ended by an instant, and all of keys that had
    /// been revoked by then.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn erase_exchange_records(&self, before: Timestamp) -> Result<(), StoreError> {
        self.erase(
            "DELETE FROM exchange_records
             WHERE (api_key_id, day, address, scope) IN (
                 SELECT api_key_id, day, address, scope FROM exchange_records
                 WHERE day <= $1 - 86400 LIMIT $2)",
            before,
        )
        .await?;
        self.erase(
            "DELETE FROM exchange_records
             WHERE (api_key_id, day, address, scope) IN (
                 SELECT r.api_key_id, r.day, r.address, r.scope FROM exchange_records r
                 JOIN api_keys k ON k.id = r.api_key_id
                 WHERE k.revoked_at <= $1 LIMIT $2)",
            before,
        )
        .await
    }

    /// Erases refusals before an instant: those of somebody's key, and before another instant
    /// those of nobody's. Of one key the newest thousand stay.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn erase_refusals(
        &self,
        of_keys: Timestamp,
        of_strangers: Timestamp,
    ) -> Result<(), StoreError> {
        self.erase(
            "DELETE FROM refusals WHERE request_id IN (
                 SELECT request_id FROM refusals
                 WHERE organization_id IS NOT NULL AND at <= $1 LIMIT $2)",
            of_keys,
        )
        .await?;
        self.erase(
            "DELETE FROM refusals WHERE request_id IN (
                 SELECT request_id FROM refusals
                 WHERE organization_id IS NULL AND at <= $1 LIMIT $2)",
            of_strangers,
        )
        .await?;
        sql!(
            run self.writer(),
            "DELETE FROM refusals WHERE request_id IN (
                 SELECT request_id FROM (
                     SELECT request_id, ROW_NUMBER() OVER (
                                PARTITION BY api_key_id ORDER BY request_id DESC) AS place
                     FROM refusals WHERE organization_id IS NOT NULL
                 ) AS placed
                 WHERE place > $1)",
            MOST_REFUSALS
        )?;
        Ok(())
    }

    /// Runs a text that erases a portion until there is none left.
    async fn erase(&self, text: &'static str, before: Timestamp) -> Result<(), StoreError> {
        loop {
            let erased = sql!(run self.writer(), text, before.unix(), PORTION)?;
            if erased < PORTION.unsigned_abs() {
                return Ok(());
            }
        }
    }
}
