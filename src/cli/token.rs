//! `tenmint token`: an exchange from a shell.

use std::io::{self, Write};

use clap::Args;

use super::Failure;
use super::exit::{Exit, Failed};
use super::fetch::{self, Client};
use super::trust::Trust;
use crate::domain::issuer::Issuer;
use crate::domain::organization::OrganizationId;

#[derive(Args, Debug)]
pub(super) struct Arguments {
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

    /// Ask this organization's issuer instead of the deployment's
    #[arg(long, value_name = "ID")]
    org: Option<OrganizationId>,

    /// Scopes, space-separated [default: all that the key holds]
    #[arg(long)]
    scope: Option<String>,

    /// Resource the token is for; may be repeated [default: the server's first audience]
    #[arg(long, value_name = "URI")]
    resource: Vec<String>,
}

/// Prints the token, and nothing else, on standard output.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let key = fetch::api_key()?;
    let base = fetch::base(&arguments.url)?;
    let issuer = arguments
        .org
        .clone()
        .map_or(Issuer::Deployment, Issuer::Organization);

    let mut form = vec![("grant_type", "client_credentials")];
    form.extend(arguments.scope.as_deref().map(|scope| ("scope", scope)));
    form.extend(arguments.resource.iter().map(|uri| ("resource", &**uri)));
    let url = format!("{}/oauth/token", issuer.name(&base));
    let answer = Client::new(&base, &arguments.trust)?.post_form(&url, &key, form)?;

    match (answer.status, answer.body["access_token"].as_str()) {
        (200, Some(token)) => {
            let mut out = io::stdout().lock();
            writeln!(out, "{token}")?;
            Ok(out.flush()?)
        }
        (status, _) => {
            let text = |member: &str| answer.body[member].as_str().unwrap_or("?").to_owned();
            let (error, description) = (text("error"), text("error_description"));
            let said = format!("refused with status {status}, {error}: {description}");
            Err(Failed::new(Exit::of_status(status), said).into())
        }
    }
}
