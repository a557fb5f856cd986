//! `tenmint audit`: the audit log, for those who look after it.

mod verify;

use clap::Subcommand;

use super::{Failure, block_on, start_log};

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Check that no audit entry was edited, put in, removed or cut off
    Verify(verify::Arguments),
}

impl Command {
    /// Runs the command to its end.
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Verify(arguments) => {
                let _log = start_log(&arguments.settings, Some("warn"))?;
                block_on(verify::run(arguments))
            }
        }
    }
}
