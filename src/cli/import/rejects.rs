//! The file of refused lines: their numbers and the reasons, and nothing of what they hold.

use std::fs::{File, OpenOptions};
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
struct Told {
    line: u64,
}

impl Rejects {
    /// Goes on behind what was told of the first `done` lines: what was told of others was not
    /// imported, and comes again.
    pub(super) fn open(path: PathBuf, done: u64) -> Result<Self, Failure> {
        if !path.exists() {
            return Ok(Self { path, file: None });
        }
        let cannot = |why: io::Error| format!("{}: {why}", path.display());
        let mut kept = Vec::new();
        for line in BufReader::new(File::open(&path).map_err(cannot)?).lines() {
            let line = line.map_err(cannot)?;
            // Half a line is what a crash left.
            let told = serde_json::from_str::<Told>(&line).map(|told| told.line);
            if told.is_ok_and(|line| line <= done) {
                kept.push(line);
            }
        }
        let mut file = File::create(&path).map_err(cannot)?;
        for line in kept {
            writeln!(file, "{line}").map_err(cannot)?;
        }
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
            none => none.insert(
                OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(&self.path)?,
            ),
        };
        let mut text = String::new();
        for Rejected { line, reason } in rejected {
            text.push_str(&json!({ "line": line, "reason": reason }).to_string());
            text.push('\n');
        }
        file.write_all(text.as_bytes())?;
        file.sync_data()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
