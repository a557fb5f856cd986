//! Imported API keys in the database: found by what is stored of their strings.

mod batch;
mod beginnings;
mod progress;

use super::Store;
use super::api_keys::StoredHash;
use super::engine::{Engine, sql};
use super::error::{StoreError, corrupt};
use crate::domain::secret::KeyId;

pub use batch::NewRow;
pub use progress::Progress;

/// What stands for a string: a MAC of it.
pub type Lookup = String;

/// A key that a string may be of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The key.
    pub id: KeyId,
    /// Whether the whole string was found, and not only its beginning.
    pub whole: bool,
}

/// What there is to find.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shape {
    /// Whether anything was ever imported.
    pub any: bool,
    /// How long the beginnings are that strings are found by.
    pub prefixes: Vec<usize>,
}

impl Store {
    /// What there is to find.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn import_shape(&self) -> Result<Shape, StoreError> {
        let found = sql!(
            optional(i64,),
            self.reader(),
            "SELECT one FROM imported_lookups LIMIT 1"
        )?;
        let prefixes = self.beginning_lengths().await?;
        Ok(Shape {
            any: found.is_some(),
            prefixes: prefixes.into_iter().collect(),
        })
    }

    /// Which keys a string may be of, by all that it may be found by: one query.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn import_candidates(
        &self,
        lookups: &[Lookup],
    ) -> Result<Vec<Candidate>, StoreError> {
        let lookups = serde_json::to_string(lookups).expect("texts are JSON");
        let rows = match &self.engine {
            Engine::Sqlite(_) => sql!(all(String, i64), self.reader(), FIND_IN_SQLITE, &lookups)?,
            Engine::Postgres(_) => sql!(all(String, i64), self.reader(), FIND, &lookups)?,
        };
        let mut candidates: Vec<Candidate> = Vec::new();
        for (id, one) in rows {
            let id = id
                .parse()
                .map_err(|_| corrupt("imported_lookups", "api_key_id"))?;
            candidates.push(Candidate {
                id,
                whole: one != 0,
            });
        }
        Ok(candidates)
    }

    /// By which beginnings the string of a key is found.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn beginnings_of(&self, id: KeyId) -> Result<Vec<Lookup>, StoreError> {
        let rows = sql!(
            all(String,),
            self.reader(),
            "SELECT lookup FROM imported_lookups WHERE api_key_id = $1 AND one = 0",
            id.to_string()
        )?;
        Ok(rows.into_iter().map(|(lookup,)| lookup).collect())
    }

    /// Puts what tenmint stores of a string, now that it was presented, in the place of what was
    /// stored when it was imported; false if that is there no more, or if the string is another
    /// key's as well. What it was found by before goes, if many strings may be; `beginning` takes its
    /// place where one of so many bytes is still needed.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn renew_import(
        &self,
        id: KeyId,
        before: &StoredHash,
        after: &StoredHash,
        unique: &[Lookup],
        beginning: Option<(&Lookup, usize)>,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.transaction().await?;
        let renewed = sql!(
            run transaction.on(),
            "UPDATE api_key_secrets SET hash = $3, root_key = $4
             WHERE api_key_id = $1 AND hash = $2",
            id.to_string(), &*before.phc, &*after.phc, &*after.root_key
        )?;
        if renewed != 1 {
            return Ok(false);
        }
        sql!(
            run transaction.on(),
            "DELETE FROM imported_lookups WHERE api_key_id = $1 AND one = 0",
            id.to_string()
        )?;
        if let Some((lookup, length)) = beginning {
            sql!(
                run transaction.on(),
                "INSERT INTO imported_lookups (lookup, api_key_id, one, length)
                 VALUES ($1, $2, 0, $3)",
                lookup, id.to_string(), i64::try_from(length).unwrap_or(i64::MAX)
            )?;
        }
        for lookup in unique {
            // The same string was imported in another form, for a key that was revoked since: it
            // is this one's from now on.
            sql!(
                run transaction.on(),
                "DELETE FROM imported_lookups
                 WHERE lookup = $1 AND one = 1 AND api_key_id IN
                     (SELECT id FROM api_keys WHERE revoked_at IS NOT NULL)",
                lookup
            )?;
            let found = sql!(
                run transaction.on(),
                "INSERT INTO imported_lookups (lookup, api_key_id, one) VALUES ($1, $2, 1)
                 ON CONFLICT DO NOTHING",
                lookup, id.to_string()
            )?;
            if found != 1 {
                // For one that was not: that one counts, and this one is left as it was.
                return Ok(false);
            }
        }
        transaction.commit().await?;
        Ok(true)
    }
}

const FIND_IN_SQLITE: &str = "SELECT api_key_id, MAX(one) FROM imported_lookups
     WHERE lookup IN (SELECT e.value FROM json_each($1) AS e)
     GROUP BY api_key_id ORDER BY api_key_id";

const FIND: &str = "SELECT api_key_id, MAX(one) FROM imported_lookups
     WHERE lookup IN (SELECT e.value FROM json_array_elements_text(CAST($1 AS json)) AS e(value))
     GROUP BY api_key_id ORDER BY api_key_id";
