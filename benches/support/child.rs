//! A server in a process of its own, so that what it uses is measured apart from the load.
//!
//! The process is this bench again, told to serve. It reads lines from standard input, answers
//! each with a line, and ends when its input does: also when the bench is killed.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child as Process, ChildStdin, ChildStdout, Command, Stdio};

use super::{Failure, bare, tenmint};

/// The argument that makes this program a server.
pub const SERVE: &str = "--serve";

/// A running server.
pub struct Child {
    /// Where it listens.
    pub address: SocketAddr,
    process: Process,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    log: PathBuf,
}

/// Where a server keeps what lasts.
pub struct Place<'a> {
    /// For its files.
    pub folder: &'a Path,
    /// What tenmint takes as `DATABASE_URL`; an SQLite file in the folder unless given.
    pub database_url: Option<&'a str>,
    /// Further settings of tenmint's, as environment variables.
    pub settings: &'a [(&'a str, &'a str)],
}

impl<'a> Place<'a> {
    /// On SQLite, with the settings that are there by themselves.
    pub const fn of(folder: &'a Path) -> Self {
        Self {
            folder,
            database_url: None,
            settings: &[],
        }
    }

    /// What tenmint takes as `DATABASE_URL`.
    pub fn url(&self) -> String {
        self.database_url.map_or_else(
            || format!("sqlite:{}", self.folder.join("tenmint.db").display()),
            str::to_owned,
        )
    }
}

impl Child {
    /// Starts this program as a server, `under` another that watches it unless that is empty.
    #[expect(
        clippy::disallowed_methods,
        reason = "the child inherits no variable at all"
    )]
    pub fn start(which: &str, place: &Place<'_>, under: &[String]) -> Result<Self, Failure> {
        let program = std::env::current_exe()?.into_os_string();
        let mut line = under.iter().map(Into::into).chain([program]);
        let mut command = Command::new(line.next().unwrap_or_default());
        let in_folder = |name: &str| place.folder.join(name);
        let log = in_folder(&format!("{which}.log"));
        let mut process = command
            .args(line)
            .args([SERVE, which])
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("TENMINT_ROOT_KEY_FILE", in_folder("root.key"))
            .env("TENMINT_DATABASE_URL", place.url())
            .envs(place.settings.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()?;
        let input = process.stdin.take();
        let output = process.stdout.take().ok_or("a child has an output")?;
        let mut child = Self {
            address: SocketAddr::from(([0; 4], 0)),
            process,
            input,
            output: BufReader::new(output),
            log,
        };
        child.address = child.line()?.parse()?;
        Ok(child)
    }

    /// Tells the server something, and waits for its answer.
    pub fn tell(&mut self, line: &str) -> Result<String, Failure> {
        let input = self.input.as_mut().ok_or("the server was stopped")?;
        writeln!(input, "{line}")?;
        self.line()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Stops it, and waits until it has ended.
    pub fn stop(&mut self) -> io::Result<()> {
        drop(self.input.take());
        self.process.wait().map(drop)
    }

    /// What it has written on standard error.
    pub fn log(&self) -> io::Result<String> {
        fs::read_to_string(&self.log)
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        if line.is_empty() {
            let log = self.log().unwrap_or_default();
            return Err(format!("a server ended early:\n{log}").into());
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// Behind the name of a server: with as many threads for requests as there are cores, as `tenmint
/// serve` has them.
const WHOLE: &str = "-whole";

/// What this program does as a server.
pub fn serve(which: &str) -> Result<(), Failure> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let which = match which.strip_suffix(WHOLE) {
        Some(which) => which,
        None => {
            // One thread for requests, as many as the load has: rates are those of one core.
            runtime.worker_threads(1);
            which
        }
    };
    let runtime = runtime.enable_all().build()?;
    let mut lines = io::stdin().lines();
    let listener =
        runtime.block_on(async { ::tenmint::serve::bind((Ipv4Addr::LOCALHOST, 0).into()) })?;
    say(&listener.local_addr()?.to_string())?;
    match which {
        "bare" => {
            let samples = lines.next().ok_or("nothing to answer likes of")??;
            let router = bare::router(serde_json::from_str(&samples)?)?;
            runtime.spawn(bare::serve(listener, router));
            say("ready")?;
            lines.try_for_each(|line| line.map(drop))?;
        }
        _ => {
            let served = runtime.block_on(tenmint::serve(listener))?;
            for line in lines {
                match &*line? {
                    "operator" => say(&served.operator)?,
                    "lookups" => say(&served.lookups())?,
                    id => say(&served.former_secret(id)?)?,
                }
            }
        }
    }
    runtime.shutdown_background();
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}
