//! `tenmint orgs`: organizations, for the operator.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::Failure;
use super::client::Client;
use super::confirm::Confirm;
use super::listing::{self, Paging};
use super::output;
use super::remote::Server;
use super::table::Columns;
use crate::domain::organization::OrganizationId;

const COLUMNS: Columns = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("STATUS", "status"),
    ("CREATED", "created_at"),
    ("BOOTSTRAPPED", "bootstrapped_at"),
];

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// List organizations
    List(At<Paging>),
    /// Show one
    Show(At<One>),
    /// Create one; bootstrap it next
    Create(At<Create>),
    /// Rename one
    Edit(At<Edit>),
    /// Let none of its keys do anything, until it is resumed
    Suspend(At<One>),
    /// Let its keys work again
    Resume(At<One>),
    /// Give it a signing key and its first management key, whose secret is shown once
    Bootstrap(At<Bootstrap>),
    /// Delete one
    Delete(At<Delete>),
}

/// Words of a command, and the server that it is for.
#[derive(Args, Debug)]
pub(super) struct At<T: Args> {
    #[command(flatten)]
    verb: T,
    #[command(flatten)]
    server: Server,
}

#[derive(Args, Debug)]
pub(super) struct One {
    id: OrganizationId,
}

#[derive(Args, Debug)]
pub(super) struct Create {
    /// Its id for good: lower-case letters, digits, - and _ [default: a generated one]
    id: Option<String>,

    /// What people call it [default: its id]
    #[arg(long)]
    name: Option<String>,

    /// Done once under this key, however often it is sent
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct Edit {
    id: OrganizationId,

    /// What people call it
    #[arg(long)]
    name: String,
}

#[derive(Args, Debug)]
pub(super) struct Bootstrap {
    id: OrganizationId,

    /// How it signs: ES256, EdDSA or RS256 [default: ES256]
    #[arg(long)]
    alg: Option<String>,

    /// The size of an RS256 key: 2048, 3072 or 4096 [default: 2048]
    #[arg(long, value_name = "BITS")]
    rsa_bits: Option<u32>,

    /// Revoke its management key and make another, as when the secret is lost
    #[arg(long)]
    reissue: bool,

    /// Print the secret and nothing else
    #[arg(long, conflicts_with = "json")]
    quiet: bool,

    /// Done once under this key, however often it is sent
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,

    #[command(flatten)]
    confirm: Confirm,
}

#[derive(Args, Debug)]
pub(super) struct Delete {
    id: OrganizationId,

    /// Also when it still has keys
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    confirm: Confirm,
}

/// What a bootstrap answers.
#[derive(Deserialize)]
struct Bootstrapped {
    signing_key: Value,
    management_key: Option<Made>,
}

#[derive(Deserialize)]
struct Made {
    id: String,
    secret: Option<String>,
    secret_hint: Option<String>,
}

impl Command {
    /// Runs the command to its end.
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Self::List(At { verb, server }) => {
                let (client, none) = (server.open()?, Vec::new());
                listing::print(&client, &["organizations"], &none, verb, COLUMNS)
            }
            Self::Show(At { verb, server }) => {
                let client = server.open()?;
                output::show(&client, &client.get(&at(&verb.id))?)
            }
            Self::Create(At { verb, server }) => verb.run(&server.open()?),
            Self::Edit(At { verb, server }) => {
                let client = server.open()?;
                let call = client.call(Method::PATCH, &at(&verb.id))?;
                let answer = call.body(json!({ "name": verb.name })).send()?;
                output::show(&client, &answer)
            }
            Self::Suspend(At { verb, server }) => {
                verb.switch(&server.open()?, "suspend", "suspended")
            }
            Self::Resume(At { verb, server }) => verb.switch(&server.open()?, "resume", "resumed"),
            Self::Bootstrap(At { verb, server }) => verb.run(&server.open()?),
            Self::Delete(At { verb, server }) => verb.run(&server.open()?),
        }
    }
}

impl One {
    fn switch(&self, client: &Client, verb: &str, done: &str) -> Result<(), Failure> {
        let answer = client.post(&["organizations", self.id.as_str(), verb])?;
        output::told(client, &answer, &format!("{} {done}", self.id))
    }
}

impl Create {
    fn run(&self, client: &Client) -> Result<(), Failure> {
        let mut body = Map::new();
        body.extend(self.id.as_ref().map(|id| ("id".to_owned(), json!(id))));
        body.extend(
            self.name
                .as_ref()
                .map(|name| ("name".to_owned(), json!(name))),
        );
        let answer = client
            .call(Method::POST, &["organizations"])?
            .header("idempotency-key", self.idempotency_key.as_ref())
            .body(Value::Object(body))
            .send()?;
        output::show(client, &answer)
    }
}

impl Bootstrap {
    fn run(&self, client: &Client) -> Result<(), Failure> {
        if self.reissue {
            let id = &self.id;
            self.confirm
                .ask(|| format!("Revoke the management key of {id} and make another?"))?;
        }
        let mut body = Map::new();
        body.extend(self.alg.as_ref().map(|alg| ("alg".to_owned(), json!(alg))));
        body.extend(
            self.rsa_bits
                .map(|bits| ("rsa_bits".to_owned(), json!(bits))),
        );
        if self.reissue {
            body.insert("reissue".to_owned(), json!(true));
        }
        let answer = client
            .call(
                Method::POST,
                &["organizations", self.id.as_str(), "bootstrap"],
            )?
            .header("idempotency-key", self.idempotency_key.as_ref())
            .body(Value::Object(body))
            .send()?;
        if client.json {
            return output::json(&answer);
        }
        let done: Bootstrapped = answer.read()?;
        let signing = output::cell(&done.signing_key["kid"]);
        let Some(key) = done.management_key else {
            eprintln!("{} signs with {signing}", self.id);
            return Ok(());
        };
        let id = output::visible(&key.id);
        let words = format!("{} signs with {signing} and is managed with {id}", self.id);
        // Bootstrapped before: nothing went wrong, unless somebody waits for the secret.
        if key.secret.is_none() && !self.quiet {
            eprintln!("{words}; its secret was shown once, and --reissue makes another");
            return Ok(());
        }
        let hint = key.secret_hint.as_deref().unwrap_or(
            "it was bootstrapped before, and its management key's secret shown then: --reissue \
             makes another",
        );
        let words = format!("{words}; its secret is the line on standard output, shown this once");
        output::secret(key.secret, Some(hint), &words, self.quiet)
    }
}

impl Delete {
    fn run(&self, client: &Client) -> Result<(), Failure> {
        let id = &self.id;
        self.confirm
            .ask(|| format!("Delete the organization {id}, with all that is its?"))?;
        let call = client.call(Method::DELETE, &at(id))?;
        call.query("force", self.force.then_some(true)).send()?;
        output::done(client, &format!("{id} deleted"))
    }
}

fn at(id: &OrganizationId) -> [&str; 2] {
    ["organizations", id.as_str()]
}
