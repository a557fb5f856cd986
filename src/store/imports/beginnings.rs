//! Beginnings by which imported strings are found where nothing else of them can be looked up: each
//! costs strangers' strings that begin so a slow hash, and each length costs every unknown string a
//! look. So they are few, and given back when no key needs them.

use std::collections::{BTreeSet, HashMap};

use super::Lookup;
use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::engine::{Engine, sql};
use crate::store::error::{StoreError, corrupt};
use crate::store::write::Write;

/// How many rows one statement looks at.
const AT_ONCE: i64 = 2_000;

/// Rows from a lookup on, `$2` at most.
macro_rules! some_from {
    () => {
        "(SELECT lookup, api_key_id, one FROM imported_lookups
          WHERE lookup >= $1 ORDER BY lookup LIMIT $2) AS l"
    };
}

impl Store {
    /// How long the beginnings are that strings are found by.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub(super) async fn beginning_lengths(&self) -> Result<BTreeSet<usize>, StoreError> {
        read(sql!(all(i64,), self.reader(), LENGTHS)?)
    }

    /// Forgets by which beginnings strings are found that cannot count any more at `now`: of keys
    /// that were revoked, that have another secret by now, or whose root key was given up. It
    /// changes nothing that anybody could ask about, so it is no act.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn forget_beginnings(&self, now: Timestamp) -> Result<(), StoreError> {
        if self.beginning_lengths().await?.is_empty() {
            return Ok(());
        }
        let mut from = String::new();
        loop {
            // Looked for where nobody waits for it, some at a time: there may be millions to look
            // through, and a statement may not take for ever.
            let (end, looked_at) = sql!(
                one(Option<String>, i64),
                self.reader(),
                concat!("SELECT MAX(lookup), COUNT(*) FROM ", some_from!()),
                &from,
                AT_ONCE
            )?;
            let over = sql!(
                all(String,),
                self.reader(),
                OVER,
                &from,
                AT_ONCE,
                now.unix()
            )?;
            if !over.is_empty() {
                let keys: Vec<_> = over.into_iter().map(|(key,)| key).collect();
                let keys = serde_json::to_string(&keys).expect("ids are JSON");
                let on = self.writer();
                let text = match on {
                    Engine::Sqlite(_) => FORGET_IN_SQLITE,
                    Engine::Postgres(_) => FORGET,
                };
                sql!(run on, text, &keys)?;
            }
            match end {
                // The last one again: those who begin alike may have been cut apart.
                Some(end) if looked_at == AT_ONCE && end != from => from = end,
                _ => return Ok(()),
            }
        }
    }
}

impl Write {
    /// How long the beginnings are that strings are found by.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn beginning_lengths(&mut self) -> Result<BTreeSet<usize>, StoreError> {
        read(sql!(all(i64,), self.on(), LENGTHS)?)
    }

    /// Notes that strings may be found by beginnings of these lengths as well.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn note_lengths(&mut self, lengths: &BTreeSet<usize>) -> Result<(), StoreError> {
        for length in lengths {
            sql!(
                run self.on(),
                "INSERT INTO imported_prefixes (length) VALUES ($1) ON CONFLICT DO NOTHING",
                i64::try_from(*length).unwrap_or(i64::MAX)
            )?;
        }
        Ok(())
    }

    /// How many keys are found by each of these beginnings; what is left out, by none.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn sharing(
        &mut self,
        beginnings: &[&Lookup],
    ) -> Result<HashMap<Lookup, u64>, StoreError> {
        let beginnings = serde_json::to_string(beginnings).expect("texts are JSON");
        let on = self.on();
        let text = match on {
            Engine::Sqlite(_) => SHARING_IN_SQLITE,
            Engine::Postgres(_) => SHARING,
        };
        let counts = sql!(all(String, i64), on, text, &beginnings)?;
        let counts = counts.into_iter();
        Ok(counts
            .map(|(lookup, count)| (lookup, count.unsigned_abs()))
            .collect())
    }
}

// What was imported keeps its fingerprint for as long as it is there.
const OVER: &str = concat!(
    "SELECT l.api_key_id FROM ",
    some_from!(),
    " WHERE l.one = 0 AND NOT EXISTS
         (SELECT 1 FROM api_keys AS k
          JOIN api_key_secrets AS s ON s.api_key_id = k.id
          WHERE k.id = l.api_key_id AND k.revoked_at IS NULL
            AND s.fingerprint LIKE 'imported:%'
            AND (s.expires_at IS NULL OR s.expires_at > $3)
            AND s.root_key NOT IN
                (SELECT id FROM former_root_keys WHERE dropped_at IS NOT NULL))"
);

const FORGET_IN_SQLITE: &str = "DELETE FROM imported_lookups
     WHERE one = 0 AND api_key_id IN (SELECT e.value FROM json_each($1) AS e)";

const FORGET: &str = "DELETE FROM imported_lookups
     WHERE one = 0 AND api_key_id IN (SELECT e.value
                      FROM json_array_elements_text(CAST($1 AS json)) AS e(value))";

// A length that was ever used stays in its table: nobody who takes it up again has to wait for
// somebody who just found that it is not in use. Whether it is, lookups tell.
const LENGTHS: &str = "SELECT p.length FROM imported_prefixes AS p
     WHERE EXISTS (SELECT 1 FROM imported_lookups AS l WHERE l.one = 0 AND l.length = p.length)
        OR EXISTS (SELECT 1 FROM imported_lookups AS l WHERE l.one = 0 AND l.length IS NULL)";

const SHARING_IN_SQLITE: &str = "SELECT lookup, COUNT(*) FROM imported_lookups
     WHERE one = 0 AND lookup IN (SELECT e.value FROM json_each($1) AS e)
     GROUP BY lookup";

const SHARING: &str = "SELECT lookup, COUNT(*) FROM imported_lookups
     WHERE one = 0 AND lookup IN (SELECT e.value
                      FROM json_array_elements_text(CAST($1 AS json)) AS e(value))
     GROUP BY lookup";

fn read(rows: Vec<(i64,)>) -> Result<BTreeSet<usize>, StoreError> {
    let lengths = rows.into_iter().map(|(length,)| usize::try_from(length));
    lengths
        .collect::<Result<_, _>>()
        .map_err(|_| corrupt("imported_prefixes", "length"))
}
