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
    /// When the clock was last looked at, which is when the last turn began or later.
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
            let now = self.clock.now();
            // A clock that was set back says nothing of when it is time.
            let set_back = now < std::mem::replace(&mut self.began, now);
            if now >= self.due || set_back {
                return Some(now);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_clock_that_is_set_back_keeps_no_job_waiting() {
        const HOUR: Duration = Duration::from_hours(1);
        let clock = Clock::manual(Timestamp::from_unix(1_000_000).unwrap());
        let (_stop, stopped) = watch::channel(false);
        let mut turns = Turns::new(clock.clone(), Duration::from_millis(1), stopped);
        let soon = Duration::from_secs(30);
        assert!(turns.next().await.is_some(), "the first is at once");
        turns.again_in(HOUR);
        clock.advance(HOUR);
        assert!(turns.next().await.is_some());
        turns.again_in(HOUR);
        let early = tokio::time::timeout(Duration::from_millis(50), turns.next()).await;
        assert!(early.is_err(), "it is not time yet");
        clock.set_back(HOUR);
        let turn = tokio::time::timeout(soon, turns.next()).await;
        assert_eq!(turn.unwrap().unwrap().unix(), 1_000_000);
    }
}
