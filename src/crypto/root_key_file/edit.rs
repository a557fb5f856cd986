//! The file that holds the root keys, changed: one added, one struck out, all or nothing.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{RootKeyFileError, aside, folder_of, read, read_text, write_private};
use crate::crypto::root_key::{RootKey, RootKeyId};

/// Puts a root key behind those at `path`, unless it is there already. When this returns it is on
/// disk; a crash before that leaves the file as it was. Its owner and rights stay.
///
/// # Errors
/// Says why the file could not be replaced, or see [`read`].
pub fn add(path: &Path, new: &RootKey) -> Result<(), RootKeyFileError> {
    let id = new.id();
    change(path, |text, held| {
        if held.contains(&id) {
            return None;
        }
        let line = new.to_line();
        let mut after = Zeroizing::new(String::with_capacity(text.len() + line.len() + 128));
        after.push_str(text);
        if !text.ends_with('\n') {
            after.push('\n');
        }
        after.push_str(&comment(&id));
        after.push_str(&line);
        Some(after)
    })
}

/// Strikes a root key out at `path`, if it is there and not the only one. When this returns the
/// file on disk is without it.
///
/// # Errors
/// Says why the file could not be replaced, or see [`read`].
pub fn strike_out(path: &Path, id: &RootKeyId) -> Result<(), RootKeyFileError> {
    change(path, |text, held| {
        if !held.contains(id) || held.len() < 2 {
            return None;
        }
        let mut after = Zeroizing::new(String::with_capacity(text.len() + 1));
        for line in text.lines().filter(|line| *line != comment(id).trim_end()) {
            let is_comment = line.trim_start().starts_with('#');
            let names = |part: &str| part.parse::<RootKey>().is_ok_and(|key| key.id() == *id);
            if is_comment || !line.split(',').any(names) {
                after.push_str(line);
            } else {
                let kept: Vec<_> = line.split(',').filter(|part| !names(part)).collect();
                if kept.iter().all(|part| part.trim().is_empty()) {
                    continue;
                }
                after.push_str(&Zeroizing::new(kept.join(",")));
            }
            after.push('\n');
        }
        Some(after)
    })
}

/// Makes a file of these root keys, mode 0600, where there is none.
///
/// # Errors
/// [`RootKeyFileError::InTheWay`] or [`RootKeyFileError::NotWritten`].
pub fn write_new<'a>(
    path: &Path,
    keys: impl Iterator<Item = &'a RootKey>,
) -> Result<(), RootKeyFileError> {
    let mut text = Zeroizing::new(String::with_capacity(super::LONGEST));
    for key in keys {
        text.push_str(&comment(&key.id()));
        text.push_str(&key.to_line());
    }
    let written =
        write_private(path, text.as_bytes()).and_then(|()| File::open(folder_of(path))?.sync_all());
    written.map_err(|why| match why.kind() {
        io::ErrorKind::AlreadyExists => RootKeyFileError::InTheWay(path.to_owned()),
        _ => not_written(path)(why),
    })
}

/// What stands above a root key, for people.
fn comment(id: &RootKeyId) -> String {
    format!("# root key {id}\n")
}

fn not_written(path: &Path) -> impl Fn(io::Error) -> RootKeyFileError {
    let path = path.to_owned();
    move |why| RootKeyFileError::NotWritten {
        path: path.clone(),
        why,
    }
}

