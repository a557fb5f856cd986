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

/// Keys that are looked at in one statement for whether they have more.
const LOOKED_AT: i64 = 500;

/// Keys with refusals behind `$1`, found one by one by the index, and of each the newest refusal
/// beyond those that are kept. Request ids are in the order of time.
const CROWDS: &str = "WITH RECURSIVE keys (id, place) AS (
     SELECT MIN(api_key_id), 1 FROM refusals WHERE api_key_id > $1
     UNION ALL
     SELECT (SELECT MIN(r.api_key_id) FROM refusals r WHERE r.api_key_id > keys.id), place + 1
     FROM keys WHERE id IS NOT NULL AND place < $2)
     SELECT id, (SELECT r.request_id FROM refusals r WHERE r.api_key_id = keys.id
                 ORDER BY r.request_id DESC LIMIT 1 OFFSET $3)
     FROM keys WHERE id IS NOT NULL ORDER BY id";

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
    /// Of a key that was revoked before that day, nothing is left of later ones: only keys that
    /// were revoked within it are looked at, however many there are of others.
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
                 SELECT r.api_key_id, r.day, r.address, r.scope FROM api_keys k
                 JOIN exchange_records r ON r.api_key_id = k.id
                 WHERE k.revoked_at <= $1 AND k.revoked_at > $1 - 86400 LIMIT $2)",
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
        self.erase_crowds().await
    }

    /// Erases all refusals of a key but the newest, key by key: some keys at a time are looked at.
    async fn erase_crowds(&self) -> Result<(), StoreError> {
        let mut behind = String::new();
        loop {
            let keys = sql!(
                all(String, Option<String>),
                self.reader(),
                CROWDS,
                &behind,
                LOOKED_AT,
                MOST_REFUSALS
            )?;
            for (key, too_old) in &keys {
                let Some(too_old) = too_old else {
                    continue;
                };
                loop {
                    let erased = sql!(
                        run self.writer(),
                        "DELETE FROM refusals WHERE request_id IN (
                             SELECT request_id FROM refusals
                             WHERE api_key_id = $1 AND request_id <= $2 LIMIT $3)",
                        key, too_old, PORTION
                    )?;
                    if erased < PORTION.unsigned_abs() {
                        break;
                    }
                }
            }
            match keys.into_iter().next_back() {
                Some((last, _)) => behind = last,
                None => return Ok(()),
            }
        }
    }

    /// Erases requests that were claimed by an instant, and may be sent anew.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn erase_requests(&self, before: Timestamp) -> Result<(), StoreError> {
        self.erase(
            "DELETE FROM idempotency WHERE id IN (
                 SELECT id FROM idempotency WHERE claimed_at <= $1
                 ORDER BY claimed_at LIMIT $2)",
            before,
        )
        .await
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
