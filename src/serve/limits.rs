//! The bounds a server keeps its connections within.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::settings::Settings;

/// Bounds on connections. Durations are taken as between 1 ms and a day; shorter and longer ones
/// are moved to the nearer end.
///
/// Deadlines are looked at every so often rather than timed one by one, and so are kept up to half
/// of the shortest of them late.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections served at the same time; further ones wait in the kernel's backlog. From 1 to
    /// 1,000,000. The process's limit on open files is raised for them as far as it may be, and
    /// where that is not enough this is lowered, with a warning. Default: 16,384, which idle take
    /// less than 500 MB.
    pub max_connections: usize,
    /// From the moment a connection is accepted until its first request head is complete,
    /// however it drips in. Also replaces `header_timeout` (when shorter) while hardly a slot is
    /// free, so that idle connections make room. Default: 10 s.
    pub first_request_timeout: Duration,
    /// From an answer's first byte until the next request head is complete: how long a connection
    /// is kept alive for nothing. Best above the idle time of a proxy in front, or the proxy now
    /// and then sends a request into a connection we are closing. Default: 75 s.
    pub header_timeout: Duration,
    /// From a complete request head until the handler's answer, reading the body included. Over
    /// HTTP/2: how long requests may be under way with none begun and none answered. Handlers
    /// that may legitimately take longer need a larger one. Default: 30 s.
    pub request_timeout: Duration,
    /// How long a peer may send nothing of a body a handler is waiting for, or take nothing of what
    /// it is sent. Also what an idle connection asked to close is given to do so. Default: 15 s.
    pub io_timeout: Duration,
    /// Size of a whole request head, in bytes; a larger one is answered with 431. At least 8192.
    /// Default: 16 KiB.
    pub max_header_bytes: usize,
    /// Header lines in an HTTP/1 request; more are answered with 431. (HTTP/2 counts 32 bytes for
    /// each towards `max_header_bytes` instead.) Default: 100, and best left so: the parser then
    /// needs no allocation.
    pub max_headers: usize,
    /// How long requests under way may take to finish after shutdown was asked for; may be zero.
    /// Default: 20 s, below the 30 s that container platforms wait before they kill.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            first_request_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(75),
            request_timeout: Duration::from_secs(30),
            io_timeout: Duration::from_secs(15),
            max_header_bytes: 16 * 1024,
            max_headers: Self::PARSER_HEADERS,
            drain: Duration::from_secs(20),
        }
    }
}

impl Limits {
    /// As many headers as the parser has room for on its stack.
    pub(super) const PARSER_HEADERS: usize = 100;

    /// The least the parser accepts as the size of its buffer.
    const LEAST_HEADER_BYTES: usize = 8192;

    const MOST_CONNECTIONS: usize = 1_000_000;

    /// Descriptors left to everything else: the database, logs, other listeners.
    const OTHER_FILES: usize = 128;

    const SHORTEST: Duration = Duration::from_millis(1);
    const LONGEST: Duration = Duration::from_hours(24);

    /// The same limits, each within the range its documentation gives.
    pub(super) fn within_bounds(self) -> Self {
        let bounded = |time: Duration| time.clamp(Self::SHORTEST, Self::LONGEST);
        Self {
            max_connections: fitting(self.max_connections, open_files(self.max_connections)),
            first_request_timeout: bounded(self.first_request_timeout),
            header_timeout: bounded(self.header_timeout),
            request_timeout: bounded(self.request_timeout),
            io_timeout: bounded(self.io_timeout),
            max_header_bytes: self.max_header_bytes.max(Self::LEAST_HEADER_BYTES),
            max_headers: self.max_headers.max(1),
            drain: self.drain.min(Self::LONGEST),
        }
    }

    /// How often to look whether a deadline has passed.
    pub(super) fn tick(&self) -> Duration {
        let shortest = self
            .first_request_timeout
            .min(self.header_timeout)
            .min(self.request_timeout)
            .min(self.io_timeout);
        shortest / 2
    }
}

/// How many connections there can be of those that are wanted: the process's limit on open files is
/// raised for them as far as it may be, and where that is not enough there are fewer, with a
/// warning.
#[must_use]
pub fn allowed_connections(wanted: u32) -> u32 {
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    u32::try_from(fitting(wanted, open_files(wanted))).unwrap_or(u32::MAX)
}

