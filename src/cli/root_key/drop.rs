//! `tenmint root-key drop`.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::open;
use super::status::{listed, rows, tell_waiting};
use crate::app::App;
use crate::cli::Failure;
use crate::cli::confirm::Confirm;
use crate::cli::table::{Columns, Table};
use crate::crypto::root_key::RootKeyId;
use crate::crypto::root_key_file::{RootKeyFileError, edit};
use crate::manage::root_keys::drop::{Dropped, GivenUp, give_up};
use crate::manage::root_keys::endings::{Ended, Endings};
use crate::manage::root_keys::status::waiting;
use crate::settings::Settings;

/// How many API keys end between two lines that say so.
const A_LINE_EVERY: u64 = 10_000;

/// How often the file of root keys is tried while another command changes it, and how long to wait in
/// between.
const TURNS: (u32, Duration) = (50, Duration::from_millis(100));

/// How many keys are named that lost one of two secrets.
const NAMED: usize = 50;

const ENDED: Columns = &[
    ("ENDED API KEY", "id"),
    ("ORGANIZATION", "organization"),
    ("NAME", "name"),
];

#[derive(Args, Debug)]
pub(in crate::cli) struct GiveUp {
    /// The id of the root key, as `tenmint root-key status` shows it
    id: String,

    /// Also while API keys need it: these are revoked. Signing keys that do not open never will
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    confirm: Confirm,

    #[command(flatten)]
    pub(super) settings: Settings,
}

impl GiveUp {
    pub(super) async fn run(&self) -> Result<(), Failure> {
        self.confirm.possible()?;
        let app = open(&self.settings).await?;
        let done = self.with(&app).await;
        app.close().await;
        done
    }

    async fn with(&self, app: &App) -> Result<(), Failure> {
        let id = &self.id;
        if self.confirm.asks() {
            self.ask(app).await?;
        }
        let (mut told, mut ended) = (0, Endings::default());
        let dropped = give_up(&app.management, id, self.force, |so_far| {
            if so_far.api_keys >= told + A_LINE_EVERY {
                told = so_far.api_keys;
                eprintln!("{told} API keys ended");
            }
            ended.clone_from(so_far);
        });
        let dropped = match dropped.await {
            Ok(dropped) => dropped,
            Err(why) => {
                tell_of_some(&ended)?;
                return Err(why.into());
            }
        };
        match &dropped {
            Dropped::Now(with_it) => {
                eprintln!("root key {id} was given up");
                tell(with_it)?;
            }
            Dropped::Before(with_it) => {
                eprintln!("root key {id} was given up before");
                tell(with_it)?;
            }
            Dropped::NeverCurrent => eprintln!(
                "root key {id} was not current in this database, and never will be: servers that hold it \
                 let go of it"
            ),
        }
        // The database first: what is struck out here is needed by nothing.
        match &app.root_key_file {
            Some(path) => {
                strike_out(path, id).await?;
                let path = path.display();
                eprintln!("it is no longer in {path}: take it from every other server too");
            }
            None => eprintln!("take it out of TENMINT_ROOT_KEY of every server"),
        }
        if dropped != Dropped::NeverCurrent {
            eprintln!("backups of the database from before it was replaced open with it alone");
        }
        Ok(())
    }

    /// Whoever gives up API keys sees before which they are.
    async fn ask(&self, app: &App) -> Result<(), Failure> {
        let (id, management) = (&self.id, &app.management);
        let needing = if self.force {
            waiting(&management.store, id, management.clock.now()).await?
        } else {
            Vec::new()
        };
        if !needing.is_empty() {
            let all = "`tenmint root-key status --json` names them all";
            tell_waiting(&mut io::stderr().lock(), &needing, all)?;
        }
        self.confirm.ask(|| match needing.len() {
            0 => format!("Give up root key {id}?"),
            keys => format!("Give up root key {id}, and end the {keys} API keys that need it?"),
        })?;
        Ok(())
    }
}

