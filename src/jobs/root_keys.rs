//! Keeps up with the root keys: reads their file again when it changes, follows what the database
//! says of them, and tells it which this server holds.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::crypto::root_key::RootKey;
use crate::crypto::root_key_file;
use crate::manage::{Management, root_keys};
use crate::store::error::StoreError;
use crate::store::root_keys::{FormerRootKey, Holder, RootKeys};

/// How often to look.
const EVERY: Duration = Duration::from_secs(1);

/// How often to tell which root keys are held when nothing changes, in looks.
const TELL_EVERY: u32 = 20;

/// What was seen last.
#[derive(Default)]
struct Seen {
    /// Of the file: when it was written, and how long it is.
    file: Option<(SystemTime, u64)>,
    stored: Option<RootKeys>,
    told: Option<Holder>,
    looks_since: u32,
    file_warned: Warned,
    current_warned: Warned,
}

/// What is said once, until it is over.
#[derive(Default)]
struct Warned(Option<String>);

/// Runs until stopped.
pub(super) async fn hold(
    management: Arc<Management>,
    file: Option<PathBuf>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut seen = Seen::default();
    loop {
        let found = match &file {
            Some(path) => seen.read_again(path).await,
            None => Vec::new(),
        };
        if let Err(error) = seen.look(&management, &found).await {
            tracing::debug!(%error, "what the database says of root keys could not be read");
        }
        tokio::select! {
            _ = stopped.changed() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
    let (node, now) = (management.usage.node(), management.clock.now());
    if let Err(error) = management.store.forget_holder(node, now).await {
        tracing::debug!(%error, "this server could not strike itself out");
    }
}

impl Seen {
    /// The root keys in the file, if it changed. Whatever is wrong with it, those that are held
    /// go on being held.
    async fn read_again(&mut self, path: &Path) -> Vec<RootKey> {
        let (place, before) = (path.to_owned(), self.file);
        let read = tokio::task::spawn_blocking(move || {
            let metadata = fs::metadata(&place).ok();
            let state = metadata.and_then(|file| Some((file.modified().ok()?, file.len())));
            if state.is_some() && state == before {
                return None;
            }
            Some((state, root_key_file::read(&place)))
        });
        match read.await {
            Ok(Some((state, Ok(found)))) => {
                self.file = state;
                self.file_warned = Warned::default();
                found.keys
            }
            Ok(Some((_, Err(error)))) => {
                self.file_warned.of(format!(
                    "{error}. This server goes on with the root keys that it holds"
                ));
                Vec::new()
            }
            Ok(None) | Err(_) => Vec::new(),
        }
    }

    async fn look(&mut self, management: &Management, found: &[RootKey]) -> Result<(), StoreError> {
        let stored = management.store.root_keys().await?;
        if (!found.is_empty() || stored != self.stored)
            && let Some(now) = stored.clone()
        {
            let before = management.crypto.keyring();
            if let Err(error) = root_keys::follow(management, found, now) {
                self.file = None;
                self.current_warned
                    .of(format!("another root key is current, and {error}"));
            } else {
                self.current_warned = Warned::default();
                let after = management.crypto.keyring();
                if before.current() != after.current() {
                    tracing::info!(root_key = %after.current(), "another root key is current");
                }
                // What cannot be told now is told at the next look: until then it is not seen.
                tell_given_up(management, self.stored.as_ref(), stored.as_ref()).await?;
                self.stored = stored;
            }
        }
        let keyring = management.crypto.keyring();
        let holder = Holder {
            node: management.usage.node().to_owned(),
            in_use: keyring.current().to_string(),
            held: keyring.ids().map(ToString::to_string).collect(),
            seen_at: management.clock.now(),
        };
        let same = |told: &Holder| told.in_use == holder.in_use && told.held == holder.held;
        self.looks_since += 1;
        if self.looks_since < TELL_EVERY && self.told.as_ref().is_some_and(same) {
            return Ok(());
        }
        management.store.tell_held(&holder).await?;
        (self.told, self.looks_since) = (Some(holder), 0);
        Ok(())
    }
}

/// Says which root keys were given up since the last look, and what ended with each: only the command
/// that did it knows otherwise.
async fn tell_given_up(
    management: &Management,
    before: Option<&RootKeys>,
    now: Option<&RootKeys>,
) -> Result<(), StoreError> {
    let (Some(before), Some(now)) = (before, now) else {
        return Ok(());
    };
    let dropped = |all: &RootKeys, id: &str| {
        let mut all = all.former.iter();
        all.any(|former| former.id == id && former.dropped_at.is_some())
    };
    for FormerRootKey { id, .. } in &now.former {
        if !dropped(now, id) || dropped(before, id) {
            continue;
        }
        match management.store.count_ended_with(id).await? {
            0 => tracing::info!(root_key = %id, api_keys_revoked = 0, "a root key was given up"),
            ended => {
                tracing::warn!(root_key = %id, api_keys_revoked = ended, "a root key was given up by force");
            }
        }
    }
    Ok(())
}

impl Warned {
    fn of(&mut self, text: String) {
        if self.0.as_ref() != Some(&text) {
            tracing::error!("{text}");
            self.0 = Some(text);
        }
    }
}
