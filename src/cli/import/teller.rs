//! How far an import is, for whoever waits for it.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use super::super::progress;
use crate::manage::api_keys::import::Progress;

/// How often somebody who sees no bar is told how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Tells how far it is: a bar on a terminal, a line now and then elsewhere.
pub(super) struct Teller {
    bar: ProgressBar,
    count: u64,
    began: Instant,
    began_at: u64,
    told: Cell<Instant>,
}

impl Teller {
    pub(super) fn new(count: u64, done: Progress) -> Self {
        let bar = progress::bar(usize::try_from(count).unwrap_or(usize::MAX));
        bar.set_position(done.lines);
        Self {
            bar,
            count,
            began: Instant::now(),
            began_at: done.lines,
            told: Cell::new(Instant::now()),
        }
    }

    /// How far it is now.
    pub(super) fn tell(&self, done: Progress) {
        self.bar.set_position(done.lines);
        if self.bar.is_hidden() && self.told.get().elapsed() >= TOLD_EVERY {
            self.told.set(Instant::now());
            eprintln!("{} of {} lines", done.lines, self.count);
        }
    }

    /// What became of the file.
    pub(super) fn end(&self, done: Progress) {
        self.bar.finish_and_clear();
        let took = self.began.elapsed().as_millis().max(1);
        let rate = u128::from(done.lines - self.began_at) * 1_000 / took;
        eprintln!("{rate} lines a second");
        eprintln!(
            "{} keys imported, {} lines refused of {}",
            done.imported, done.rejected, self.count
        );
    }
}
