//! Migrations: applied at start, never backwards, never by an older binary.

use sqlx::migrate::{MigrateError, Migrator};

use super::Store;
use super::engine::{Engine, sql};
use super::error::StoreError;
use super::lock::ServerLock;

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

impl Store {
    /// Brings the schema to what this binary needs. Several servers may do so at once: on
    /// PostgreSQL an advisory lock lets one go first, on SQLite [`ServerLock`] is that.
    ///
    /// # Errors
    /// [`StoreError::SchemaTooNew`] when a newer binary was here, or what went wrong.
    pub async fn migrate(&self, _alone: &ServerLock) -> Result<(), StoreError> {
        self.refuse_newer_schema().await?;
        match &self.engine {
            Engine::Sqlite(sqlite) => SQLITE.run(&sqlite.writer).await,
            Engine::Postgres(postgres) => POSTGRES.run(&postgres.pool).await,
        }
        .map_err(|error| match error {
            MigrateError::VersionMissing(version) => StoreError::SchemaTooNew(version),
            other => StoreError::Migration(other),
        })
    }

    /// Checks, without changing anything, that the schema is what this binary needs.
    ///
    /// # Errors
    /// [`StoreError::SchemaTooNew`] or [`StoreError::SchemaTooOld`].
    pub async fn require_current_schema(&self) -> Result<(), StoreError> {
        match self.refuse_newer_schema().await? {
            applied if applied == newest() => Ok(()),
            _ => Err(StoreError::SchemaTooOld),
        }
    }

    /// Whether nothing was ever migrated here.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.refuse_newer_schema().await? == 0)
    }

    /// The newest version applied, 0 if none.
    async fn refuse_newer_schema(&self) -> Result<i64, StoreError> {
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
            return Ok(0);
        }
        let (applied,) = sql!(
            one(i64,),
            self.reader(),
            "SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations"
        )?;
        if applied > newest() {
            return Err(StoreError::SchemaTooNew(applied));
        }
        Ok(applied)
    }
}

fn newest() -> i64 {
    SQLITE.iter().map(|m| m.version).max().unwrap_or(0)
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
}
