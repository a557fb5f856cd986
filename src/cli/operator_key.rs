//! `tenmint operator-key`.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;

use super::Failure;
use crate::app::{App, Role};
use crate::clock::Clock;
use crate::domain::api_key::Expiry;
use crate::domain::text::Name;
use crate::manage::first_start;
use crate::settings::Settings;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Print the key and nothing else
    #[arg(long)]
    quiet: bool,

    /// What to call the key
    #[arg(long, default_value = "operator")]
    name: String,

    /// How long the key is to live, such as 1h or 90d [default: until it is revoked]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    expires_in: Option<Duration>,

    #[command(flatten)]
    pub(super) settings: Settings,
}

/// Makes a key and prints it: the secret alone on standard output, words on standard error.
pub(super) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = &arguments.settings;
    let name = Name::new(&arguments.name).map_err(|why| format!("--name: {why}"))?;
    let base = settings.base(settings.listen)?;
    if arguments.expires_in.is_some_and(|span| span.as_secs() == 0) {
        return Err("--expires-in: write a duration of at least one second".into());
    }
    let clock = Clock::system();
    let expiry = arguments
        .expires_in
        .map(|span| Expiry::At(clock.now().plus(span)));
    let app = App::open(settings, base, clock, Role::Beside).await?;
    let created = first_start::operator_key(&app.management, name, expiry).await?;
    app.close().await;

    let mut out = io::stdout().lock();
    writeln!(out, "{}", created.secret.expose())?;
    out.flush()?;
    if !arguments.quiet {
        eprintln!(
            "made {} for the operator; its secret is the line above and is shown this once",
            created.key.id
        );
    }
    Ok(())
}
