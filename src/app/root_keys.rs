//! The root keys that a process starts with: read, or made on first start, and held against what
//! the database needs.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{ROOT_KEY_VARIABLE, StartError};
use crate::clock::Clock;
use crate::crypto::keyring::Keyring;
use crate::crypto::root_key::{RootKey, RootKeyError};
use crate::crypto::root_key_file::{self, RootKeyFileError};
use crate::manage::root_keys::keyring;
use crate::settings::Settings;
use crate::store::Store;
use crate::store::root_keys::RootKeys;

/// The root keys of a deployment, and where they come from.
pub(super) struct Held {
    pub(super) keyring: Keyring,
    /// `None` when that is the environment.
    pub(super) file: Option<PathBuf>,
    stored: RootKeys,
}

/// The root keys that this database belongs to, the first made on first start.
pub(super) async fn held(
    settings: &Settings,
    store: &Store,
    clock: &Clock,
) -> Result<Held, StartError> {
    let stored = store.root_keys().await?;
    let (keys, file) = read(settings, stored.as_ref())?;
    let stored = match stored {
        Some(stored) => stored,
        None => RootKeys {
            current: store.claim(keys[0].id().as_str(), clock.now()).await?,
            former: Vec::new(),
        },
    };
    let keyring = keyring(&keys, stored.clone()).map_err(|_| StartError::RootKeyWrong {
        expected: stored.current.clone(),
        place: place(file.as_deref()),
        given: listed(keys.iter().map(RootKey::id)),
    })?;
    Ok(Held {
        keyring,
        file,
        stored,
    })
}

/// Requires every former root key that something still needs.
pub(super) async fn require_needed(
    held: &Held,
    store: &Store,
    clock: &Clock,
) -> Result<(), StartError> {
    let former = held.stored.former.iter();
    let missing: Vec<_> = former
        .filter(|former| former.dropped_at.is_none() && !held.keyring.holds(&former.id))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let needs = store.root_key_needs(clock.now()).await?;
    for former in missing {
        let mut needs = needs.iter().filter(|need| need.is_any());
        if former.trace.is_some() && !needs.any(|need| need.root_key == former.id) {
            continue;
        }
        return Err(StartError::RootKeyStillNeeded {
            missing: former.id.clone(),
            until: former.superseded_at,
            place: place(held.file.as_deref()),
            expected: held.stored.current.clone(),
            given: listed(held.keyring.ids()),
        });
    }
    Ok(())
}

/// The root keys that `settings` name, for whoever writes them down elsewhere; and the file that
/// they are in, unless they come from the environment.
///
/// # Errors
/// See [`StartError`].
pub fn given(
    settings: &Settings,
    stored: &RootKeys,
) -> Result<(Vec<RootKey>, Option<PathBuf>), StartError> {
    read(settings, Some(stored))
}

/// From the environment, or from the file, which is made where there is neither a root key nor a
/// database that needs one.
fn read(
    settings: &Settings,
    stored: Option<&RootKeys>,
) -> Result<(Vec<RootKey>, Option<PathBuf>), StartError> {
    match std::env::var(ROOT_KEY_VARIABLE) {
        Ok(text) => {
            let text = Zeroizing::new(text);
            tracing::warn!(
                "the root key comes from {ROOT_KEY_VARIABLE}: a file of mode 0600 is safer"
            );
            let keys = RootKey::parse_all(&text).map_err(StartError::RootKeyVariable)?;
            return Ok((keys, None));
        }
        Err(std::env::VarError::NotUnicode(_)) => {
            return Err(StartError::RootKeyVariable(RootKeyError));
        }
        Err(std::env::VarError::NotPresent) => {}
    }
    let path = &settings.root_key_file;
    let keys = match (root_key_file::read(path), stored) {
        (Ok(found), _) => {
            if found.group_readable {
                let path = path.display();
                tracing::warn!(%path, "the root key can be read by its file's group: chmod 600");
            }
            found.keys
        }
        (Err(RootKeyFileError::Missing(_)), None) => {
            let made = root_key_file::create(path)?.keys;
            let (path, id) = (path.display(), made[0].id());
            tracing::info!(%path, root_key = %id, "made a root key: back it up, apart from the database");
            made
        }
        (Err(RootKeyFileError::Missing(_)), Some(stored)) => {
            return Err(StartError::RootKeyMissing {
                expected: stored.current.clone(),
                path: path.clone(),
            });
        }
        (Err(error), _) => return Err(error.into()),
    };
    Ok((keys, Some(path.clone())))
}

/// Where root keys come from.
fn place(file: Option<&Path>) -> String {
    file.map_or_else(
        || ROOT_KEY_VARIABLE.to_owned(),
        |path| path.display().to_string(),
    )
}

fn listed(ids: impl Iterator<Item = impl ToString>) -> String {
    ids.map(|id| id.to_string()).collect::<Vec<_>>().join(", ")
}
