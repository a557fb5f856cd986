//! Imported API keys in the database: found by what is stored of their strings, and written many
//! at a time.

use std::collections::HashSet;

use serde::Serialize;
use sqlx::{PgConnection, SqliteConnection};

use super::Store;
use super::api_keys::StoredHash;
use super::engine::{Engine, sql};
use super::error::{StoreError, corrupt};
use super::write::Write;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;

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

/// How far an import is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Lines read.
    pub lines: u64,
    /// Keys made of them.
    pub imported: u64,
    /// Lines refused.
    pub rejected: u64,
}

/// A key to import, as rows have it.
#[derive(Debug, Serialize)]
pub struct NewRow {
    /// The key's id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Its scopes, as a JSON array.
    pub scopes: String,
    /// Its roles.
    pub roles: Vec<String>,
    /// Its networks, as a JSON array.
    pub networks: String,
    /// How often it may be exchanged in how many seconds.
    pub rate: Option<(u32, u32)>,
    /// Whether services are never to be shown it itself.
    pub exchange_only: i64,
    /// The platform's own id for the holder.
    pub external_id: Option<String>,
    /// The platform's own notes, as a JSON object.
    pub metadata: String,
    /// When it ends, in Unix seconds.
    pub expires_at: Option<i64>,
    /// When it is next told of its end.
    pub next_notice_at: Option<i64>,
    /// How people recognise its string.
    pub fingerprint: String,
    /// What proves it.
    pub hash: String,
    /// By what it is found.
    pub lookup: String,
    /// What no other has.
    pub unique: String,
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
        let lengths = sql!(
            all(i64,),
            self.reader(),
            "SELECT length FROM imported_prefixes ORDER BY length"
        )?;
        let prefixes = lengths.into_iter().map(|(length,)| usize::try_from(length));
        Ok(Shape {
            any: found.is_some(),
            prefixes: prefixes
                .collect::<Result<_, _>>()
                .map_err(|_| corrupt("imported_prefixes", "length"))?,
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

    /// Puts what tenmint stores of a string, now that it was presented, in the place of what was
    /// stored when it was imported; false if that is there no more. What it was found by before
    /// goes, if many strings may be.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn renew_import(
        &self,
        id: KeyId,
        before: &StoredHash,
        after: &StoredHash,
        unique: &str,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.transaction().await?;
        let renewed = sql!(
            run transaction.on(),
            "UPDATE api_key_secrets SET hash = $3, root_key = $4
             WHERE api_key_id = $1 AND hash = $2",
            id.to_string(), &before.phc, &after.phc, &after.root_key
        )?;
        if renewed != 1 {
            return Ok(false);
        }
        sql!(
            run transaction.on(),
            "DELETE FROM imported_lookups WHERE api_key_id = $1 AND one = 0",
            id.to_string()
        )?;
        // Another key has it already if the same string was imported in two forms: that one counts.
        sql!(
            run transaction.on(),
            "INSERT INTO imported_lookups (lookup, api_key_id, one) VALUES ($1, $2, 1)
             ON CONFLICT DO NOTHING",
            unique, id.to_string()
        )?;
        transaction.commit().await?;
        Ok(true)
    }

    /// How far the import of a file is; `None` if it was not begun.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn import_progress(
        &self,
        organization: &OrganizationId,
        file: &str,
    ) -> Result<Option<Progress>, StoreError> {
        let row = sql!(
            optional(i64, i64, i64),
            self.reader(),
            PROGRESS,
            organization.as_str(),
            file
        )?;
        Ok(row.map(Into::into))
    }
}

impl Write {
    /// How far the import of a file into the organization of this act is.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn import_progress(&mut self, file: &str) -> Result<Option<Progress>, StoreError> {
        let organization = self.organization().id.clone();
        let row = sql!(
            optional(i64, i64, i64),
            self.on(),
            PROGRESS,
            organization.as_str(),
            file
        )?;
        Ok(row.map(Into::into))
    }

    /// Which of these are stored already, of whichever organization.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn imported_of(&mut self, unique: &[&Lookup]) -> Result<HashSet<Lookup>, StoreError> {
        let unique = serde_json::to_string(unique).expect("texts are JSON");
        let on = self.on();
        let text = match on {
            Engine::Sqlite(_) => KNOWN_IN_SQLITE,
            Engine::Postgres(_) => KNOWN,
        };
        let known = sql!(all(String,), on, text, &unique)?;
        Ok(known.into_iter().map(|(lookup,)| lookup).collect())
    }

    /// How many keys are found by this beginning.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn count_sharing(&mut self, prefix: &str) -> Result<u64, StoreError> {
        let (count,) = sql!(
            one(i64,),
            self.on(),
            "SELECT COUNT(*) FROM imported_lookups WHERE lookup = $1",
            prefix
        )?;
        Ok(count.unsigned_abs())
    }

    /// Notes that strings are found by beginnings of this length, unless that would make more
    /// than `most` lengths; then false.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn use_prefix(&mut self, length: usize, most: usize) -> Result<bool, StoreError> {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        let lengths = sql!(all(i64,), self.on(), "SELECT length FROM imported_prefixes")?;
        if lengths.iter().any(|(known,)| *known == length) {
            return Ok(true);
        }
        if lengths.len() >= most {
            return Ok(false);
        }
        sql!(
            run self.on(),
            "INSERT INTO imported_prefixes (length) VALUES ($1) ON CONFLICT DO NOTHING",
            length
        )?;
        Ok(true)
    }

    /// Stores keys that were imported, with all that belongs to them.
    ///
    /// # Errors
    /// When the database is unavailable, or somebody else imported one of the strings meanwhile.
    pub async fn insert_imported(
        &mut self,
        rows: &[NewRow],
        root_key: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let organization = self.organization().id.clone();
        let rows = serde_json::to_string(rows).expect("rows are JSON");
        let texts = texts(&self.on());
        sql!(run self.on(), texts.keys, &rows, organization.as_str(), now.unix())?;
        sql!(run self.on(), texts.secrets, &rows, root_key, now.unix())?;
        sql!(run self.on(), texts.roles, &rows, organization.as_str())?;
        sql!(run self.on(), texts.lookups, &rows)?;
        sql!(run self.on(), texts.uniques, &rows)?;
        Ok(())
    }

    /// Notes how far the import of a file is.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn note_import(
        &mut self,
        file: &str,
        progress: Progress,
        now: Timestamp,
        ended: bool,
    ) -> Result<(), StoreError> {
        let organization = self.organization().id.clone();
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        sql!(
            run self.on(),
            "INSERT INTO imports
             (organization_id, file_sha256, lines, imported, rejected, begun_at, ended_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (organization_id, file_sha256)
             DO UPDATE SET lines = excluded.lines, imported = excluded.imported,
                           rejected = excluded.rejected, ended_at = excluded.ended_at",
            organization.as_str(), file, count(progress.lines), count(progress.imported),
            count(progress.rejected), now.unix(), ended.then(|| now.unix())
        )?;
        Ok(())
    }
}