/// The cap on connections that a limit on open files leaves room for. Without it a stranger could
/// take every descriptor by merely connecting, and the database would find none.
fn fitting(wanted: usize, open_files: Option<u64>) -> usize {
    let wanted = wanted.clamp(1, Limits::MOST_CONNECTIONS);
    let Some(open_files) = open_files else {
        return wanted;
    };
    let files = usize::try_from(open_files).unwrap_or(usize::MAX);
    let room = files.saturating_sub(Limits::OTHER_FILES).max(1);
    if room < wanted {
        warn!(
            wanted,
            granted = room,
            open_files,
            "the limit on open files lowers the cap on connections: raise the hard limit \
             (`ulimit -Hn`, LimitNOFILE= of a systemd unit), or set MAX_CONNECTIONS lower"
        );
    }
    wanted.min(room)
}

/// How many files the process may have open, after it has allowed itself what so many connections
/// need, as far as it may: what it starts with is, as a rule, the 1024 that old programs expect.
/// `None`: without bound.
fn open_files(connections: usize) -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let needed = (connections.min(Limits::MOST_CONNECTIONS) + Limits::OTHER_FILES) as u64;
    let Some(raised) = raised(limit, needed) else {
        return limit.current;
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(error) => {
            warn!(%error, "the limit on open files cannot be raised");
            limit.current
        }
    }
}

/// The limit that lets so many files be open, or as many as there may be; `None`: it does already.
fn raised(limit: Rlimit, needed: u64) -> Option<Rlimit> {
    let current = limit.current?;
    let most = limit.maximum.unwrap_or(needed).min(needed);
    (current < most).then_some(Rlimit {
        current: Some(most),
        ..limit
    })
}

impl From<&Settings> for Limits {
    fn from(settings: &Settings) -> Self {
        Self {
            max_connections: usize::try_from(settings.max_connections).unwrap_or(usize::MAX),
            first_request_timeout: settings.first_request_timeout,
            header_timeout: settings.idle_timeout,
            request_timeout: settings.request_timeout,
            drain: settings.drain_timeout,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_leaves_descriptors_to_the_rest_of_the_process() {
        assert_eq!(fitting(8192, Some(1024)), 1024 - Limits::OTHER_FILES);
        assert_eq!(fitting(100, Some(1024)), 100);
        assert_eq!(fitting(8192, None), 8192);
        assert_eq!(fitting(0, None), 1);
        assert_eq!(fitting(usize::MAX, None), Limits::MOST_CONNECTIONS);
        assert_eq!(fitting(8192, Some(10)), 1);
    }

    #[test]
    fn the_limit_on_open_files_is_raised_as_far_as_needed_and_allowed() {
        let limit = |current, maximum| Rlimit { current, maximum };
        for (before, needed, after) in [
            (limit(Some(1024), Some(524_288)), 8_320, Some(8_320)),
            (limit(Some(1024), Some(4_096)), 8_320, Some(4_096)),
            (limit(Some(1024), None), 8_320, Some(8_320)),
            // It is never lowered, and where it can be no higher, left alone.
            (limit(Some(65_536), Some(524_288)), 8_320, None),
            (limit(Some(1024), Some(1024)), 8_320, None),
            (limit(None, None), 8_320, None),
        ] {
            let raised = raised(before, needed);
            assert_eq!(
                raised.and_then(|raised| raised.current),
                after,
                "{before:?}"
            );
            assert!(raised.is_none_or(|raised| raised.maximum == before.maximum));
        }
    }

    #[test]
    fn absurd_limits_are_moved_within_bounds() {
        let limits = Limits {
            max_connections: 0,
            first_request_timeout: Duration::ZERO,
            header_timeout: Duration::MAX,
            max_header_bytes: 1,
            max_headers: 0,
            drain: Duration::MAX,
            ..Limits::default()
        }
        .within_bounds();
        assert_eq!(limits.max_connections, 1);
        assert_eq!(limits.first_request_timeout, Limits::SHORTEST);
        assert_eq!(limits.header_timeout, Limits::LONGEST);
        assert_eq!(limits.max_header_bytes, 8192);
        assert_eq!(limits.max_headers, 1);
        assert_eq!(limits.drain, Limits::LONGEST);
    }

    #[test]
    fn deadlines_are_looked_at_often_enough_for_the_shortest() {
        assert_eq!(Limits::default().tick(), Duration::from_secs(5));
    }
}
