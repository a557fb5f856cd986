//! The next batch of a file, read and hashed while the database is at the one before.
//!
//! What is hashed here are MACs, some microseconds a line: one core is ahead of any database, and
//! more than one batch ahead would only take memory.

use std::sync::Arc;

use tokio::task::{JoinHandle, spawn_blocking};

use super::super::Failure;
use super::lines::{Line, Lines};
use super::row;
use crate::manage::Management;
use crate::manage::api_keys::import::{Batch, Made, Rejected};

/// Lines that are imported together: whoever else would write to the organization, or to SQLite at
/// all, waits for so many.
const BATCH: u64 = 500;

/// Reads batches, one ahead of whoever takes them.
pub(super) struct Ahead {
    reading: Option<JoinHandle<Result<(Reader, Batch), Failure>>>,
}

struct Reader {
    management: Arc<Management>,
    lines: Lines,
    /// How many lines are read.
    read: u64,
}

impl Ahead {
    /// Begins to read behind the lines that are `read` already, of which there are more.
    pub(super) fn read(management: Arc<Management>, lines: Lines, read: u64) -> Self {
        let reader = Reader {
            management,
            lines,
            read,
        };
        Self {
            reading: reader.begin(),
        }
    }

    /// The next batch.
    ///
    /// # Errors
    /// When the file cannot be read, or ends early.
    pub(super) async fn next(&mut self) -> Result<Batch, Failure> {
        let reading = self.reading.take().ok_or("the file is read to its end")?;
        let (reader, batch) = reading.await??;
        self.reading = reader.begin();
        Ok(batch)
    }
}

impl Reader {
    /// Reads the next batch, if there is one, off the threads that wait for the database.
    fn begin(self) -> Option<JoinHandle<Result<(Self, Batch), Failure>>> {
        (self.read < self.lines.count).then(|| spawn_blocking(|| self.batch()))
    }

    fn batch(mut self) -> Result<(Self, Batch), Failure> {
        let end = self.lines.count.min(self.read + BATCH);
        let mut batch = Batch {
            made: Vec::new(),
            rejected: Vec::new(),
            lines: end,
            last: end == self.lines.count,
        };
        for line in self.read + 1..=end {
            let read = match self.lines.next()? {
                Line::Blank => continue,
                Line::Unreadable(reason) => Err(reason),
                Line::Text(text) => row::read(line, &text),
            };
            match read {
                Ok(row) => batch.made.push(Made::of(&self.management, row)),
                Err(reason) => batch.rejected.push(Rejected { line, reason }),
            }
        }
        self.read = end;
        Ok((self, batch))
    }
}
