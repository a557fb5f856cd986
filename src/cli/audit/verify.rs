//! `tenmint audit verify`.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::app::existing::existing;
use crate::cli::Failure;
use crate::domain::organization::OrganizationId;
use crate::manage::audit_verification::{Checkpoints, Keys, Known, Report, verify};
use crate::settings::Settings;

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// The organization whose entries to check [default: every one]
    #[arg(long, value_name = "ID")]
    organization: Option<OrganizationId>,

    /// A file of checkpoints or of an export (JSON Lines) that the entries must agree with
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,

    #[command(flatten)]
    pub(super) settings: Settings,
}

/// Says of each chain what was found, and fails if there is a fault in any.
pub(super) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let only = arguments.organization.as_ref().map(OrganizationId::as_str);
    let checkpoints = match &arguments.checkpoint {
        Some(path) => read(path, only).map_err(|why| format!("{}: {why}", path.display()))?,
        None => Checkpoints::default(),
    };
    let (store, crypto) = existing(&arguments.settings).await?;
    let (mut chains, mut faults) = (0_u64, 0_u64);
    let mut told = Ok(());
    let tell = |report: &Report| {
        chains += 1;
        faults += u64::from(report.fault.is_some());
        if let Err(why) = writeln!(io::stdout(), "{}", words(report)) {
            told = Err(why);
        }
    };
    let (keys, replacing) = Keys::of(&store, &crypto).await?;
    for root_key in replacing {
        eprintln!(
            "root key {root_key} is still being replaced: until `tenmint root-key rotate` has \
             finished, whoever has it can still rewrite what only it vouches for"
        );
    }
    verify(&store, &keys, only, &checkpoints, tell).await?;
    let rotated = faults > 0 && !keys.are_those_of(&store).await?;
    store.close().await;
    told?;
    match faults {
        0 => Ok(()),
        _ if rotated => Err("another root key became current meanwhile: run this again".into()),
        _ => Err(format!("{faults} of {chains} audit chains do not hold").into()),
    }
}

fn words(report: &Report) -> String {
    let (organization, verified) = (&report.organization, report.verified);
    match &report.fault {
        Some(fault) => format!("{organization}: {fault} ({verified} entries before it hold)"),
        None if report.erased > 0 => format!(
            "{organization}: verified {verified} entries, {} of them erased",
            report.erased
        ),
        None => format!("{organization}: verified {verified} entries"),
    }
}

/// What the file knows. That it knows nothing of what is asked is no proof, but a mistake.
fn read(path: &Path, only: Option<&str>) -> Result<Checkpoints, Failure> {
    let file = BufReader::new(File::open(path)?);
    let mut checkpoints = Checkpoints::default();
    for known in serde_json::Deserializer::from_reader(file).into_iter::<Known>() {
        checkpoints.extend([known?]);
    }
    if checkpoints.know(only) {
        Ok(checkpoints)
    } else {
        Err("there is no checkpoint of what is to be checked in this file".into())
    }
}
