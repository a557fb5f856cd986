//! Which server and which organization a command is for.

use clap::Args;

use super::client::Client;
use super::trust::Trust;
use super::{Failure, fetch};
use crate::domain::organization::OrganizationId;

/// Where the server is, and how to speak with it.
#[derive(Args, Debug)]
#[command(next_help_heading = "Server")]
pub(super) struct Server {
    /// Base URL of the server
    #[arg(
        long,
        env = "TENMINT_URL",
        hide_env_values = true,
        default_value = "http://127.0.0.1:8080"
    )]
    url: String,

    #[command(flatten)]
    trust: Trust,

    /// Which of your own users this is done for; the audit log keeps it
    #[arg(long, value_name = "USER")]
    acting_for: Option<String>,

    /// Print the server's JSON instead of tables and sentences
    #[arg(long)]
    json: bool,
}

/// The same, and the organization that is meant.
#[derive(Args, Debug)]
#[command(next_help_heading = "Server")]
pub(super) struct Remote {
    #[command(flatten)]
    server: Server,

    /// As operator: reach into this organization [default: the API key's own]
    #[arg(long, value_name = "ID")]
    org: Option<OrganizationId>,
}

/// Words of a command, and the server that it is for.
#[derive(Args, Debug)]
pub(super) struct With<T: Args> {
    #[command(flatten)]
    pub(super) verb: T,
    #[command(flatten)]
    pub(super) remote: Remote,
}

/// A command without words of its own.
#[derive(Args, Debug)]
pub(super) struct Nothing {}

impl Server {
    /// A client for routes that name their organization themselves.
    pub(super) fn open(&self) -> Result<Client, Failure> {
        self.client(None)
    }

    fn client(&self, organization: Option<&OrganizationId>) -> Result<Client, Failure> {
        let base = fetch::base(&self.url)?;
        let acting_for = self.acting_for.as_deref();
        let trust = &self.trust;
        Ok(Client::new(
            &base,
            trust,
            organization,
            acting_for,
            self.json,
        )?)
    }
}

impl Remote {
    /// A client for routes of the organization that is meant.
    pub(super) fn open(&self) -> Result<Client, Failure> {
        self.server.client(self.org.as_ref())
    }
}
