//! What is measured of TLS, where it is spoken.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use super::registry::Measurements;
use crate::domain::timestamp::Timestamp;

/// How a handshake ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handshake {
    /// It was completed.
    Completed,
    /// The two did not agree, or one went away.
    Failed,
    /// What came was HTTP in the clear.
    NotTls,
    /// It took too long.
    TimedOut,
}

/// Counts of one listener.
#[derive(Default)]
pub struct TlsCounts {
    handshakes: [AtomicU64; 4],
    ends: AtomicI64,
    refused: AtomicBool,
}

impl Handshake {
    const ALL: [Self; 4] = [Self::Completed, Self::Failed, Self::NotTls, Self::TimedOut];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::NotTls => "not_tls",
            Self::TimedOut => "timed_out",
        }
    }
}

impl TlsCounts {
    /// Counts a handshake.
    pub fn count(&self, handshake: Handshake) {
        self.handshakes[handshake as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a certificate is presented which ends then, in Unix seconds.
    pub fn presents(&self, ends: i64) {
        self.ends.store(ends, Ordering::Relaxed);
    }

    /// Notes whether the files hold what cannot be presented.
    pub fn refused(&self, refused: bool) {
        self.refused.store(refused, Ordering::Relaxed);
    }

    pub(super) fn tell(&self, told: &mut Measurements, now: Timestamp) {
        let of = |one: Handshake| self.handshakes[one as usize].load(Ordering::Relaxed);
        told.counters(
            "tls_handshakes",
            "TLS handshakes since the start, by how they ended",
            "outcome",
            &Handshake::ALL.map(|one| (one.as_str(), of(one))),
        );
        told.gauge(
            "tls_certificate_ends_seconds",
            "Until the certificate ends that is presented; less than 0: it has",
            self.ends.load(Ordering::Relaxed) - now.unix(),
        );
        told.gauge(
            "tls_files_refused",
            "Whether the files of certificate and key hold what cannot be presented",
            self.refused.load(Ordering::Relaxed).into(),
        );
    }
}
