//! That a restore is under way: noted in the database itself until it is done, so that one which
//! was stopped half way is neither served nor forgotten.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::store::Store;
use crate::store::engine::sql;
use crate::store::error::{StoreError, corrupt};

/// Under this name among the leases: nobody else is to work on the database meanwhile.
const LEASE: &str = "restore";

/// What was known when a restore was begun, and cannot be learned again from a database of which
/// some is restored already.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Unfinished {
    /// Acts that are known to have been done, and that no log tells of.
    pub missing: i64,
    /// Root keys that were given up after the backup, and how many API keys ended with each.
    pub ended_with: BTreeMap<String, i64>,
    /// Whether the database that was served before had a history that no log tells of.
    #[serde(default)]
    pub another_history: bool,
}

impl Store {
    /// Notes that a restore is under way, until [`Store::finish_restore`].
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn begin_restore(&self, known: &Unfinished) -> Result<(), StoreError> {
        let known = serde_json::to_string(known).expect("it is JSON");
        sql!(
            run self.writer(),
            "INSERT INTO leases (name, holder, held_until) VALUES ($1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder",
            LEASE, &known, i64::MAX
        )?;
        Ok(())
    }

    /// What was known when a restore was begun that was not finished, if there is one.
    ///
    /// # Errors
    /// When the database is unavailable or the row corrupt.
    pub async fn unfinished_restore(&self) -> Result<Option<Unfinished>, StoreError> {
        let row = sql!(
            optional(String,),
            self.reader(),
            "SELECT holder FROM leases WHERE name = $1",
            LEASE
        )?;
        row.map(|(known,)| serde_json::from_str(&known).map_err(|_| corrupt("leases", "restore")))
            .transpose()
    }

    /// Requires that every restore that was begun was finished.
    ///
    /// # Errors
    /// [`StoreError::RestoreUnfinished`], or when the database is unavailable.
    pub async fn require_restored(&self) -> Result<(), StoreError> {
        match self.unfinished_restore().await? {
            Some(_) => Err(StoreError::RestoreUnfinished),
            None => Ok(()),
        }
    }
}