/// Replaces the file by what `edit` makes of its text, one at a time.
fn change(
    path: &Path,
    edit: impl FnOnce(&str, &[RootKeyId]) -> Option<Zeroizing<String>>,
) -> Result<(), RootKeyFileError> {
    let failed = not_written(path);
    // Where a link leads, so that the link stays one.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let _lock = lock(&path)?;
    let held: Vec<_> = read(&path)?.keys.iter().map(RootKey::id).collect();
    let before = File::open(&path).map_err(&failed)?;
    let metadata = before.metadata().map_err(&failed)?;
    let text = read_text(before).map_err(&failed)?;
    let Some(after) = edit(&text, &held) else {
        return Ok(());
    };
    if after.len() > super::LONGEST {
        // It would not be read whole again.
        return Err(RootKeyFileError::TooLong(path));
    }
    let aside = aside(folder_of(&path));
    let written = write_private(&aside, after.as_bytes())
        .and_then(|()| give_to_the_same(&aside, &metadata))
        .and_then(|()| fs::rename(&aside, &path))
        .and_then(|()| File::open(folder_of(&path))?.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
    written.map_err(failed)
}

/// Held while the file is changed; released also by the death of the process.
fn lock(path: &Path) -> Result<File, RootKeyFileError> {
    let mut beside = path.to_owned().into_os_string();
    beside.push(".lock");
    let beside = PathBuf::from(beside);
    let file = OpenOptions::new().append(true).create(true).open(&beside);
    let file = file.map_err(not_written(path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RootKeyFileError::Busy(path.to_owned())),
        Err(TryLockError::Error(why)) => Err(not_written(path)(why)),
    }
}

/// The server's account must still be able to read it when another one, such as root, wrote it.
#[cfg(unix)]
fn give_to_the_same(path: &Path, before: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, chown};
    let now = fs::metadata(path)?;
    if (now.uid(), now.gid()) != (before.uid(), before.gid()) {
        chown(path, Some(before.uid()), Some(before.gid()))?;
    }
    fs::set_permissions(path, before.permissions())
}

#[cfg(not(unix))]
fn give_to_the_same(path: &Path, before: &fs::Metadata) -> io::Result<()> {
    fs::set_permissions(path, before.permissions())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn ids(path: &Path) -> Vec<RootKeyId> {
        read(path).unwrap().keys.iter().map(RootKey::id).collect()
    }

    #[test]
    fn a_root_key_is_added_and_struck_out_and_the_rest_of_the_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        let (first, second) = (RootKey::generate(), RootKey::generate());
        let line = first.to_line();
        // As some editors leave it, and open to a group.
        fs::write(&path, format!("# ours\n{}", line.trim())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        for _ in 0..2 {
            add(&path, &second).unwrap();
            assert_eq!(ids(&path), [first.id(), second.id()]);
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        strike_out(&path, &RootKey::generate().id()).unwrap();
        strike_out(&path, &first.id()).unwrap();
        assert_eq!(ids(&path), [second.id()]);
        let left = fs::read_to_string(&path).unwrap();
        assert_eq!(left.lines().next(), Some("# ours"));
        strike_out(&path, &second.id()).unwrap();
        assert_eq!(ids(&path), [second.id()], "never the last one");

        let both = format!("{},{}", line.trim(), second.to_line().trim());
        fs::write(&path, both).unwrap();
        strike_out(&path, &first.id()).unwrap();
        assert_eq!(ids(&path), [second.id()]);
        let files: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(files.len(), 2, "nothing is left beside it: {files:?}");
    }

    #[test]
    fn no_root_key_is_added_that_would_not_be_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        write_new(&path, [&RootKey::generate()].into_iter()).unwrap();
        let mut text = fs::read_to_string(&path).unwrap();
        let room = super::super::LONGEST - text.len();
        text.extend(["#", &"x".repeat(room - 60), "\n"]);
        fs::write(&path, &text).unwrap();
        let added = add(&path, &RootKey::generate());
        assert!(matches!(added, Err(RootKeyFileError::TooLong(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(ids(&path).len(), 1);
        text.push_str(&"#".repeat(60));
        fs::write(&path, &text).unwrap();
        assert!(matches!(read(&path), Err(RootKeyFileError::TooLong(_))));
    }

    #[test]
    fn a_link_to_the_file_stays_one_and_two_never_change_it_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        let link = folder.path().join("link");
        let (first, second) = (RootKey::generate(), RootKey::generate());
        write_new(&path, [&first].into_iter()).unwrap();
        let again = write_new(&path, [&second].into_iter());
        assert!(matches!(again, Err(RootKeyFileError::InTheWay(_))));
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let held = lock(&path).unwrap();
        assert!(matches!(
            add(&link, &second),
            Err(RootKeyFileError::Busy(_))
        ));
        drop(held);
        add(&link, &second).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(ids(&path), [first.id(), second.id()]);
    }
}
