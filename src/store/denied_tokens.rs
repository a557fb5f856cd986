//! Access tokens that were revoked before their end.

use std::time::Duration;

use super::Store;
use super::engine::{Engine, answered, sql};
use super::error::StoreError;
use super::write::Write;
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;

/// How long a denial counts past its token's end: the clock of another node may be behind.
const COUNTS: Duration = Duration::from_mins(5);

/// How long a denial is kept past its token's end: a clock that is an hour ahead, as by a wrong time
/// zone, must not make anybody forget what counts again when it is set right.
const KEPT: Duration = Duration::from_hours(2);

/// A token that is not to count any more.
#[derive(Clone, Copy, Debug)]
pub struct DeniedToken<'a> {
    /// Its `jti`.
    pub jti: &'a str,
    /// The key it was issued to, one of the act's organization.
    pub key: KeyId,
    /// Its `exp`, from which nobody needs to be told.
    pub expires_at: Timestamp,
}

impl Store {
    /// The `jti` of every token denied that may still be in force at `now`.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn denied_tokens(&self, now: Timestamp) -> Result<Vec<String>, StoreError> {
        let rows = sql!(
            all(String,),
            self.reader(),
            "SELECT jti FROM denied_tokens WHERE expires_at > $1",
            now.minus(COUNTS).unix()
        )?;
        Ok(rows.into_iter().map(|(jti,)| jti).collect())
    }
}

impl Write {
    /// Whether a token was denied.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn is_denied(&mut self, jti: &str) -> Result<bool, StoreError> {
        let row = sql!(
            optional(String,),
            self.on(),
            "SELECT jti FROM denied_tokens WHERE jti = $1",
            jti
        )?;
        Ok(row.is_some())
    }

    /// How many tokens of a key are denied that are not past their end at `now`.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn denials(&mut self, key: KeyId, now: Timestamp) -> Result<i64, StoreError> {
        let (count,) = sql!(
            one(i64,),
            self.on(),
            "SELECT COUNT(*) FROM denied_tokens WHERE api_key_id = $1 AND expires_at > $2",
            key.to_string(),
            now.unix()
        )?;
        Ok(count)
    }

    /// Denies a token, and forgets some of the denials that nobody needs at `now`. `false` if it
    /// was denied already.
    ///
    /// Acts under way on the word of a token of that key are waited for: once this has committed,
    /// none of them is still to come.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn deny(
        &mut self,
        denied: DeniedToken<'_>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let organization = self.organization().id.clone();
        let key = denied.key.to_string();
        // On SQLite acts take turns as a whole.
        if let Engine::Postgres(on) = self.on() {
            let wait = sqlx::query("SELECT id FROM api_keys WHERE id = $1 FOR NO KEY UPDATE")
                .bind(&key)
                .execute(on);
            answered(wait).await?;
        }
        let on = self.on();
        let text = match on {
            Engine::Sqlite(_) => FORGET,
            // What another act is forgetting is left to it.
            Engine::Postgres(_) => FORGET_UNLOCKED,
        };
        sql!(run on, text, now.minus(KEPT).unix())?;
        let inserted = sql!(
            run self.on(),
            "INSERT INTO denied_tokens (jti, organization_id, api_key_id, expires_at, denied_at)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (jti) DO NOTHING",
            denied.jti, organization.as_str(), &key, denied.expires_at.unix(), now.unix()
        )?;
        Ok(inserted > 0)
    }
}

macro_rules! forget {
    ($($lock:literal)?) => {
        concat!(
            "DELETE FROM denied_tokens WHERE jti IN
             (SELECT jti FROM denied_tokens WHERE expires_at <= $1 ORDER BY expires_at LIMIT 100",
            $($lock,)? ")"
        )
    };
}

const FORGET: &str = forget!();
const FORGET_UNLOCKED: &str = forget!(" FOR UPDATE SKIP LOCKED");
