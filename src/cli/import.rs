//! `tenmint import`: API keys that another system gave out, with the strings that customers have.

mod ahead;
mod fields;
mod kept;
mod lines;
mod rejects;
mod row;
mod teller;
mod unique;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::Failure;
use super::exit::{self, Exit};
use crate::app::existing::require_deployment;
use crate::app::{App, Role};
use crate::clock::Clock;
use crate::domain::organization::OrganizationId;
use crate::manage::api_keys::import::{self, Failed};
use crate::settings::Settings;

use ahead::Ahead;
use lines::Lines;
use rejects::Rejects;
use teller::Teller;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Into which organization
    #[arg(long, value_name = "ID")]
    org: OrganizationId,

    /// One JSON object a line; see docs/import.md
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Where to write which lines were refused, and why [default: FILE.rejects.jsonl]
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,

    #[command(flatten)]
    pub(super) settings: Settings,
}

/// Imports a file, from where an import of it that was broken off left it. A file of something else,
/// or a database where nothing is, is refused before anything is made.
pub(super) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let organization = &arguments.org;
    if organization.is_operator() {
        return Err("keys of the operator are made, not imported: see operator-key".into());
    }
    let mut lines = Lines::open(&arguments.file)?;
    lines.require_objects()?;
    let settings = &arguments.settings;
    require_deployment(settings).await?;
    let base = settings.base(settings.listen)?;
    let app = App::open(settings, base, Clock::system(), Role::Beside).await?;
    let management = &app.management;
    import::make_room(management).await?;
    let known = import::progress(management, organization, &lines.digest).await?;
    let mut done = known.unwrap_or_default();
    if done.lines > 0 {
        eprintln!("goes on behind line {}", done.lines);
    }
    let rejects = arguments.rejects.clone();
    let rejects = rejects.unwrap_or_else(|| beside(&arguments.file));
    let mut rejects = Rejects::open(rejects, done.lines)?;
    lines.skip(done.lines)?;

    let teller = Teller::new(lines.count, done);
    let (file, count) = (lines.digest.clone(), lines.count);
    let mut ahead = Ahead::read(Arc::clone(management), lines, done.lines);
    while done.lines < count {
        let batch = ahead.next().await?;
        let told = import::import(management, organization, &file, done, batch, |rejected| {
            rejects.write(rejected)
        });
        done = told.await.map_err(say)?;
        teller.tell(done);
    }
    teller.end(done);
    app.close().await;
    if done.rejected == 0 {
        return Ok(());
    }
    let refused = format!("{} of {count} lines were refused", done.rejected);
    let refused = match rejects.written() {
        Some(path) => format!("{refused}; which and why: {}", path.display()),
        // They were refused before, and that is told elsewhere, if it still is anywhere.
        None => format!(
            "{refused} when they were imported; the file that said which and why is not {}",
            rejects.path().display()
        ),
    };
    Err(exit::Failed::new(Exit::Partly, refused).into())
}

fn say(failed: Failed) -> Failure {
    match failed {
        Failed::Refused(refusal) => format!("{refusal}; nothing is lost: begin again").into(),
        other => other.to_string().into(),
    }
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".rejects.jsonl");
    name.into()
}
