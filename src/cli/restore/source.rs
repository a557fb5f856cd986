//! Where it is known what was done after a backup: exports, and other copies of the database.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::lines::{self, Line};
use crate::cli::Failure;
use crate::manage::restore::Logs;
use crate::store::Store;
use crate::store::engine::DatabaseUrl;
use crate::store::files;

/// The longest line of an export, far above what an entry can be.
const LONGEST: u64 = 16 << 20;

/// Reads an export.
pub(super) async fn export(logs: &mut Logs, path: &Path) -> Result<(), Failure> {
    let about = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let mut reader = BufReader::new(File::open(path).map_err(|why| about(&why))?);
    let mut export = logs.export(path.display().to_string());
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = io::Read::take(&mut reader, LONGEST).read_until(b'\n', &mut line);
        if read.map_err(|why| about(&why))? == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        match lines::read(&line, number).map_err(|why| about(&why))? {
            Line::Entry(organization, row) => export.add(&organization, row),
            Line::End(end) => export.add_end(&end),
        }
    }
    Ok(export.finish().await?)
}

/// Reads the audit log of another SQLite database, of which a copy is made: it stays as it is.
/// `name` is what it is called where something is said of it.
pub(super) async fn database(
    logs: &mut Logs,
    (path, name): (&Path, &str),
    scratch: &Path,
) -> Result<(), Failure> {
    let about = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    copy(path, scratch).map_err(|why| about(&why))?;
    let outcome = read(logs, scratch, name).await.map_err(|why| about(&why));
    remove(scratch);
    Ok(outcome?)
}

async fn read(logs: &mut Logs, scratch: &Path, name: &str) -> Result<(), Failure> {
    let store = Store::open(&DatabaseUrl::Sqlite(scratch.to_owned())).await?;
    let added = logs.add_all_of(&store, name).await;
    store.close().await;
    Ok(added?)
}

/// Copies an SQLite database that nobody writes to, with what its write-ahead log holds.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    remove(to);
    for ending in ["", "-wal"] {
        let from = files::beside(from, ending);
        if ending.is_empty() || from.exists() {
            let to = files::beside(to, ending);
            io::copy(&mut File::open(&from)?, &mut files::create_private(&to)?)?;
        }
    }
    Ok(())
}

/// Removes a database that this process made, and what lies beside it.
pub(super) fn remove(path: &Path) {
    for ending in ["", "-wal", "-shm", "-journal", ".lock"] {
        let _ = fs::remove_file(files::beside(path, ending));
    }
}
