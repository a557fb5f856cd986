//! The file of refused lines: their numbers and the reasons, and nothing of what they hold.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;

use super::super::Failure;
use crate::manage::api_keys::import::Rejected;

/// Where refused lines are told. It is made when there is one.
pub(super) struct Rejects {
    path: PathBuf,
    file: Option<File>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    line: u64,
    #[serde(rename = "reason")]
    _reason: String,
}

impl Rejects {
    /// Goes on behind what was told of the first `done` lines: what was told of others was not
    /// imported, and comes again.
    ///
    /// # Errors
    /// When there is a file that is something else, such as the one that is imported, or another
    /// import writes to it: it stays as it is.
    pub(super) fn open(path: PathBuf, done: u64) -> Result<Self, Failure> {
        if !path.exists() {
            return Ok(Self { path, file: None });
        }
        let cannot = |why: io::Error| format!("{}: {why}", path.display());
        let mut kept = String::new();
        let before = alone(File::open(&path)).map_err(cannot)?;
        let mut reader = BufReader::new(&before);
        let mut line = String::new();
        while reader.read_line(&mut line).map_err(cannot)? > 0 {
            match serde_json::from_str::<Told>(&line) {
                Ok(told) if told.line <= done => kept.push_str(&line),
                Ok(_) => {}
                // Half a line is what a crash left.
                Err(_) if is_half(&line) => {}
                Err(_) => {
                    return Err(format!(
                        "{} holds something else than refused lines: name another file with \
                         --rejects",
                        path.display()
                    )
                    .into());
                }
            }
            line.clear();
        }
        // In one step: whatever happens, what was told stays told.
        let mut beside = path.clone().into_os_string();
        beside.push(".new");
        fs::write(&beside, kept).map_err(cannot)?;
        let file = alone(OpenOptions::new().append(true).open(&beside)).map_err(cannot)?;
        fs::rename(&beside, &path).map_err(cannot)?;
        Ok(Self {
            file: Some(file),
            path,
        })
    }

    /// Writes lines down, before what stands beside them in the file is imported.
    pub(super) fn write(&mut self, rejected: &[Rejected]) -> io::Result<()> {
        if rejected.is_empty() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let made = OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(&self.path);
                none.insert(alone(made)?)
            }
        };
        let mut text = String::new();
        for Rejected { line, reason } in rejected {
            text.push_str(&json!({ "line": line, "reason": reason }).to_string());
            text.push('\n');
        }
        file.write_all(text.as_bytes())?;
        file.sync_data()
    }

    /// Where they are told, if any is.
    pub(super) fn written(&self) -> Option<&Path> {
        self.file.as_ref().map(|_| self.path.as_path())
    }

    /// Where they would be told.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// A file to which no other import writes: two of the same would lose what each other told.
fn alone(file: io::Result<File>) -> io::Result<File> {
    let file = file?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::other("another import writes to it")),
        Err(TryLockError::Error(why)) => Err(why),
    }
}

/// Whether a line may be one of these that was not written to its end.
fn is_half(line: &str) -> bool {
    const START: &str = r#"{"line":"#;
    !line.ends_with('\n') && (line.starts_with(START) || START.starts_with(line))
}
