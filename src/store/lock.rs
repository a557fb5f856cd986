//! The side file by which a server has an SQLite database to itself.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;

use super::Store;
use super::engine::Engine;
use super::error::StoreError;

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
        let Engine::Sqlite(sqlite) = &self.engine else {
            return Ok(ServerLock { file: None });
        };
        let mut path = sqlite.path.clone().into_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
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
            Ok(()) => Ok(ServerLock { file: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(sqlite.path.clone())),
            Err(TryLockError::Error(why)) => Err(file_error(why)),
        }
    }
}
