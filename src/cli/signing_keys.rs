//! `tenmint signing-keys`: what an issuer signs with, and what it signed with before.

mod import;
mod revoke;
mod rotate;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::Failure;
use super::client::Client;
use super::listing::{self, Paging};
use super::output;
use super::remote::With;
use super::table::Columns;
use crate::domain::signing_key::Kid;

const COLUMNS: Columns = &[
    ("KID", "kid"),
    ("STATUS", "status"),
    ("ALG", "alg"),
    ("PUBLISHED", "published_at"),
    ("SIGNS FROM", "activates_at"),
    ("ROTATES", "rotates_at"),
    ("RETIRES", "retires_at"),
    ("STANDS IN FOR", "stands_in_for"),
];

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// List signing keys, the newest first, whatever became of them
    List(With<Paging>),
    /// Show one
    Show(With<One>),
    /// Publish the next one, which signs after the lead; or sign with it at once
    Rotate(With<rotate::Rotate>),
    /// Withdraw one for good, as when it leaked; if it signs, another takes its place at once
    Revoke(With<revoke::Revoke>),
    /// Bring a private key that another issuer signed with, as operator
    Import(With<import::Import>),
}

#[derive(Args, Debug)]
pub(super) struct One {
    // One in 64 begins with a hyphen.
    #[arg(allow_hyphen_values = true)]
    kid: Kid,
}

impl Command {
    /// Runs the command to its end.
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Self::List(With { verb, remote }) => {
                let (client, none) = (remote.open()?, Vec::new());
                listing::print(&client, &["signing-keys"], &none, verb, COLUMNS)
            }
            Self::Show(With { verb, remote }) => {
                let client = remote.open()?;
                output::show(&client, &client.get(&verb.path())?)
            }
            Self::Rotate(With { verb, remote }) => verb.run(&remote.open()?),
            Self::Revoke(With { verb, remote }) => verb.run(&remote.open()?),
            Self::Import(With { verb, remote }) => verb.run(&remote.open()?),
        }
    }
}

impl One {
    fn path(&self) -> [&str; 2] {
        ["signing-keys", self.kid.as_str()]
    }

    /// What the key is for at present; `None` when that cannot be read: whoever may rotate keys
    /// may not always read them.
    fn status(&self, client: &Client) -> Option<String> {
        let key: Value = client.get(&self.path()).ok()?.read().ok()?;
        Some(key["status"].as_str()?.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    #[test]
    fn a_kid_may_begin_as_a_flag_does() {
        for kid in [
            "-json6Ih_lLd-OJCHDkzSOyP2RmFQpzw0SrKWDrA2wI",
            "--yes6Ih_lLd-OJCHDkzSOyP2RmFQpzw0SrKWDrA2wI",
            "-h",
        ] {
            for flags in [&["show", kid, "--json"], &["revoke", "--yes", kid]] {
                let line = Line::try_parse_from([&["tenmint"], &flags[..]].concat());
                let seen = match line.map(|line| line.command) {
                    Ok(Command::Show(with)) => with.verb.kid.to_string(),
                    Ok(Command::Revoke(with)) => with.verb.kid().to_string(),
                    // Help is help, and no kid of tenmint's own is as short.
                    Err(error) if kid == "-h" => {
                        assert_eq!(error.kind(), clap::error::ErrorKind::DisplayHelp);
                        continue;
                    }
                    other => panic!("{flags:?}: {other:?}"),
                };
                assert_eq!(seen, kid);
            }
        }
    }
}
