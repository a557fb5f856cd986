//! A file, line by line, and never more of it in memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use ring::digest;
use zeroize::Zeroizing;

use super::super::Failure;
use crate::domain::hex::hex;

/// Longest line, in bytes.
const LONGEST_LINE: u64 = 64 * 1024;

/// What some programs begin a file of UTF-8 with: no part of its first line.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Among how many lines there must be one that can hold a key.
const LOOKED_AT: u64 = 500;

/// A file that is read from its beginning to its end.
pub(super) struct Lines {
    /// Its SHA-256, in hexadecimal digits.
    pub(super) digest: String,
    /// How many lines it has.
    pub(super) count: u64,
    path: PathBuf,
    reader: BufReader<File>,
}

/// A line.
pub(super) enum Line {
    /// Nothing is in it.
    Blank,
    /// Nobody can read it, and why.
    Unreadable(String),
    /// What is in it.
    Text(Zeroizing<String>),
}

impl Lines {
    /// Reads the file once, so that it is known by its content and by its length.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
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
        file.rewind().map_err(cannot)?;
        Ok(Self {
            digest: hex(context.finish().as_ref()),
            count: count + u64::from(ends_open),
            path: path.to_owned(),
            reader: BufReader::new(file),
        })
    }

    /// Refuses a file of something else as a whole, rather than line by line.
    pub(super) fn require_objects(&mut self) -> Result<(), Failure> {
        let (mut texts, mut objects) = (0, 0);
        for _ in 0..self.count.min(LOOKED_AT) {
            match self.next()? {
                Line::Blank => {}
                Line::Unreadable(_) => texts += 1,
                Line::Text(text) => {
                    texts += 1;
                    objects += u64::from(text.starts_with('{'));
                }
            }
        }
        self.reader.rewind()?;
        if texts > 0 && objects == 0 {
            return Err(format!(
                "{} is no JSON Lines in UTF-8: none of its first lines begins with {{",
                self.path.display()
            )
            .into());
        }
        Ok(())
    }

    /// Passes over the next lines.
    pub(super) fn skip(&mut self, lines: u64) -> Result<(), Failure> {
        for _ in 0..lines {
            self.reader.skip_until(b'\n')?;
        }
        Ok(())
    }

    /// The next line.
    pub(super) fn next(&mut self) -> Result<Line, Failure> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(1024));
        let mut bounded = (&mut self.reader).take(LONGEST_LINE);
        bounded.read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Err("the file became shorter while it was read: begin again".into());
        }
        if bytes.len() as u64 == LONGEST_LINE && bytes.last() != Some(&b'\n') {
            self.reader.skip_until(b'\n')?;
            let why = format!("the line is longer than {LONGEST_LINE} bytes");
            return Ok(Line::Unreadable(why));
        }
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return Ok(Line::Unreadable("the line is no UTF-8".to_owned()));
        };
        let text = text.trim_start_matches(BYTE_ORDER_MARK).trim();
        if text.is_empty() {
            return Ok(Line::Blank);
        }
        Ok(Line::Text(Zeroizing::new(text.to_owned())))
    }
}
