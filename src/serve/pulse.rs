//! What one connection is doing, and how long it may go on.
//!
//! Requests only note what happens (a lock nobody contends, a glance at the clock). A task beside
//! the connection's looks at the notes a few times per deadline. A timer armed and disarmed for
//! each request would cost more than the rest of this room together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::Limits;

/// The notes of one connection.
pub(super) struct Pulse(Mutex<State>);

/// What is to be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing; look again then.
    LookAgain(Instant),
    /// Ask it to finish: it has idled for long enough.
    Finish,
    /// Drop it: the peer does not keep up, for the reason given.
    Cut(&'static str),
}

/// A request under way: from its head until this is dropped.
pub(super) struct Turn(Arc<Pulse>);

#[derive(Clone, Copy)]
struct State {
    /// Requests under way.
    turns: u32,
    /// Bodies a handler is waiting for more of.
    awaited: u32,
    /// Whether any request has arrived yet.
    spoken: bool,
    /// When a request last began or ended; before the first, when the connection was accepted.
    turned: Instant,
    /// When a body last moved, or began to be waited for.
    moved: Instant,
    /// When the connection was asked to finish.
    finishing: Option<Instant>,
}

impl Pulse {
    /// A connection accepted at `now`.
    pub(super) fn new(now: Instant) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            turns: 0,
            awaited: 0,
            spoken: false,
            turned: now,
            moved: now,
            finishing: None,
        })))
    }

    /// Notes that a request's head has arrived.
    pub(super) fn begin(self: &Arc<Self>, now: Instant) -> Turn {
        let mut state = self.state();
        state.turns += 1;
        state.spoken = true;
        state.turned = now;
        drop(state);
        Turn(Arc::clone(self))
    }

    /// Notes that a handler waits for more of a body.
    pub(super) fn await_body(&self, now: Instant) {
        let mut state = self.state();
        state.awaited += 1;
        state.moved = now;
    }

    /// Notes that what a handler waited for has come, or that it waits no longer.
    pub(super) fn body_moved(&self, now: Instant) {
        let mut state = self.state();
        state.awaited -= 1;
        state.moved = now;
    }

    /// Notes that the connection was asked to finish.
    pub(super) fn finishing(&self, now: Instant) {
        self.state().finishing.get_or_insert(now);
    }

    /// What is to be done at `now`; `crowded` says that hardly a slot is free for newcomers.
    pub(super) fn verdict(&self, now: Instant, limits: &Limits, crowded: bool) -> Verdict {
        let (deadline, verdict) = self.state().deadline(limits, crowded);
        if now >= deadline {
            verdict
        } else {
            Verdict::LookAgain(deadline.min(now + limits.tick()))
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No panic can happen under this lock, and a stale note would be harmless.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How long the connection may go on as it is, and what is due after that.
    fn deadline(&self, limits: &Limits, crowded: bool) -> (Instant, Verdict) {
        if self.turns > 0 {
            let answer = self.turned + limits.request_timeout;
            let body = self.moved + limits.io_timeout;
            if self.awaited > 0 && body < answer {
                return (body, Verdict::Cut("its request body stalled"));
            }
            return (answer, Verdict::Cut("its request took too long"));
        }
        if !self.spoken {
            let head = self.turned + limits.first_request_timeout;
            return (head, Verdict::Cut("its first request did not arrive"));
        }
        if let Some(asked) = self.finishing {
            let gone = asked.max(self.turned) + limits.io_timeout;
            return (gone, Verdict::Cut("it did not close when asked to"));
        }
        let idle = if crowded {
            limits.header_timeout.min(limits.first_request_timeout)
        } else {
            limits.header_timeout
        };
        (self.turned + idle, Verdict::Finish)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.turns -= 1;
        state.turned = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The verdict `seconds` after `then`, under the default limits.
    fn verdict(pulse: &Pulse, then: Instant, seconds: u32, crowded: bool) -> Verdict {
        pulse.verdict(then + seconds * SECOND, &Limits::default(), crowded)
    }

    #[test]
    fn a_connection_that_asks_nothing_is_cut() {
        let start = Instant::now();
        let pulse = Pulse::new(start);
        assert!(matches!(
            verdict(&pulse, start, 9, false),
            Verdict::LookAgain(at) if at == start + 10 * SECOND
        ));
        assert!(matches!(verdict(&pulse, start, 10, false), Verdict::Cut(_)));
    }

    #[test]
    fn an_idle_connection_is_asked_to_finish_sooner_when_slots_are_short() {
        let pulse = Pulse::new(Instant::now());
        drop(pulse.begin(Instant::now()));
        let idle = pulse.state().turned;
        assert!(matches!(
            verdict(&pulse, idle, 74, false),
            Verdict::LookAgain(_)
        ));
        assert_eq!(verdict(&pulse, idle, 75, false), Verdict::Finish);
        assert!(matches!(
            verdict(&pulse, idle, 9, true),
            Verdict::LookAgain(_)
        ));
        assert_eq!(verdict(&pulse, idle, 10, true), Verdict::Finish);
    }

    #[test]
    fn an_idle_connection_that_ignores_the_request_to_finish_is_cut() {
        let pulse = Pulse::new(Instant::now());
        drop(pulse.begin(Instant::now()));
        let asked = Instant::now();
        pulse.finishing(asked);
        pulse.finishing(asked + SECOND);
        assert!(matches!(
            verdict(&pulse, asked, 14, false),
            Verdict::LookAgain(_)
        ));
        assert!(matches!(verdict(&pulse, asked, 15, false), Verdict::Cut(_)));
    }

    #[test]
    fn a_request_under_way_has_its_own_time_also_when_asked_to_finish() {
        let start = Instant::now();
        let pulse = Pulse::new(start);
        let _turn = pulse.begin(start);
        pulse.finishing(start);
        assert!(matches!(
            verdict(&pulse, start, 29, true),
            Verdict::LookAgain(_)
        ));
        assert!(matches!(verdict(&pulse, start, 30, true), Verdict::Cut(_)));
    }

    #[test]
    fn a_stalled_body_is_cut_and_a_dripping_one_by_the_request_timeout() {
        let start = Instant::now();
        let pulse = Pulse::new(start);
        let _turn = pulse.begin(start);
        pulse.await_body(start);
        assert!(matches!(verdict(&pulse, start, 15, false), Verdict::Cut(_)));
        for second in (0..30).step_by(10) {
            pulse.body_moved(start + second * SECOND);
            pulse.await_body(start + second * SECOND);
        }
        assert!(matches!(
            verdict(&pulse, start, 29, false),
            Verdict::LookAgain(_)
        ));
        assert!(matches!(verdict(&pulse, start, 30, false), Verdict::Cut(_)));
    }
}
