//! `tenmint audit`: the audit log, for those who look after it.

mod events;
mod verify;

use clap::Subcommand;

use super::remote::{Nothing, With};
use super::{Failure, block_on, start_log};

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// List entries, newest first
    List(With<events::List>),
    /// Write entries as JSON Lines, oldest first, to be kept elsewhere
    Export(With<events::Export>),
    /// Print the head of the chain of entries, to be kept elsewhere
    Checkpoint(With<Nothing>),
    /// Check in the database that no audit entry was edited, put in, removed or cut off
    Verify(Box<verify::Arguments>),
}

impl Command {
    /// Runs the command to its end.
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Self::List(With { verb, remote }) => verb.run(&remote.open()?),
            Self::Export(With { verb, remote }) => verb.run(&remote.open()?),
            Self::Checkpoint(With { remote, .. }) => events::checkpoint(&remote.open()?),
            Self::Verify(arguments) => {
                let _log = start_log(&arguments.settings, Some("warn"))?;
                block_on(verify::run(arguments))
            }
        }
    }
}
