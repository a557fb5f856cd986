//! How far a deployment has come: by it an old copy of the database is told from the newest.

use serde::{Deserialize, Serialize};

use super::Store;
use super::audit::AuditRow;
use super::engine::{Engine, sql};
use super::error::StoreError;
use super::mark::{self, Standing};
use crate::domain::hex::hex;

/// How far a deployment has come. What it counts only ever grows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::FromRow)]
pub struct History {
    /// Which root key was current.
    pub root_key: String,
    /// When the deployment was made, in Unix seconds: by this it is told from another that was at
    /// the same place. Its root key changes.
    pub created_at: i64,
    /// How often a backup was put in place of the database.
    pub restores: i64,
    /// How many acts there were, on all organizations.
    pub acts: i64,
    /// Of an SQLite database, the entry that was written last: whichever copy has it has all that
    /// was written before. Absent in what tenmint noted before it noted this.
    #[sqlx(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastEntry>,
}

/// The last link of the audit chains of a database: by its MAC, which is over all before it, one
/// history is told from another that has as many acts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LastEntry {
    /// Whose log it is in.
    pub organization: String,
    /// Its place there.
    pub sequence: i64,
    /// Its MAC, in hex.
    pub mac: String,
}

impl History {
    /// Whether both are of one deployment.
    #[must_use]
    pub const fn is_of(&self, other: &Self) -> bool {
        self.created_at == other.created_at
    }

    /// Whether, in the life of one deployment, this comes before `other`.
    #[must_use]
    pub fn is_before(&self, other: &Self) -> bool {
        self.is_of(other) && (self.restores, self.acts) < (other.restores, other.acts)
    }
}

impl LastEntry {
    /// Whether it is this row, of the same organization's log.
    #[must_use]
    pub fn is(&self, row: &AuditRow) -> bool {
        row.sequence == self.sequence && hex(&row.mac) == self.mac
    }
}

impl Store {
    /// How far the deployment has come; `None` before first start.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn history(&self) -> Result<Option<History>, StoreError> {
        // Before the count: that is then not behind it, and a copy from in between is older.
        let last = self.last_entry().await?;
        let history = sql!(
            optional History, self.reader(),
            "SELECT root_key, created_at, restores,
                    (SELECT CAST(COALESCE(SUM(audit_sequence), 0) AS BIGINT)
                     FROM organizations) AS acts
             FROM deployment WHERE id = 1"
        )?;
        Ok(history.map(|history: History| History { last, ..history }))
    }

    /// The audit entry that was written last to an SQLite database. Elsewhere, none.
    async fn last_entry(&self) -> Result<Option<LastEntry>, StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine else {
            return Ok(None);
        };
        // Of this table no row is ever deleted, so that row ids are in the order of writing.
        let row: Option<(String, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT organization_id, sequence, mac FROM audit_events ORDER BY rowid DESC LIMIT 1",
        )
        .fetch_optional(&sqlite.readers)
        .await?;
        Ok(row.map(|(organization, sequence, mac)| LastEntry {
            organization,
            sequence,
            mac: hex(&mac),
        }))
    }

    /// Whether the database has an entry; `None` where it has none at that place.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn has_entry(&self, entry: &LastEntry) -> Result<Option<bool>, StoreError> {
        let (organization, before) = (&entry.organization, entry.sequence.saturating_sub(1));
        let rows = self.audit_rows(organization, before, 1).await?;
        let there = rows.first().filter(|row| row.sequence == entry.sequence);
        Ok(there.map(|row| entry.is(row)))
    }

    /// Refuses an SQLite database that is older than the one which was served at its place before,
    /// or that went on apart from it.
    ///
    /// # Errors
    /// [`StoreError::Older`], [`StoreError::Forked`], or when the database is unavailable.
    pub async fn refuse_older(&self) -> Result<(), StoreError> {
        let (Some(file), Some(there)) = (self.file(), self.history().await?) else {
            return Ok(());
        };
        let path = mark::mark_of(file);
        let mut refusal = Ok(());
        for served in mark::read(&path) {
            let has = match &served.last {
                Some(last) => self.has_entry(last).await?,
                None => None,
            };
            let mark = path.clone();
            let refused = match Standing::of(&there, &served, has) {
                Standing::GoesOn => return Ok(()),
                Standing::Older => StoreError::Older {
                    acts: there.acts,
                    served: served.acts,
                    mark,
                },
                Standing::Forked(last) => StoreError::Forked {
                    organization: last.organization.clone(),
                    sequence: last.sequence,
                    mark,
                },
            };
            // What was served counts, rather than what a restore was about to put in its place.
            refusal = refusal.and(Err(refused));
        }
        refusal
    }

    /// Notes beside an SQLite database how far it has come. Elsewhere, nothing.
    ///
    /// # Errors
    /// When it cannot be written: what was noted before is then still there.
    pub fn mark(&self, history: &History) -> Result<(), StoreError> {
        match self.file() {
            Some(file) => mark::write(&mark::mark_of(file), history),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_restored_later_is_newer_whatever_it_counts() {
        let at = |restores, acts| History {
            root_key: "r".to_owned(),
            created_at: 1,
            restores,
            acts,
            last: None,
        };
        assert!(at(0, 4).is_before(&at(0, 5)));
        assert!(at(0, 9).is_before(&at(1, 5)));
        assert!(!at(1, 5).is_before(&at(0, 9)) && !at(0, 5).is_before(&at(0, 5)));
        let other = History {
            created_at: 2,
            ..at(0, 1)
        };
        assert!(!other.is_before(&at(0, 5)), "another deployment");
        let rotated = History {
            root_key: "s".to_owned(),
            ..at(0, 5)
        };
        assert!(
            at(0, 4).is_before(&rotated),
            "the same, under another root key"
        );
    }
}
