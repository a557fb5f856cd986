//! `tenmint doctor`: looks at a deployment, changes nothing, and says what to mend.

mod clock;
mod database;
mod erasures;
mod files;
mod finding;
mod issuers;
mod jwks;
mod keys;
mod postgres;
mod privileges;
mod proxies;
mod root_keys;
mod server;
mod tls;

use std::io::{self, Write};

use clap::Args;

use super::Failure;
use super::exit::{Exit, Failed};
use super::trust::Trust;
use crate::app::StartError;
use crate::app::existing::existing;
use crate::clock::Clock;
use crate::crypto::Crypto;
use crate::crypto::jose::provider;
use crate::settings::{Settings, SettingsError};
use crate::store::Store;

use finding::{Finding, Verdict};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Verify every audit chain whole, and all of an SQLite file; otherwise a quick look
    #[arg(long)]
    full: bool,

    /// Print the findings as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    trust: Trust,

    #[command(flatten)]
    pub(super) settings: Settings,
}

/// Says what was found, and fails if anything must be mended.
pub(super) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    provider::install();
    let findings = look(arguments).await;
    show(&findings, arguments.json)?;
    let problems = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Problem);
    match problems.count() {
        0 => Ok(()),
        1 => Err(Failed::new(Exit::Refused, "1 problem was found").into()),
        n => Err(Failed::new(Exit::Refused, format!("{n} problems were found")).into()),
    }
}

async fn look(arguments: &Arguments) -> Vec<Finding> {
    let settings = &arguments.settings;
    let mut findings = files::look(settings);
    findings.extend(tls::look(settings, Clock::system().now()));
    if let Err(why) = together(settings) {
        findings.push(Finding::problem("settings", why.to_string()));
    }
    match existing(settings).await {
        Ok((store, crypto)) => {
            let now = Clock::system().now();
            findings.push(root_keys::look(settings, &store, &crypto, now).await);
            findings.extend(look_inside(arguments, &store, crypto).await);
            store.close().await;
        }
        Err(why) => findings.push(broken(&why)),
    }
    findings.extend(proxies::look(settings));
    findings
}

/// Whether a server could use these settings together. The base URL is looked at elsewhere.
fn together(settings: &Settings) -> Result<(), SettingsError> {
    settings.schedule()?;
    if let Ok(base) = settings.base(settings.listen) {
        settings.audiences(&base)?;
    }
    Ok(())
}

async fn look_inside(arguments: &Arguments, store: &Store, crypto: Crypto) -> Vec<Finding> {
    let Arguments {
        settings,
        trust,
        full,
        ..
    } = arguments;
    let now = Clock::system().now();
    let mut findings = database::look(store, &crypto, *full).await;
    findings.extend(clock::look(store, settings.clock_skew, now).await);
    findings.push(erasures::look(store, now).await);
    findings.extend(postgres::look(store).await);
    findings.extend(privileges::look(store).await);
    let (of_keys, published) = keys::look(settings, store.clone(), crypto, now).await;
    findings.extend(of_keys);
    if let Ok(schedule) = settings.schedule() {
        findings.push(jwks::look(store, &schedule, now).await);
    }
    findings.extend(server::look(settings, trust, store, published, now).await);
    findings.extend(proxies::forwarding(settings, store, now).await);
    findings
}

/// Why there is nothing to look into.
fn broken(why: &StartError) -> Finding {
    let check = match why {
        StartError::Store(_) | StartError::NoDeployment(_) => "database",
        StartError::Settings(_) => "settings",
        _ => "root key",
    };
    Finding::problem(check, why.to_string())
}

fn show(findings: &[Finding], json: bool) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if json {
        let all = serde_json::json!({ "findings": findings });
        writeln!(out, "{all}")?;
        return Ok(out.flush()?);
    }
    let width = findings.iter().map(|finding| finding.check.len()).max();
    let width = width.unwrap_or_default();
    for Finding {
        check,
        verdict,
        text,
    } in findings
    {
        let verdict = verdict.as_str();
        writeln!(out, "{verdict:7}  {check:width$}  {text}")?;
    }
    Ok(out.flush()?)
}
