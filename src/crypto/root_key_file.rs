//! The file that holds the root keys: found, checked, or made once.

pub mod edit;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::root_key::{RootKey, RootKeyError};
use super::{hex, random};

/// As much of a file as is read, in bytes: more than a hundred root keys.
const LONGEST: usize = 16_384;

/// Why the root key cannot be used; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RootKeyFileError {
    /// There is none where it should be.
    #[error("there is no root key at {}: put the deployment's root key there, or name its place with ROOT_KEY_FILE", .0.display())]
    Missing(PathBuf),
    /// There is one, but this process may not read it.
    #[error("the root key at {} cannot be read: {why}. Give the account that runs tenmint read access to it alone (chown, chmod 600)", path.display())]
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// What the operating system said.
        why: io::Error,
    },
    /// Everybody on the machine can read or replace it.
    #[error("the root key at {} is open to every account on this machine: run `chmod 600 {}`; if others could read it, treat it as leaked", .0.display(), .0.display())]
    Exposed(PathBuf),
    /// A folder, a pipe or the like.
    #[error("the root key at {} is no regular file: name one with ROOT_KEY_FILE", .0.display())]
    NotAFile(PathBuf),
    /// It holds no root key, or a damaged one.
    #[error("the root key at {} cannot be used: {why}. Restore it from its backup", path.display())]
    Damaged {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        why: RootKeyError,
    },
    /// It could not be made, or not be replaced.
    #[error("no root key could be written at {}: {why}", path.display())]
    NotWritten {
        /// Where it should be.
        path: PathBuf,
        /// What the operating system said.
        why: io::Error,
    },
    /// It is longer than what is read of it, or would be.
    #[error("the file of root keys at {} may have {LONGEST} bytes, and no more: take comments out of it, and root keys that were given up", .0.display())]
    TooLong(PathBuf),
    /// Another command is changing it.
    #[error("another tenmint is changing the root keys at {}: wait for it", .0.display())]
    Busy(PathBuf),
    /// There is a file where one was to be made.
    #[error("{} is there already: name another file", .0.display())]
    InTheWay(PathBuf),
}

/// The root keys of a file, and whether the file's group can read them too.
#[derive(Debug)]
pub struct Found {
    /// The root keys, at least one.
    pub keys: Vec<RootKey>,
    /// Worth a warning: the group is often wider than one remembers.
    pub group_readable: bool,
}

/// Reads the root keys at `path`.
///
/// # Errors
/// Refuses a file that is missing, unreadable, open to everybody or damaged.
pub fn read(path: &Path) -> Result<Found, RootKeyFileError> {
    let unreadable = |why: io::Error| match why.kind() {
        io::ErrorKind::NotFound => RootKeyFileError::Missing(path.to_owned()),
        _ => RootKeyFileError::Unreadable {
            path: path.to_owned(),
            why,
        },
    };
    // Opening a pipe would wait for ever.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(RootKeyFileError::NotAFile(path.to_owned()));
    }
    // Rights are read from the open file: what is checked is what is read.
    let file = File::open(path).map_err(unreadable)?;
    let mode = mode(&file).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.len() > LONGEST as u64 {
        return Err(RootKeyFileError::TooLong(path.to_owned()));
    }
    if mode & 0o007 != 0 {
        return Err(RootKeyFileError::Exposed(path.to_owned()));
    }
    let text = read_text(file).map_err(unreadable)?;
    let keys = RootKey::parse_all(&text).map_err(|why| RootKeyFileError::Damaged {
        path: path.to_owned(),
        why,
    })?;
    Ok(Found {
        keys,
        group_readable: mode & 0o070 != 0,
    })
}

/// What a file of root keys says. The text is never moved while it grows: that would leave
/// copies of it in memory.
fn read_text(file: File) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(LONGEST));
    io::Read::read_to_string(&mut io::Read::take(file, LONGEST as u64), &mut text)?;
    Ok(text)
}

/// Makes a root key at `path`, mode 0600, on disk before this returns. If another process
/// made one meanwhile, that one is read.
///
/// # Errors
/// Says why the file could not be made, or see [`read`].
pub fn create(path: &Path) -> Result<Found, RootKeyFileError> {
    let not_written = |why| RootKeyFileError::NotWritten {
        path: path.to_owned(),
        why,
    };
    let folder = folder_of(path);
    create_private_folder(folder).map_err(not_written)?;

    // Written aside and then linked into place: a crash leaves no half a key, and a second
    // process that comes at the same moment does not overwrite the first one's.
    let aside = aside(folder);
    let key = RootKey::generate();
    let written = write_private(&aside, key.to_line().as_bytes())
        .and_then(|()| fs::hard_link(&aside, path))
        .and_then(|()| File::open(folder)?.sync_all());
    let _ = fs::remove_file(&aside);
    match written {
        Err(why) if why.kind() != io::ErrorKind::AlreadyExists => Err(not_written(why)),
        _ => read(path),
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A name in this folder that nobody has.
fn aside(folder: &Path) -> PathBuf {
    let random: [u8; 8] = random::bytes();
    folder.join(format!(".root.key.{}", hex(&random)))
}

/// Makes a folder, and those above it, that its owner alone can enter.
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

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(unix)]
fn mode(file: &File) -> io::Result<u32> {
    Ok(std::os::unix::fs::MetadataExt::mode(&file.metadata()?))
}

#[cfg(not(unix))]
fn mode(_: &File) -> io::Result<u32> {
    Ok(0o600)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/root.key");
        (folder, path)
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_root_key_is_made_once_and_for_its_owner_alone() {
        let (_folder, path) = place();
        let made = create(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(!made.group_readable);
        assert_eq!(create(&path).unwrap().keys[0].id(), made.keys[0].id());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_root_key_open_to_everybody_is_refused_and_one_open_to_a_group_is_noted() {
        let (_folder, path) = place();
        create(&path).unwrap();
        chmod(&path, 0o644);
        assert!(matches!(read(&path), Err(RootKeyFileError::Exposed(_))));
        chmod(&path, 0o640);
        assert!(read(&path).unwrap().group_readable);
    }

    #[test]
    fn a_missing_or_damaged_root_key_is_named() {
        let (_folder, path) = place();
        assert!(matches!(read(&path), Err(RootKeyFileError::Missing(_))));
        create(&path).unwrap();
        fs::write(&path, "tenmint-root-key-1:abc").unwrap();
        assert!(matches!(read(&path), Err(RootKeyFileError::Damaged { .. })));
    }
}
