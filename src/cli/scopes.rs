//! `tenmint scopes`: the catalogue of actions.

use clap::{Args, Subcommand};
use serde_json::json;
use ureq::http::Method;

use super::Failure;
use super::listing::{self, Paging};
use super::output;
use super::remote::With;
use super::table::Columns;

const COLUMNS: Columns = &[
    ("ACTION", "action"),
    ("DEFINED BY", "defined_by"),
    ("DESCRIPTION", "description"),
];

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// List the actions that scopes can name
    List(With<Paging>),
    /// Define an action, or describe it anew
    Define(With<Define>),
    /// Take an action out of the catalogue; scopes that name it stay as they are
    Remove(With<One>),
}

#[derive(Args, Debug)]
pub(super) struct One {
    action: String,
}

#[derive(Args, Debug)]
pub(super) struct Define {
    /// Such as chats.completion
    action: String,

    /// What it permits
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

impl Command {
    /// Runs the command to its end.
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Self::List(With { verb, remote }) => {
                listing::print(&remote.open()?, &["scopes"], &Vec::new(), verb, COLUMNS)
            }
            Self::Define(With { verb, remote }) => {
                let client = remote.open()?;
                let call = client.call(Method::PUT, &["scopes", &verb.action])?;
                let answer = call.body(json!({ "description": verb.description }));
                output::show(&client, &answer.send()?)
            }
            Self::Remove(With { verb, remote }) => {
                let client = remote.open()?;
                let call = client.call(Method::DELETE, &["scopes", &verb.action])?;
                call.send()?;
                output::done(&client, &format!("{} removed", verb.action))
            }
        }
    }
}
