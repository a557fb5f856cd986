//! `tenmint root-key`: on the database and the root keys themselves, like `operator-key`.

mod drop;
mod rotate;
mod status;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::Failure;
use crate::app::existing::existing;
use crate::app::{App, Role, StartError, root_keys};
use crate::clock::Clock;
use crate::crypto::root_key::RootKey;
use crate::crypto::root_key_file::edit;
use crate::manage::root_keys::status::{State, status as status_of};
use crate::settings::Settings;

pub(super) use status::verdict;

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Make another root key and put it beside those in ROOT_KEY_FILE; nothing depends on it yet
    Add(Add),
    /// Go over to the root key that was added, or to a new one, and seal everything anew
    Rotate(rotate::Rotate),
    /// Show what depends on each root key, and which can be given up
    Status(status::Show),
    /// Give a former root key up, for good, once nothing needs it
    Drop(drop::GiveUp),
}

#[derive(Args, Debug)]
pub(super) struct Add {
    /// Write all root keys to this new file instead, for where they are kept otherwise
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    settings: Settings,
}

impl Command {
    pub(super) fn settings(&self) -> &Settings {
        match self {
            Self::Add(add) => &add.settings,
            Self::Rotate(rotate) => &rotate.settings,
            Self::Status(show) => &show.settings,
            Self::Drop(give_up) => &give_up.settings,
        }
    }

    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run().await,
            Self::Rotate(rotate) => rotate.run().await,
            Self::Status(show) => show.run().await,
            Self::Drop(give_up) => give_up.run().await,
        }
    }
}

impl Add {
    async fn run(&self) -> Result<(), Failure> {
        let settings = &self.settings;
        let (store, crypto) = existing(settings).await?;
        let now = Clock::system().now();
        let status = status_of(&store, &crypto.keyring(), now).await?;
        let stored = store.root_keys().await?;
        store.close().await;
        let (Some(status), Some(stored)) = (status, stored) else {
            return Err(StartError::NoDeployment(settings.database_url_shown()).into());
        };
        let (mut held, file) = root_keys::given(settings, &stored)?;
        let mut added = status.root_keys.iter();
        if let Some(added) = added.find(|key| key.state == State::Added)
            && self.out.is_none()
        {
            eprintln!(
                "root key {} was added before and is not current yet: run `tenmint root-key rotate`",
                added.id
            );
            return Ok(());
        }
        let new = RootKey::generate();
        let id = new.id();
        match (&self.out, file) {
            (Some(out), _) => {
                held.push(new);
                edit::write_new(out, held.iter())?;
                eprintln!(
                    "wrote {} root keys to {}, the last of them {id}, which is new. Put them where \
                     every server has its root keys from, then delete this file; when `tenmint \
                     root-key status` shows that every server holds it, run `tenmint root-key \
                     rotate`",
                    held.len(),
                    out.display()
                );
            }
            (None, Some(path)) => {
                let all = &status.root_keys;
                edit::add(&path, &new).map_err(|error| rotate::not_added(error, all))?;
                eprintln!(
                    "added root key {id} to {}. Back it up, apart from the database, and give it to \
                     every server; when `tenmint root-key status` shows that they hold it, run \
                     `tenmint root-key rotate`",
                    path.display()
                );
            }
            (None, None) => {
                return Err(
                    "the root keys come from TENMINT_ROOT_KEY, which this command \
                            cannot change: give --out FILE"
                        .into(),
                );
            }
        }
        Ok(())
    }
}

/// The deployment, opened to change it beside servers that may be running.
async fn open(settings: &Settings) -> Result<Arc<App>, Failure> {
    // Whoever mistypes a path is not to get a new deployment there.
    let (store, _) = existing(settings).await?;
    store.close().await;
    let base = settings.base(settings.listen)?;
    Ok(App::open(settings, base, Clock::system(), Role::Beside).await?)
}
