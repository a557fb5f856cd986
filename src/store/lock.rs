//! The side file by which a server has an SQLite database to itself.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::Store;
use super::engine::Engine;
use super::error::StoreError;
use super::files;

/// Held while this process may migrate and serve the database. Released when dropped, also
/// by the death of the process.
pub struct ServerLock {
    /// Locked while it is open; `None` where several may serve.
    file: Option<File>,
}

impl Store {
    /// Whether holding `lock` means that no server is using the database.
    #[must_use]
    pub fn is_alone_with(&self, lock: &ServerLock) -> bool {
        lock.file.is_some()
    }

    /// Takes the database for this process. On PostgreSQL there is nothing to take: several
    /// servers share one.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another server has it.
    pub fn lock(&self) -> Result<ServerLock, StoreError> {
        match &self.engine {
            Engine::Sqlite(sqlite) => ServerLock::of_file(&sqlite.path),
            Engine::Postgres(_) => Ok(ServerLock { file: None }),
        }
    }
}

impl ServerLock {
    /// Takes the SQLite database in this file for this process, whether there is one or not.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when a server has it.
    pub fn of_file(database: &Path) -> Result<Self, StoreError> {
        let path = files::beside(database, ".lock");
        let file_error = |why| StoreError::File {
            path: path.clone(),
            why,
        };
        // Never unlinked: two servers could then each lock a file of the same name.
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .map_err(file_error)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(database.to_owned())),
            Err(TryLockError::Error(why)) => Err(file_error(why)),
        }
    }
}
