//! Files beside an SQLite database: made for one account alone, and on the disk when it is said so.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Makes an empty file that its owner alone can read.
///
/// # Errors
/// What the operating system said; that there is one already, among others.
pub fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes a folder, and those above it, that its owner alone can enter, unless it is there.
///
/// # Errors
/// What the operating system said.
pub fn create_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Brings a file's contents to the disk, and then its name.
///
/// # Errors
/// What the operating system said: after a failure nobody knows what is on the disk.
pub fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    sync_folder_of(path)
}

/// Brings the names in a file's folder to the disk.
///
/// # Errors
/// What the operating system said.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    // Folders can be opened on Unix alone, and elsewhere need not be.
    if cfg!(unix) {
        File::open(folder_of(path))?.sync_all()?;
    }
    Ok(())
}

/// Writes a small file whole or not at all: whoever reads it at any instant, also after the loss
/// of power, finds what was there before or what is there now. Its owner alone can read it.
///
/// # Errors
/// What the operating system said; what was there before is then still there.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let aside = beside(path, ".new");
    let _ = fs::remove_file(&aside);
    let written = create_private(&aside)
        .and_then(|mut file| io::Write::write_all(&mut file, content).and(file.sync_all()))
        .and_then(|()| fs::rename(&aside, path))
        .and_then(|()| sync_folder_of(path));
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
    written
}

/// The folder that a file is in.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The path with something behind its name: `tenmint.db` and `-wal` make `tenmint.db-wal`.
#[must_use]
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mark");
        for content in ["one", "two"] {
            replace(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(replace(&folder.path().join("none/mark"), b"x").is_err());
        assert!(create_private(&path).is_err(), "it is there already");
    }
}
