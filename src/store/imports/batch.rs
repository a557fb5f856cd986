//! Imported API keys, written many at a time.

use std::collections::HashSet;

use serde::Serialize;
use sqlx::{PgConnection, SqliteConnection};

use super::Lookup;
use crate::domain::timestamp::Timestamp;
use crate::store::engine::{Engine, sql};
use crate::store::error::StoreError;
use crate::store::write::Write;

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
    /// By what it is found that many may be found by, and how long the beginning is of which that
    /// is a MAC.
    pub beginning: Option<(Lookup, usize)>,
    /// What no other has.
    pub unique: Vec<Lookup>,
}

impl Write {
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
        sql!(run self.on(), texts.beginnings, &rows)?;
        sql!(run self.on(), texts.uniques, &rows)?;
        Ok(())
    }
}

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
    beginnings: &'static str,
    uniques: &'static str,
}

/// One statement takes rows as a JSON array: `e.value` is one of them. On PostgreSQL as `jsonb`, which
/// is read once, and not once more for every column of every row.
macro_rules! texts {
    ($rows:literal, $roles:literal, $uniques:literal) => {
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
                 SELECT e.value ->> 'id', $2, i.value FROM ",
                $rows,
                ", ",
                $roles
            ),
            beginnings: concat!(
                "INSERT INTO imported_lookups (lookup, api_key_id, one, length)
                 SELECT e.value -> 'beginning' ->> 0, e.value ->> 'id', 0,
                        CAST(e.value -> 'beginning' ->> 1 AS BIGINT)
                 FROM ",
                $rows,
                " WHERE e.value -> 'beginning' ->> 0 IS NOT NULL"
            ),
            uniques: concat!(
                "INSERT INTO imported_lookups (lookup, api_key_id, one)
                 SELECT i.value, e.value ->> 'id', 1 FROM ",
                $rows,
                ", ",
                $uniques
            ),
        }
    };
}

fn texts(on: &Engine<&mut SqliteConnection, &mut PgConnection>) -> Texts {
    match on {
        Engine::Sqlite(_) => texts!(
            "json_each($1) AS e",
            "json_each(e.value -> 'roles') AS i",
            "json_each(e.value -> 'unique') AS i"
        ),
        Engine::Postgres(_) => texts!(
            "jsonb_array_elements(CAST($1 AS jsonb)) AS e(value)",
            "jsonb_array_elements_text(e.value -> 'roles') AS i(value)",
            "jsonb_array_elements_text(e.value -> 'unique') AS i(value)"
        ),
    }
}
