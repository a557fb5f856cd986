//! Migrations: applied at start, never backwards, by one process at a time.

mod in_turn;
mod schema;

use std::sync::LazyLock;

use sqlx::migrate::{MigrateError, Migrator};

use super::Store;
use super::engine::{Engine, sql};
use super::error::StoreError;
use super::lock::ServerLock;
use schema::{Applied, judge, require_fit};

pub use schema::Schema;

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!("migrations/postgres");
    // `in_turn` has a lock of its own.
    migrator.set_locking(false);
    migrator
});

/// Migrations that were applied now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Migrated {
    /// The newest version before, 0 for an empty database.
    pub from: i64,
    /// The newest version now.
    pub to: i64,
}

impl Store {
    /// Brings the schema to what this binary needs, and says what was done if anything was. Several
    /// servers may do so at once: on PostgreSQL one goes first and the others wait, on SQLite
    /// [`ServerLock`] sees to that. Where there is nothing to do, nothing is asked of the database
    /// but to be read.
    ///
    /// # Errors
    /// As of [`Store::schema`], or what went wrong.
    pub async fn migrate(&self, _alone: &ServerLock) -> Result<Option<Migrated>, StoreError> {
        let Some(from) = self.behind().await? else {
            return Ok(None);
        };
        match &self.engine {
            Engine::Sqlite(sqlite) => {
                SQLITE.run(&sqlite.writer).await?;
                let to = newest();
                Ok(Some(Migrated { from, to }))
            }
            Engine::Postgres(postgres) => in_turn::migrate(self, &postgres.options).await,
        }
    }

    /// Checks, without changing anything, that this binary can work with the schema.
    ///
    /// # Errors
    /// [`StoreError::SchemaTooOld`], or as of [`Store::schema`].
    pub async fn require_current_schema(&self) -> Result<(), StoreError> {
        match self.schema().await? {
            Schema::Own | Schema::Newer(_) => Ok(()),
            Schema::Empty | Schema::Older(_) => Err(StoreError::SchemaTooOld),
        }
    }

    /// Whether nothing was ever migrated here.
    ///
    /// # Errors
    /// As of [`Store::schema`].
    pub async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.schema().await? == Schema::Empty)
    }

    /// What the schema is to this binary.
    ///
    /// # Errors
    /// [`StoreError::SchemaTooNew`], [`StoreError::MigrationUnfinished`] or
    /// [`StoreError::MigrationChanged`]; or the database is unavailable.
    pub async fn schema(&self) -> Result<Schema, StoreError> {
        let exists = match &self.engine {
            Engine::Sqlite(_) => {
                "SELECT COUNT(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'"
            }
            Engine::Postgres(_) => {
                "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('_sqlx_migrations')"
            }
        };
        let (tables,) = sql!(one(i64,), self.reader(), exists)?;
        if tables == 0 {
            return Ok(Schema::Empty);
        }
        let applied = sql!(
            all Applied, self.reader(),
            "SELECT version, description, success, checksum FROM _sqlx_migrations
             ORDER BY version"
        )?;
        judge(&applied, self.migrations())
    }

    /// Whether a newer binary has migrated the database beneath this one, which runs: to which
    /// version, if this one can go on. One query, so that it also tells whether the database
    /// answers.
    ///
    /// # Errors
    /// [`StoreError::SchemaTooNew`], or the database is unavailable.
    pub async fn newer_schema(&self) -> Result<Option<i64>, StoreError> {
        let newer = sql!(
            all(i64, String),
            self.reader(),
            "SELECT version, description FROM _sqlx_migrations WHERE version > $1
             ORDER BY version",
            newest()
        )?;
        for (version, description) in &newer {
            require_fit(*version, description, newest())?;
        }
        Ok(newer.last().map(|(version, _)| *version))
    }

    /// The newest version that was applied, if this binary has others to apply.
    async fn behind(&self) -> Result<Option<i64>, StoreError> {
        Ok(match self.schema().await? {
            Schema::Empty => Some(0),
            Schema::Older(newest) => Some(newest),
            Schema::Own | Schema::Newer(_) => None,
        })
    }

    fn migrations(&self) -> &'static Migrator {
        match &self.engine {
            Engine::Sqlite(_) => &SQLITE,
            Engine::Postgres(_) => &POSTGRES,
        }
    }
}

/// The tables that there are on PostgreSQL after every migration, by what the migrations say.
pub(super) fn tables() -> Vec<&'static str> {
    let mut tables = vec!["_sqlx_migrations"];
    let lines = POSTGRES.iter().flat_map(|m| m.sql.as_str().lines());
    for line in lines {
        let words: Vec<_> = line.split([' ', '(', ';']).collect();
        match words[..] {
            ["CREATE", "TABLE", name, ..] => tables.push(name),
            ["DROP", "TABLE", name, ..] => tables.retain(|table| *table != name),
            _ => {}
        }
    }
    tables
}

fn newest() -> i64 {
    SQLITE.iter().map(|m| m.version).max().unwrap_or(0)
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(version) => Self::SchemaTooNew(version),
            MigrateError::VersionMismatch(version) => Self::MigrationChanged(version),
            MigrateError::Dirty(version) => Self::MigrationUnfinished(version),
            other => Self::Migration(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_engines_have_the_same_migrations() {
        let names = |migrator: &'static Migrator| -> Vec<_> {
            migrator
                .iter()
                .map(|m| (m.version, m.description.clone()))
                .collect()
        };
        assert_eq!(names(&SQLITE), names(&POSTGRES));
    }

    #[test]
    fn the_tables_are_those_that_migrations_leave() {
        let tables = tables();
        for table in ["deployment", "signing_keys", "audit_events", "erasures"] {
            assert!(tables.contains(&table), "{table}: {tables:?}");
        }
    }
}
