//! `tenmint roles`.

use clap::{Args, Subcommand};
use serde_json::{Map, json};
use ureq::http::Method;

use super::Failure;
use super::client::Client;
use super::confirm::Confirm;
use super::editing::{self, Change};
use super::listing::{self, Paging};
use super::output;
use super::remote::With;
use super::table::Columns;
use crate::domain::role::RoleName;

const COLUMNS: Columns = &[
    ("NAME", "name"),
    ("SCOPES", "scopes"),
    ("KEYS", "api_keys"),
    ("DESCRIPTION", "description"),
];

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// List roles
    List(With<Paging>),
    /// Show one
    Show(With<One>),
    /// Create one
    Create(With<Create>),
    /// Change one, and with it what every key that holds it may do
    Edit(With<Edit>),
    /// Delete one
    Delete(With<Delete>),
}

#[derive(Args, Debug)]
pub(super) struct One {
    name: RoleName,
}

#[derive(Args, Debug)]
pub(super) struct Create {
    /// Its name for good: lower-case letters, digits, - and _
    name: String,

    /// A scope it gives; may be repeated
    #[arg(long, required = true)]
    scope: Vec<String>,

    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct Edit {
    name: RoleName,

    /// A scope it gives, in place of all that it gave; may be repeated
    #[arg(long, conflicts_with_all = ["add_scope", "remove_scope"])]
    scope: Vec<String>,

    /// A scope to add; may be repeated
    #[arg(long, value_name = "SCOPE")]
    add_scope: Vec<String>,

    /// A scope to take away; may be repeated
    #[arg(long, value_name = "SCOPE")]
    remove_scope: Vec<String>,

    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// Let it have no description
    #[arg(long, conflicts_with = "description")]
    clear_description: bool,
}

#[derive(Args, Debug)]
pub(super) struct Delete {
    name: RoleName,

    /// Also from the keys that hold it
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    confirm: Confirm,
}

impl Command {
    /// Runs the command to its end.
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Self::List(With { verb, remote }) => {
                listing::print(&remote.open()?, &["roles"], &Vec::new(), verb, COLUMNS)
            }
            Self::Show(With { verb, remote }) => {
                let client = remote.open()?;
                output::show(&client, &client.get(&["roles", verb.name.as_str()])?)
            }
            Self::Create(With { verb, remote }) => verb.run(&remote.open()?),
            Self::Edit(With { verb, remote }) => verb.run(&remote.open()?),
            Self::Delete(With { verb, remote }) => verb.run(&remote.open()?),
        }
    }
}

impl Create {
    fn run(&self, client: &Client) -> Result<(), Failure> {
        let (name, scopes, description) = (&self.name, &self.scope, &self.description);
        let body = json!({ "name": name, "scopes": scopes, "description": description });
        let call = client.call(Method::POST, &["roles"])?;
        output::show(client, &call.body(body).send()?)
    }
}

impl Edit {
    fn run(&self, client: &Client) -> Result<(), Failure> {
        let mut body = Map::new();
        if !self.scope.is_empty() {
            body.insert("scopes".to_owned(), json!(self.scope));
        }
        if self.description.is_some() || self.clear_description {
            body.insert("description".to_owned(), json!(self.description));
        }
        let edit = editing::Edit {
            path: &["roles", self.name.as_str()],
            body,
            changes: vec![(
                "scopes",
                Change::scopes(&self.add_scope, &self.remove_scope)?,
            )],
            revision: None,
            dry_run: false,
        };
        output::show(client, &edit.send(client)?)
    }
}

impl Delete {
    fn run(&self, client: &Client) -> Result<(), Failure> {
        let name = &self.name;
        let from = if self.force {
            ", also from the keys that hold it"
        } else {
            ""
        };
        self.confirm
            .ask(|| format!("Delete the role {name}{from}?"))?;
        let call = client.call(Method::DELETE, &["roles", name.as_str()])?;
        call.query("force", self.force.then_some(true)).send()?;
        output::done(client, &format!("{name} deleted"))
    }
}
