//! The deployment itself: which root key its database belongs to.

use sqlx::{PgConnection, SqliteConnection};

use super::Store;
use super::engine::{Engine, sql};
use super::error::StoreError;
use crate::domain::timestamp::Timestamp;

impl Store {
    /// The id of the root key that this database belongs to; `None` before first start.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn root_key(&self) -> Result<Option<String>, StoreError> {
        let row = sql!(
            optional(String,),
            self.reader(),
            "SELECT root_key FROM deployment WHERE id = 1"
        )?;
        Ok(row.map(|(root_key,)| root_key))
    }

    /// Ties an empty database to a root key. Of several servers that start at once, the
    /// first decides; the answer is whose root key it is now.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn claim(&self, root_key: &str, now: Timestamp) -> Result<String, StoreError> {
        let text = "INSERT INTO deployment (id, root_key, created_at) VALUES (1, $1, $2)
             ON CONFLICT (id) DO NOTHING";
        sql!(run self.writer(), text, root_key, now.unix())?;
        Ok(self.root_key().await?.unwrap_or_default())
    }
}

/// The id of the root key that this database belongs to, which stays that until the transaction
/// ends; empty before first start.
pub(super) async fn keep_root_key(
    on: Engine<&mut SqliteConnection, &mut PgConnection>,
) -> Result<String, StoreError> {
    let text = match on {
        // It has one writer, and this is it.
        Engine::Sqlite(_) => "SELECT root_key FROM deployment WHERE id = 1",
        Engine::Postgres(_) => "SELECT root_key FROM deployment WHERE id = 1 FOR SHARE",
    };
    let row = sql!(optional(String,), on, text)?;
    Ok(row.map(|(root_key,)| root_key).unwrap_or_default())
}
