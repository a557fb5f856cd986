//! `tenmint import`: API keys that another system gave out, with the strings that customers have.

mod rejects;
mod row;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;
use ring::digest;
use zeroize::Zeroizing;

use super::{Failure, progress};
use crate::app::{App, Role};
use crate::clock::Clock;
use crate::domain::hex::hex;
use crate::domain::organization::OrganizationId;
use crate::manage::api_keys::import::{self, Batch, Failed, Progress, Rejected};
use crate::settings::Settings;

use rejects::Rejects;

/// Lines that are imported together.
const BATCH: u64 = 500;

/// Longest line, in bytes.
const LONGEST_LINE: u64 = 64 * 1024;

/// How often somebody who sees no bar is told how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(10);

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

/// Imports a file, from where an import of it that was broken off left it.
pub(super) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let organization = &arguments.org;
    if organization.is_operator() {
        return Err("keys of the operator are made, not imported: see operator-key".into());
    }
    let mut lines = Lines::open(&arguments.file)?;
    let settings = &arguments.settings;
    let base = settings.base(settings.listen)?;
    let app = App::open(settings, base, Clock::system(), Role::Beside).await?;
    let management = &app.management;
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
    while done.lines < lines.count {
        let mut batch = Batch {
            file: &lines.digest.clone(),
            rows: Vec::new(),
            rejected: Vec::new(),
            lines: done.lines,
            last: false,
        };
        while batch.lines < lines.count && batch.lines - done.lines < BATCH {
            batch.lines += 1;
            let line = batch.lines;
            match lines.next()? {
                Line::Blank => {}
                Line::TooLong => batch.rejected.push(Rejected {
                    line,
                    reason: format!("the line is longer than {LONGEST_LINE} bytes"),
                }),
                Line::Text(text) => match row::read(line, &text) {
                    Ok(row) => batch.rows.push(row),
                    Err(reason) => batch.rejected.push(Rejected { line, reason }),
                },
            }
        }
        batch.last = batch.lines == lines.count;
        let told = import::import(management, organization, done, batch, |rejected| {
            rejects.write(rejected)
        });
        done = told.await.map_err(say)?;
        teller.tell(done);
    }
    teller.end(done, &rejects);
    app.close().await;
    Ok(())
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

/// A file, line by line, and never more of it in memory.
struct Lines {
    reader: BufReader<File>,
    digest: String,
    count: u64,
}

enum Line {
    Blank,
    TooLong,
    Text(Zeroizing<String>),
}

impl Lines {
    /// Reads the file once, so that it is known by its content and by its length.
    fn open(path: &Path) -> Result<Self, Failure> {
        let cannot = |why: io::Error| format!("cannot read {}: {why}", path.display());
        let mut file = File::open(path).map_err(cannot)?;
        let mut context = digest::Context::new(&digest::SHA256);
        let mut buffer = Zeroizing::new(vec![0; 64 * 1024]);
        let (mut count, mut ends_open) = (0, false);
        loop {
            let read = file.read(&mut buffer).map_err(cannot)?;
            let Some(last) = buffer[..read].last() else {
                break;
            };
            ends_open = *last != b'\n';
            context.update(&buffer[..read]);
            count += buffer[..read].split(|byte| *byte == b'\n').count() as u64 - 1;
        }
        io::Seek::rewind(&mut file).map_err(cannot)?;
        Ok(Self {
            reader: BufReader::new(file),
            digest: hex(context.finish().as_ref()),
            count: count + u64::from(ends_open),
        })
    }

    fn skip(&mut self, lines: u64) -> Result<(), Failure> {
        for _ in 0..lines {
            self.reader.skip_until(b'\n')?;
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Line, Failure> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(1024));
        let mut bounded = (&mut self.reader).take(LONGEST_LINE);
        bounded.read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Err("the file became shorter while it was read: begin again".into());
        }
        if bytes.len() as u64 == LONGEST_LINE && bytes.last() != Some(&b'\n') {
            self.reader.skip_until(b'\n')?;
            return Ok(Line::TooLong);
        }
        // What is no UTF-8 is no JSON: it is refused as such.
        let text = std::str::from_utf8(&bytes).map_or("\u{fffd}", str::trim);
        if text.is_empty() {
            return Ok(Line::Blank);
        }
        Ok(Line::Text(Zeroizing::new(text.to_owned())))
    }
}

/// Tells how far it is: a bar on a terminal, a line now and then elsewhere.
struct Teller {
    bar: ProgressBar,
    count: u64,
    began: Instant,
    began_at: u64,
    told: std::cell::Cell<Instant>,
}

impl Teller {
    fn new(count: u64, done: Progress) -> Self {
        let bar = progress::bar(usize::try_from(count).unwrap_or(usize::MAX));
        bar.set_position(done.lines);
        Self {
            bar,
            count,
            began: Instant::now(),
            began_at: done.lines,
            told: std::cell::Cell::new(Instant::now()),
        }
    }

    fn tell(&self, done: Progress) {
        self.bar.set_position(done.lines);
        if self.bar.is_hidden() && self.told.get().elapsed() >= TOLD_EVERY {
            self.told.set(Instant::now());
            eprintln!("{} of {} lines", done.lines, self.count);
        }
    }

    fn end(&self, done: Progress, rejects: &Rejects) {
        self.bar.finish_and_clear();
        let took = self.began.elapsed().as_millis().max(1);
        let rate = u128::from(done.lines - self.began_at) * 1_000 / took;
        eprintln!(
            "{} keys imported, {} lines refused of {}; {rate} lines a second",
            done.imported, done.rejected, self.count
        );
        if done.rejected > 0 {
            eprintln!("which and why: {}", rejects.path().display());
        }
    }
}
