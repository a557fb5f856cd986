//! The command line: thin commands over what the library does.

#![allow(clippy::print_stderr, reason = "this room talks to a person")]

mod audit;
mod backup;
mod client;
mod confirm;
mod doctor;
mod editing;
mod exit;
mod fetch;
mod import;
mod inspect;
mod keys;
mod listing;
mod migrate;
mod migration;
mod operator_key;
mod orgs;
mod output;
mod policy;
mod problem;
mod progress;
mod quickstart;
mod remote;
mod restore;
mod roles;
mod root_key;
mod scopes;
mod serve;
mod signing_keys;
mod table;
mod token;
mod trust;
mod usage;

use std::io::{self, Write};

use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub use exit::exit_code;
use remote::With;

use crate::domain::secret::contains_api_key;
use crate::settings::{LogFormat, Settings};
use crate::telemetry::{self, Log, Traced};

/// tenmint exchanges long-lived API keys for short-lived signed tokens
#[derive(Parser, Debug)]
#[command(version, propagate_version = true, max_term_width = 100, after_help = after_help())]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Secrets are taken from the environment alone, never from flags:
  TENMINT_API_KEY   the API key that `tenmint token` exchanges, and that manages
  TENMINT_ROOT_KEY  the root keys themselves, instead of the file ROOT_KEY_FILE (discouraged)";

#[derive(Subcommand, Debug)]
enum Command {
    /// Serve; sets up an empty deployment first, and never prints a secret
    Serve(Settings),
    /// Set everything up, serve, and print commands that fetch and validate a token
    Quickstart(quickstart::Arguments),
    /// Bring the database to what this version needs
    Migrate(Settings),
    /// Copy an SQLite database to a file, also while a server runs
    Backup(backup::Arguments),
    /// Put a backup in place of an SQLite database, or bring a restored one up to date
    Restore(Box<restore::Arguments>),
    /// Look at a deployment, also while a server runs, and say what to mend
    Doctor(doctor::Arguments),
    /// Make an API key of the operator and print it; works beside a running server
    OperatorKey(operator_key::Arguments),
    /// Import API keys that another system gave out, with the strings that customers have
    #[command(after_help = exit::HELP)]
    Import(import::Arguments),
    /// Replace the root key, and look after those that were replaced; works beside a running server
    #[command(subcommand, after_help = exit::HELP)]
    RootKey(root_key::Command),
    /// Manage organizations, as operator
    #[command(subcommand, after_help = exit::HELP)]
    Orgs(orgs::Command),
    /// Manage API keys
    #[command(subcommand, after_help = exit::HELP)]
    Keys(keys::Command),
    /// Manage roles: named sets of scopes
    #[command(subcommand, after_help = exit::HELP)]
    Roles(roles::Command),
    /// Manage the actions that scopes can name
    #[command(subcommand, after_help = exit::HELP)]
    Scopes(scopes::Command),
    /// Manage signing keys: what an issuer signs with
    #[command(subcommand, after_help = exit::HELP)]
    SigningKeys(signing_keys::Command),
    /// Show and edit what an organization may do with its keys
    #[command(subcommand, after_help = exit::HELP)]
    Policy(policy::Command),
    /// Show what keys are used for
    #[command(after_help = exit::HELP)]
    Usage(With<usage::Usage>),
    /// Show which keys services are still shown, and which are ready for tokens alone
    #[command(after_help = exit::HELP)]
    Migration(With<migration::Migration>),
    /// Show which requests were refused lately, and why in truth
    #[command(after_help = exit::HELP)]
    Refusals(With<usage::Refusals>),
    /// Read the audit log, and look after it
    #[command(subcommand, after_help = exit::HELP)]
    Audit(audit::Command),
    /// Exchange the API key in TENMINT_API_KEY for a token and print it
    Token(token::Arguments),
    /// Explain an API key or a token, offline, without repeating secrets
    Inspect(inspect::Arguments),
    /// Print completions for a shell
    Completions {
        /// bash, zsh, fish, powershell or elvish
        shell: clap_complete::Shell,
    },
}

fn after_help() -> String {
    format!("{AFTER_HELP}\n\n{}", exit::HELP)
}

/// The whole command line, for whoever documents it.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// What a command fails with: a sentence for the person at the terminal.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Reads the command line; exits of clap's own (`--help`, a bad flag) are its to make.
///
/// # Errors
/// What clap has to say.
pub fn parse() -> Result<Cli, clap::Error> {
    let matches = Cli::command().try_get_matches().map_err(without_secret)?;
    let mut command = &matches;
    while let Some((_, inner)) = command.subcommand() {
        command = inner;
    }
    if matches!(command.try_contains_id("database_url"), Ok(true))
        && command.value_source("database_url") == Some(ValueSource::CommandLine)
        && command
            .get_one::<String>("database_url")
            .is_some_and(|url| has_password(url))
    {
        return Err(Cli::command().error(
            clap::error::ErrorKind::ValueValidation,
            "the process list shows flags, and this database URL holds a password: put the URL \
             into TENMINT_DATABASE_URL instead, and change the password",
        ));
    }
    Cli::from_arg_matches(&matches)
}