impl From<(i64, i64, i64)> for Progress {
    fn from((lines, imported, rejected): (i64, i64, i64)) -> Self {
        Self {
            lines: lines.unsigned_abs(),
            imported: imported.unsigned_abs(),
            rejected: rejected.unsigned_abs(),
        }
    }
}

const PROGRESS: &str = "SELECT lines, imported, rejected FROM imports
     WHERE organization_id = $1 AND file_sha256 = $2";

const FIND_IN_SQLITE: &str = "SELECT api_key_id, MAX(one) FROM imported_lookups
     WHERE lookup IN (SELECT e.value FROM json_each($1) AS e)
     GROUP BY api_key_id ORDER BY api_key_id";

const FIND: &str = "SELECT api_key_id, MAX(one) FROM imported_lookups
     WHERE lookup IN (SELECT e.value FROM json_array_elements_text(CAST($1 AS json)) AS e(value))
     GROUP BY api_key_id ORDER BY api_key_id";

const KNOWN_IN_SQLITE: &str = "SELECT lookup FROM imported_lookups
     WHERE one = 1 AND lookup IN (SELECT e.value FROM json_each($1) AS e)";

const KNOWN: &str = "SELECT lookup FROM imported_lookups
     WHERE one = 1 AND lookup IN (SELECT e.value
                      FROM json_array_elements_text(CAST($1 AS json)) AS e(value))";

#[derive(Clone, Copy)]
struct Texts {
    keys: &'static str,
    secrets: &'static str,
    roles: &'static str,
    lookups: &'static str,
    uniques: &'static str,
}

/// One statement takes rows as a JSON array: `e.value` is one of them.
macro_rules! texts {
    ($rows:literal, $inner:literal) => {
        Texts {
            keys: concat!(
                "INSERT INTO api_keys
                 (id, organization_id, name, description, scopes, allowed_ip_cidrs, rate_limit,
                  rate_window, exchange_only, external_id, metadata, created_at, expires_at,
                  next_notice_at, revision)
                 SELECT e.value ->> 'id', $2, e.value ->> 'name', e.value ->> 'description',
                        e.value ->> 'scopes', e.value ->> 'networks',
                        CAST(e.value -> 'rate' ->> 0 AS BIGINT),
                        CAST(e.value -> 'rate' ->> 1 AS BIGINT),
                        CAST(e.value ->> 'exchange_only' AS BIGINT), e.value ->> 'external_id',
                        e.value ->> 'metadata', $3, CAST(e.value ->> 'expires_at' AS BIGINT),
                        CAST(e.value ->> 'next_notice_at' AS BIGINT), 1
                 FROM ",
                $rows
            ),
            secrets: concat!(
                "INSERT INTO api_key_secrets (api_key_id, fingerprint, hash, root_key, created_at)
                 SELECT e.value ->> 'id', e.value ->> 'fingerprint', e.value ->> 'hash', $2, $3
                 FROM ",
                $rows
            ),
            roles: concat!(
                "INSERT INTO api_key_roles (api_key_id, organization_id, role)
                 SELECT e.value ->> 'id', $2, ",
                $inner
            ),
            lookups: concat!(
                "INSERT INTO imported_lookups (lookup, api_key_id, one)
                 SELECT e.value ->> 'lookup', e.value ->> 'id', 0
                 FROM ",
                $rows,
                " WHERE e.value ->> 'lookup' <> e.value ->> 'unique'"
            ),
            uniques: concat!(
                "INSERT INTO imported_lookups (lookup, api_key_id, one)
                 SELECT e.value ->> 'unique', e.value ->> 'id', 1
                 FROM ",
                $rows
            ),
        }
    };
}

fn texts(on: &Engine<&mut SqliteConnection, &mut PgConnection>) -> Texts {
    match on {
        Engine::Sqlite(_) => texts!(
            "json_each($1) AS e",
            "r.value FROM json_each($1) AS e, json_each(e.value -> 'roles') AS r"
        ),
        Engine::Postgres(_) => texts!(
            "json_array_elements(CAST($1 AS json)) AS e(value)",
            "r.value FROM json_array_elements(CAST($1 AS json)) AS e(value),
             json_array_elements_text(e.value -> 'roles') AS r(value)"
        ),
    }
}
