//! How far a deployment has come: by it an old copy of the database is told from the newest.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Store;
use super::engine::{Engine, sql};
use super::error::StoreError;
use super::files;

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

impl Store {
    /// How far the deployment has come; `None` before first start.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn history(&self) -> Result<Option<History>, StoreError> {
        Ok(sql!(
            optional History, self.reader(),
            "SELECT root_key, created_at, restores,
                    (SELECT CAST(COALESCE(SUM(audit_sequence), 0) AS BIGINT)
                     FROM organizations) AS acts
             FROM deployment WHERE id = 1"
        )?)
    }

    /// Refuses an SQLite database that is older than the one which was served at its place before.
    ///
    /// # Errors
    /// [`StoreError::Older`], or when the database is unavailable.
    pub async fn refuse_older(&self) -> Result<(), StoreError> {
        let (Some(path), Some(there)) = (self.mark_path(), self.history().await?) else {
            return Ok(());
        };
        match read_mark(&path) {
            Some(served) if there.is_before(&served) => Err(StoreError::Older {
                acts: there.acts,
                served: served.acts,
                mark: path,
            }),
            _ => Ok(()),
        }
    }

    /// Notes beside an SQLite database how far it has come. Elsewhere, nothing.
    ///
    /// # Errors
    /// When it cannot be written: what was noted before is then still there.
    pub fn mark(&self, history: &History) -> Result<(), StoreError> {
        let Some(path) = self.mark_path() else {
            return Ok(());
        };
        write_mark(&path, history)
    }

    fn mark_path(&self) -> Option<PathBuf> {
        match &self.engine {
            Engine::Sqlite(sqlite) => Some(mark_of(&sqlite.path)),
            Engine::Postgres(_) => None,
        }
    }
}

/// Where it is noted how far the database in this file has come.
#[must_use]
pub fn mark_of(database: &Path) -> PathBuf {
    files::beside(database, ".mark")
}

/// How far a database had come, if that was noted. What cannot be read is no reason not to serve.
#[must_use]
pub fn read_mark(path: &Path) -> Option<History> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Notes how far a database has come.
///
/// # Errors
/// When it cannot be written.
pub fn write_mark(path: &Path, history: &History) -> Result<(), StoreError> {
    let text = serde_json::to_vec(history).expect("it is JSON");
    files::replace(path, &text).map_err(|why| StoreError::File {
        path: path.to_owned(),
        why,
    })
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