impl Cli {
    /// Runs the command to its end.
    ///
    /// # Errors
    /// What to tell the person at the terminal.
    pub fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Serve(settings) => {
                let _log = start_log(&settings, None)?;
                block_on(serve::run(&settings))
            }
            Command::Quickstart(arguments) => {
                let _log = start_log(&arguments.settings, Some("warn"))?;
                block_on(quickstart::run(&arguments))
            }
            Command::Migrate(settings) => {
                let _log = start_log(&settings, None)?;
                block_on(migrate::run(&settings))
            }
            Command::Backup(arguments) => {
                let _log = start_log(&arguments.settings, Some("warn"))?;
                block_on(backup::run(&arguments))
            }
            Command::Restore(arguments) => {
                let _log = start_log(&arguments.settings, Some("warn"))?;
                block_on(restore::run(&arguments))
            }
            Command::Doctor(arguments) => {
                let _log = start_log(&arguments.settings, Some("error"))?;
                block_on(doctor::run(&arguments))
            }
            Command::OperatorKey(arguments) => {
                let _log = start_log(&arguments.settings, Some("warn"))?;
                block_on(operator_key::run(&arguments))
            }
            Command::Import(arguments) => {
                let _log = start_log(&arguments.settings, Some("warn"))?;
                block_on(import::run(&arguments))
            }
            Command::RootKey(command) => {
                let _log = start_log(command.settings(), Some("error"))?;
                block_on(command.run())
            }
            Command::Orgs(command) => command.run(),
            Command::Keys(command) => command.run(),
            Command::Roles(command) => command.run(),
            Command::Scopes(command) => command.run(),
            Command::SigningKeys(command) => command.run(),
            Command::Policy(command) => command.run(),
            Command::Usage(With { verb, remote }) => verb.run(&remote.open()?),
            Command::Migration(With { verb, remote }) => verb.run(&remote.open()?),
            Command::Refusals(With { verb, remote }) => verb.run(&remote.open()?),
            Command::Audit(command) => command.run(),
            Command::Token(arguments) => token::run(&arguments),
            Command::Inspect(arguments) => inspect::run(&arguments),
            Command::Completions { shell } => completions(shell),
        }
    }
}

/// clap repeats what it refuses, and that may be a secret in the wrong place.
fn without_secret(error: clap::Error) -> clap::Error {
    if !contains_api_key(&error.to_string()) {
        return error;
    }
    Cli::command().error(
        clap::error::ErrorKind::ValueValidation,
        "an argument holds an API key, which the process list and the shell's history now show: \
         revoke that key, and put its successor into TENMINT_API_KEY",
    )
}

/// Written whole or not at all: what cannot be written must not pass for a set of completions.
fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tenmint", &mut text);
    let mut out = io::stdout().lock();
    out.write_all(&text)?;
    Ok(out.flush()?)
}

/// Starts the log. Commands that talk to a person are quieter, unless told otherwise.
fn start_log(settings: &Settings, quieter: Option<&str>) -> Result<Log, Failure> {
    let json = match settings.log_format {
        LogFormat::Auto => None,
        LogFormat::Text => Some(false),
        LogFormat::Json => Some(true),
    };
    let filter = match (settings.log.as_str(), quieter) {
        ("info", Some(quieter)) => quieter,
        (asked, _) => asked,
    };
    // Only who serves has requests to tell of.
    let traced = match quieter {
        None => Traced::To(settings.otlp_endpoint.as_deref()),
        Some(_) => Traced::Nowhere,
    };
    Ok(telemetry::start(filter, json, traced)?)
}

fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

fn has_password(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| {
        url.password().is_some() || url.query_pairs().any(|(name, _)| name == "password")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_secret_has_a_flag() {
        let mut commands: Vec<_> = Cli::command().get_subcommands().cloned().collect();
        while let Some(command) = commands.pop() {
            commands.extend(command.get_subcommands().cloned());
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                let secret = ["secret", "password"].iter().any(|word| id.contains(word))
                    || id == "api_key"
                    || id == "root_key";
                assert!(!secret, "{} has --{id}", command.get_name());
            }
        }
    }

    #[test]
    fn a_password_in_a_database_url_is_seen_in_both_places() {
        assert!(has_password("postgres://u:p@h/d"));
        assert!(has_password("postgres://u@h/d?password=p"));
        assert!(!has_password("postgres://u@h/d"));
        assert!(!has_password("sqlite:data/t.db"));
    }
}
