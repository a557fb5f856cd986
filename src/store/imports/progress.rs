//! How far the import of a file is.

use crate::domain::organization::OrganizationId;
use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::engine::sql;
use crate::store::error::StoreError;
use crate::store::write::Write;

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

impl Store {
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
