//! A question before what cannot be undone.

use std::io::{self, BufRead, IsTerminal};

use clap::Args;

use super::exit::{Exit, Failed};
use super::output::visible;

/// How a command that cannot be undone is told to go on.
#[derive(Args, Debug)]
pub(super) struct Confirm {
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Confirm {
    /// Asks, unless told not to. `what` is only called where somebody will read it.
    ///
    /// # Errors
    /// When nobody can be asked, or the answer is not yes.
    pub(super) fn ask(&self, what: impl FnOnce() -> String) -> Result<(), Failed> {
        self.possible()?;
        if self.yes {
            return Ok(());
        }
        eprint!(
            "{} This cannot be undone. Write yes to go on: ",
            visible(&what())
        );
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        match read {
            Ok(_) if line.trim().eq_ignore_ascii_case("yes") => Ok(()),
            _ => Err(Failed::new(Exit::Refused, "nothing was done")),
        }
    }

    /// Whether somebody is going to be asked.
    pub(super) const fn asks(&self) -> bool {
        !self.yes
    }

    /// Whether there is anybody to ask, or no need to.
    ///
    /// # Errors
    /// When there is not.
    pub(super) fn possible(&self) -> Result<(), Failed> {
        if self.yes || (io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Ok(());
        }
        Err(Failed::usage(
            "this cannot be undone, and there is no terminal to ask: give --yes to do it",
        ))
    }
}