/// Strikes a root key out of the file; another command may be at it, such as the same one.
async fn strike_out(path: &Path, id: &str) -> Result<(), RootKeyFileError> {
    let id = RootKeyId::from_stored(id.to_owned());
    for _ in 0..TURNS.0 {
        match edit::strike_out(path, &id) {
            Err(RootKeyFileError::Busy(_)) => tokio::time::sleep(TURNS.1).await,
            done => return done,
        }
    }
    edit::strike_out(path, &id)
}

/// Says what ended before something came between: it stays so.
fn tell_of_some(ended: &Endings) -> io::Result<()> {
    let mut out = io::stderr().lock();
    if ended.api_keys > 0 {
        writeln!(
            out,
            "{} API keys ended, and are revoked (root_key_dropped); run this again for the rest, \
             and to have them named",
            ended.api_keys
        )?;
    }
    tell_halves(&mut out, &ended.secrets)
}

/// Names what ended with a root key, and says what to do about keys that somebody is missing by now.
fn tell(with_it: &GivenUp) -> Result<(), Failure> {
    let mut out = io::stderr().lock();
    if with_it.api_keys > 0 {
        writeln!(
            out,
            "{} API keys ended with it, and are revoked (root_key_dropped){}:",
            with_it.api_keys,
            match with_it.by_this_call {
                own if own == with_it.api_keys => String::new(),
                0 => ", none of them by this command".to_owned(),
                own => format!(", {own} of them by this command"),
            }
        )?;
        Table::new(ENDED).print(&mut out, &rows(&with_it.named)?)?;
        let named = i64::try_from(with_it.named.len()).unwrap_or(i64::MAX);
        if with_it.api_keys > named {
            writeln!(
                out,
                "and {} more: `tenmint audit list --action api_key.revoke` names those of an \
                 organization",
                with_it.api_keys - named
            )?;
        }
    }
    tell_halves(&mut out, &with_it.halves)?;
    if with_it.signing_keys > 0 {
        writeln!(
            out,
            "{} signing keys that it sealed do not open, and never will: revoke them",
            with_it.signing_keys
        )?;
    }
    if !with_it.without_manager.is_empty() {
        writeln!(
            out,
            "ATTENTION: the management keys of these organizations ended: {}. `tenmint orgs \
             bootstrap ID --reissue` makes another",
            listed(&with_it.without_manager)
        )?;
    }
    match (with_it.operator_keys, with_it.operator_keys_left) {
        (0, _) => {}
        (ended, 0) => writeln!(
            out,
            "ATTENTION: {ended} of the operator's own API keys ended, and none is left that can be \
             used: `tenmint operator-key` on this machine makes one"
        )?,
        (ended, left) => writeln!(
            out,
            "ATTENTION: {ended} of the operator's own API keys ended, and {left} are left; `tenmint \
             operator-key` on this machine makes another"
        )?,
    }
    Ok(())
}

fn tell_halves(out: &mut impl Write, halves: &[Ended]) -> io::Result<()> {
    for half in &halves[..halves.len().min(NAMED)] {
        let Ended {
            organization,
            key,
            fingerprint,
            until,
        } = half;
        match until {
            None => writeln!(
                out,
                "{key} of {organization}: the secret {fingerprint}, which a rotation had replaced, \
                 ended; the newer one counts on"
            )?,
            Some(until) => writeln!(
                out,
                "{key} of {organization}: its newest secret {fingerprint} ended; the one before \
                 counts until {until}, and the key ends with it unless it is rotated again and given \
                 another end"
            )?,
        }
    }
    match halves.len() - halves.len().min(NAMED) {
        0 => Ok(()),
        more => writeln!(
            out,
            "and {more} more API keys lost one of two secrets: `api_key.rotate_finish` and \
             `api_key.rotate_undo` in the audit logs name them"
        ),
    }
}
