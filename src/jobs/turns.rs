//! When it is a periodic job's turn: what time it is decides, not how long it slept.

use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::domain::timestamp::Timestamp;

/// The turns of one job. The first is at once.
pub(super) struct Turns {
    clock: Clock,
    /// How often to look at the clock.
    look: Duration,
    stopped: watch::Receiver<bool>,
    began: Timestamp,
    due: Timestamp,
}

impl Turns {
    pub(super) fn new(clock: Clock, look: Duration, stopped: watch::Receiver<bool>) -> Self {
        let now = clock.now();
        Self {
            clock,
            look,
            stopped,
            began: now,
            due: now,
        }
    }

    /// Waits until it is time, and says what time it is; `None` once the job is to stop.
    pub(super) async fn next(&mut self) -> Option<Timestamp> {
        loop {
            tokio::select! {
                _ = self.stopped.changed() => return None,
                () = tokio::time::sleep(self.look) => {}
            }
            self.began = self.clock.now();
            if self.began >= self.due {
                return Some(self.began);
            }
        }
    }

    /// The next turn is so long after this one began.
    pub(super) fn again_in(&mut self, span: Duration) {
        self.due = self.began.plus(span);
    }

    /// Whether the job is to stop: long turns ask in between.
    pub(super) fn is_stopped(&self) -> bool {
        *self.stopped.borrow() || self.stopped.has_changed().is_err()
    }
}
