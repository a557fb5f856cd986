//! What can go wrong with the database.

use std::path::PathBuf;
use std::sync::Arc;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database did not answer, was busy for too long, or refused: try again.
    #[error("the database is unavailable: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// The database took longer than the caller could wait.
    #[error("the database did not answer in time")]
    TimedOut,
    /// What was asked for by several together failed for all of them.
    #[error(transparent)]
    Together(#[from] Arc<StoreError>),
    /// A row does not say what such a row says: somebody or something else wrote it.
    #[error("a row of {table} is corrupt: {what}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column, or what is wrong.
        what: &'static str,
    },
    /// A newer tenmint has migrated this database to what this one cannot work with.
    #[error(
        "this database was migrated by a newer tenmint (its schema has version {0}), and this one \
         cannot work with it: run that version, or a later one"
    )]
    SchemaTooNew(i64),
    /// The database has not been migrated to what this tenmint needs.
    #[error("this database must be migrated first: start the server, or run `tenmint migrate`")]
    SchemaTooOld,
    /// A migration failed.
    #[error("the database could not be migrated: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// A migration could not have the tables that it changes.
    #[error(
        "the database could not be migrated, because somebody uses its tables and does not let go \
         of them (pg_stat_activity tells who): end that, and start again"
    )]
    MigrationKeptWaiting,
    /// A migration is recorded as failed. No tenmint records that.
    #[error(
        "migration {0} of this database is recorded as failed, which tenmint does not do itself: \
         somebody migrated it by other means. Restore a backup from before"
    )]
    MigrationUnfinished(i64),
    /// Another migration was applied under that number.
    #[error(
        "migration {0} of this database is not the one that this tenmint has: a build that was \
         never released migrated it, or somebody changed what is recorded of it. Run that build, \
         or restore a backup from before"
    )]
    MigrationChanged(i64),
    /// A restore was stopped half way.
    #[error(
        "a restore of this database was begun and not finished: in some organizations keys that \
         were revoked after the backup are in force again. Run `tenmint restore --in-place` again \
         with what it was given before: it does the rest"
    )]
    RestoreUnfinished,
    /// The PostgreSQL server cannot be reached at start.
    #[error("PostgreSQL at {server} cannot be used: {why}. Look at DATABASE_URL and at the server")]
    Unreachable {
        /// Its host and port.
        server: String,
        /// What was said.
        #[source]
        why: sqlx::Error,
    },
    /// Another server has this SQLite file.
    #[error(
        "another tenmint serves {}: stop it first, or use PostgreSQL to run several servers",
        .0.display()
    )]
    InUse(PathBuf),
    /// An older database lies where a newer one was served.
    #[error(
        "this database is older than the one that was served here before: it knows {acts} acts, \
         and {served} had been done. A backup was put in its place, and what was revoked since \
         would be in force again: run `tenmint restore --in-place`, which says how to go on. \
         ({} tells how far it had come)", mark.display()
    )]
    Older {
        /// How many acts the database knows.
        acts: i64,
        /// How many there were at least.
        served: i64,
        /// The file that says so.
        mark: PathBuf,
    },
    /// A database lies where another was served that went on apart from it.
    #[error(
        "this database has another history than the one that was served here before: entry \
         {sequence} of {organization}, the last that was noted of that one, is not in it. The two \
         went on apart (a fork), each by itself, and what was revoked in that one is in force in \
         this one. If that one is the right one, put it back in its place. To go on with this one, \
         run `tenmint restore --in-place`, which says what to choose between. \
         ({} tells how far the other had come)", mark.display()
    )]
    Forked {
        /// Whose log has the last entry that was noted.
        organization: String,
        /// The place of that entry.
        sequence: i64,
        /// The file that says so.
        mark: PathBuf,
    },
    /// A copy of the database that was served before.
    #[error(
        "this database is a copy of the one that was served before, as after pg_restore or a move: \
         keys that were revoked since the copy was made would be in force again. Run \
         `tenmint restore --in-place` first: it takes what was done since from audit exports, and \
         says how to go on without"
    )]
    Copied,
    /// Only for a database in a file.
    #[error("the database is on PostgreSQL, which has tools of its own for this")]
    NotSqlite,
    /// The SQLite file or one beside it cannot be made or opened.
    #[error("the database file {} cannot be used: {why}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        why: std::io::Error,
    },
}

impl StoreError {
    /// Whether trying again can help.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unavailable(sqlx::Error::Database(error)) => {
                !error.is_unique_violation()
                    && !error.is_foreign_key_violation()
                    && !error.is_check_violation()
            }
            Self::Unavailable(error) => !matches!(
                error,
                sqlx::Error::ColumnDecode { .. }
                    | sqlx::Error::ColumnNotFound(_)
                    | sqlx::Error::Decode(_)
                    | sqlx::Error::RowNotFound
            ),
            Self::TimedOut => true,
            Self::Together(why) => why.is_passing(),
            _ => false,
        }
    }

    /// Whether the connection had ended on which something was asked: PostgreSQL says so if it still
    /// can, with a code of class 57P, operator intervention.
    #[must_use]
    pub(super) fn is_lost_connection(&self) -> bool {
        match self {
            Self::Unavailable(sqlx::Error::Io(_)) => true,
            Self::Unavailable(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| code.starts_with("57P"))
            }
            _ => false,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error)
    }
}

/// Names the column in which a row is corrupt.
pub(super) fn corrupt(table: &'static str, what: &'static str) -> StoreError {
    StoreError::Corrupt { table, what }
}
