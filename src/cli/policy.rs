//! `tenmint policy`: what an organization bounds itself to, and what the operator bounds it to.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::Failure;
use super::client::Client;
use super::exit::Failed;
use super::output;
use super::remote::{Nothing, With};

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Show the organization and its policies
    Show(With<Nothing>),
    /// Set rules, or remove them
    Edit(With<Edit>),
}

#[derive(Args, Debug)]
pub(super) struct Edit {
    /// A rule and its value in JSON, such as max_key_lifetime_days=90; may be repeated
    #[arg(long, value_name = "RULE=VALUE")]
    set: Vec<String>,

    /// A rule to remove; may be repeated
    #[arg(long, value_name = "RULE")]
    clear: Vec<String>,

    /// The operator's policy for the organization, not its own
    #[arg(long, requires = "org")]
    operator: bool,
}

impl Command {
    /// Runs the command to its end.
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Show(With { remote, .. }) => {
                let client = remote.open()?;
                output::show(&client, &client.get(own(&client))?)
            }
            Self::Edit(With { verb, remote }) => verb.run(&remote.open()?),
        }
    }
}

impl Edit {
    fn run(&self, client: &Client) -> Result<(), Failure> {
        let mut rules = Map::new();
        for said in &self.set {
            let (rule, value) = said
                .split_once('=')
                .ok_or_else(|| Failed::usage("--set: write RULE=VALUE"))?;
            // What is no JSON is a text: a URI need not be quoted twice.
            let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
            rules.insert(rule.to_owned(), value);
        }
        for rule in &self.clear {
            rules.insert(rule.clone(), Value::Null);
        }
        if rules.is_empty() {
            return Err(Failed::usage("say what to change: see --help").into());
        }
        let policy = if self.operator {
            "operator_policy"
        } else {
            "policy"
        };
        let call = client.call(Method::PATCH, own(client))?;
        let answer = call.body(json!({ policy: rules })).send()?;
        output::show(client, &answer)
    }
}

/// One's own organization has a route of its own; another's is the operator's way in itself.
fn own(client: &Client) -> &'static [&'static str] {
    if client.reaches {
        &[]
    } else {
        &["organization"]
    }
}
