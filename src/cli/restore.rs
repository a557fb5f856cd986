//! `tenmint restore`: a backup put in place, and brought up to the present.

mod choice;
mod file;
mod in_place;
mod lines;
mod plan;
mod report;
mod root_keys;
mod source;
mod unlogged;

use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use super::exit::Failed;
use crate::manage::restore::Unknown;
use crate::settings::Settings;
use crate::store::engine::DatabaseUrl;

#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag by itself")]
pub(super) struct Arguments {
    /// The backup to put in place of the database
    #[arg(required_unless_present = "in_place", conflicts_with = "in_place")]
    file: Option<PathBuf>,

    /// The database was put in place already, by pg_restore or by hand: only bring it up to date
    #[arg(long)]
    in_place: bool,

    /// Put the backup in place of a database that is there, which is kept beside it
    #[arg(long)]
    replace: bool,

    /// An audit export (JSON Lines) that tells what was done after the backup; can be repeated
    #[arg(long, value_name = "FILE")]
    audit_export: Vec<PathBuf>,

    /// Another SQLite database of this deployment whose audit log tells that; can be repeated
    #[arg(long, value_name = "FILE")]
    audit_database: Vec<PathBuf>,

    /// Do not take what the audit log of the replaced database tells
    #[arg(long)]
    ignore_replaced: bool,

    /// Switch off the keys of which no log tells what happened to them after the backup
    #[arg(long, conflicts_with = "accept_resurrected")]
    quarantine: bool,

    /// Take these keys as they are in the backup: what was revoked since is in force again
    #[arg(long)]
    accept_resurrected: bool,

    /// Go on although an audit chain in the backup does not hold
    #[arg(long)]
    accept_faults: bool,

    /// Print what was done as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    pub(super) settings: Settings,
}

/// Restores. Whatever stops it, the database is either what it was or wholly what it is to be.
pub(super) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let url = arguments.settings.database()?;
    match (&arguments.file, url) {
        (None, _) => in_place::run(arguments).await,
        (Some(backup), DatabaseUrl::Sqlite(database)) => {
            file::run(arguments, backup, &database).await
        }
        (Some(_), DatabaseUrl::Postgres(_)) => Err(Failed::usage(
            "PostgreSQL is restored by its own tools, such as pg_restore: do that first, with every \
             server stopped, and then run `tenmint restore --in-place`. docs/operations.md has \
             the procedure",
        )
        .into()),
    }
}

impl Arguments {
    fn unknown(&self) -> Option<Unknown> {
        match (self.quarantine, self.accept_resurrected) {
            (true, _) => Some(Unknown::Quarantine),
            (_, true) => Some(Unknown::Accept),
            _ => None,
        }
    }

    /// The settings, for an SQLite database in this file.
    fn settings_for(&self, database: &Path) -> Settings {
        Settings {
            database_url: format!("sqlite:{}", database.display()),
            ..self.settings.clone()
        }
    }
}
