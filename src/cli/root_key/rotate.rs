//! `tenmint root-key rotate`.

use std::time::Duration;

use clap::Args;

use super::{open, verdict};
use crate::app::App;
use crate::cli::Failure;
use crate::cli::exit::{Exit, Failed};
use crate::crypto::root_key::RootKey;
use crate::crypto::root_key_file::{RootKeyFileError, edit};
use crate::manage::root_keys::following::until_in_use;
use crate::manage::root_keys::rotate::{Rotated, Target, carry_over, make_current, target};
use crate::manage::root_keys::status::{Described, overview};
use crate::manage::root_keys::{RootKeyRefusal, follow, names};
use crate::settings::Settings;

/// How many organizations go over between two lines that say so.
const A_LINE_EVERY: u64 = 1_000;

/// How long servers take at most to work with a root key that they hold: each looks once a second. One
/// that takes longer does not live any more.
const FOLLOWING: Duration = Duration::from_secs(5);

#[derive(Args, Debug)]
pub(in crate::cli) struct Rotate {
    /// Which root key to go over to, where several were added
    #[arg(long, value_name = "ID")]
    to: Option<String>,

    /// How long to wait for servers to find the root key, and to work with it
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = humantime::parse_duration)]
    wait: Duration,

    #[command(flatten)]
    pub(super) settings: Settings,
}

impl Rotate {
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let app = open(&self.settings).await?;
        let done = match self.with(&app).await {
            Ok(rotated) => tell(&app, &rotated, self.wait).await,
            Err(error) => Err(error),
        };
        app.close().await;
        done
    }

    async fn with(&self, app: &App) -> Result<Rotated, Failure> {
        let management = &app.management;
        match target(management, self.to.as_deref()).await? {
            Target::Unfinished => {
                eprintln!("a rotation was begun before: finishing it");
            }
            Target::Held(id) => make_current(management, &id, self.wait).await?,
            Target::None => {
                let Some(path) = &app.root_key_file else {
                    return Err(RootKeyRefusal::NoOther.into());
                };
                let new = RootKey::generate();
                let id = new.id().to_string();
                let all = root_keys(app).await?;
                edit::add(path, &new).map_err(|error| not_added(error, &all))?;
                eprintln!(
                    "added root key {id} to {}: back it up, apart from the database",
                    path.display()
                );
                let stored = management.store.root_keys().await?;
                follow(management, &[new], stored.ok_or(RootKeyRefusal::Changed)?)?;
                make_current(management, &id, self.wait).await?;
            }
        }
        let mut told = 0;
        let rotated = carry_over(management, |so_far| {
            if so_far.organizations >= told + A_LINE_EVERY {
                told = so_far.organizations;
                eprintln!("{told} organizations went over");
            }
        });
        Ok(rotated.await?)
    }
}

async fn root_keys(app: &App) -> Result<Vec<Described>, Failure> {
    let management = &app.management;
    let (keyring, now) = (management.crypto.keyring(), management.clock.now());
    Ok(overview(&management.store, &keyring, now).await?)
}

/// Says what was done, and what is to be done about each former root key.
async fn tell(app: &App, rotated: &Rotated, patience: Duration) -> Result<(), Failure> {
    let Rotated {
        from: _,
        to,
        organizations,
        signing_keys,
        shut,
    } = rotated;
    eprintln!(
        "root key {to} is current: {organizations} organizations went over to it after the \
         operator's, and {signing_keys} of their signing keys were sealed anew"
    );
    for shut in shut {
        eprintln!(
            "signing key {} of {} does not open, and was left as it is: its row was changed",
            shut.kid.as_str(),
            shut.organization
        );
    }
    // Whoever is told that it is done may count on each use from then on.
    let behind = until_in_use(&app.management, to, patience.min(FOLLOWING)).await?;
    if !behind.is_empty() {
        eprintln!(
            "servers still work with another: {}. API keys that are used there do not depend on {to} \
             before they do",
            names(&behind)
        );
    }
    for verdict in of_former(&root_keys(app).await?) {
        eprintln!("{verdict}");
    }
    match shut.len() {
        0 => Ok(()),
        count => {
            let left = format!("{count} signing keys were left under another root key");
            Err(Failed::new(Exit::Partly, left).into())
        }
    }
}

/// Where there is no room for another root key, which can go.
pub(super) fn not_added(error: RootKeyFileError, all: &[Described]) -> Failure {
    match error {
        RootKeyFileError::TooLong(_) => {
            let lines = std::iter::once(error.to_string()).chain(of_former(all));
            lines.collect::<Vec<_>>().join("\n").into()
        }
        other => other.into(),
    }
}

/// What is to be done about root keys that are not current any more.
fn of_former(all: &[Described]) -> impl Iterator<Item = String> {
    let former = all.iter().filter(|key| key.superseded_at.is_some());
    former.filter_map(verdict)
}
