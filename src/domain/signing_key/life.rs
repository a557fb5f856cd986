//! The life of a signing key: published before it signs, published after it signed, then gone.

mod schedule;

use std::time::Duration;

use super::{Kid, RsaBits, SigningKey};
use crate::domain::timestamp::Timestamp;

pub use schedule::{CLOCK_SKEW, LONGEST_TOKEN, Schedule, ScheduleError};

/// For how long the making of the key that another stands in for is left to the node that put the
/// other in place. After that it is anybody's.
const OWN_RELIEF: Duration = Duration::from_secs(10);

/// What a signing key is for at present.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// Published, so that validators know it by the time it signs.
    Next,
    /// Published, and signs.
    Active,
    /// Published for the tokens that it signed; signs no more.
    Retiring,
    /// Neither published nor able to sign: its private half is destroyed.
    Retired,
    /// The same, because it was withdrawn.
    Revoked,
}

/// When a signing key entered each of its states. What has not happened is absent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Life {
    /// Since when it is published.
    pub published_at: Timestamp,
    /// When it begins to sign, at the earliest.
    pub activates_at: Timestamp,
    /// When it began to sign.
    pub activated_at: Option<Timestamp>,
    /// When it signed for the last time.
    pub retiring_at: Option<Timestamp>,
    /// Until when it stays published after that.
    pub retires_at: Option<Timestamp>,
    /// Since when it is no longer published, and its private half destroyed.
    pub retired_at: Option<Timestamp>,
    /// When it was withdrawn.
    pub revoked_at: Option<Timestamp>,
    /// By how many thousandths of the interval it is rotated early, 0 to 100: issuers that were
    /// made together need not rotate together.
    pub jitter: u8,
    /// Of a key that was made in a hurry: it signs until there is an RSA key of this size, which
    /// takes longer to make.
    pub stands_in_for: Option<RsaBits>,
}

/// What time itself does to the signing keys of an issuer: one step, one act.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// The key that is next begins to sign, and the active one stops.
    Activate(Kid),
    /// A key that no unexpired token needs is destroyed.
    Retire(Kid),
    /// The active key stands in for an RSA key of this size: that is made, and signs at once.
    Relieve(RsaBits),
    /// The active key nears its end: a next one is published.
    Publish,
}

impl State {
    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
            Self::Revoked => "revoked",
        }
    }
}

impl Life {
    /// A key that signs from `now` on: the first of its issuer, whose JWKS nobody can have cached,
    /// or one made in an emergency.
    #[must_use]
    pub const fn at_once(now: Timestamp, jitter: u8) -> Self {
        Self {
            activated_at: Some(now),
            ..Self::next(now, now, jitter)
        }
    }

    /// A key that is published now and signs from `activates_at` on.
    #[must_use]
    pub const fn next(now: Timestamp, activates_at: Timestamp, jitter: u8) -> Self {
        Self {
            published_at: now,
            activates_at,
            activated_at: None,
            retiring_at: None,
            retires_at: None,
            retired_at: None,
            revoked_at: None,
            jitter,
            stands_in_for: None,
        }
    }

    /// What the key is for.
    #[must_use]
    pub const fn state(&self) -> State {
        match self {
            Self {
                revoked_at: Some(_),
                ..
            } => State::Revoked,
            Self {
                retired_at: Some(_),
                ..
            } => State::Retired,
            Self {
                retiring_at: Some(_),
                ..
            } => State::Retiring,
            Self {
                activated_at: Some(_),
                ..
            } => State::Active,
            _ => State::Next,
        }
    }

    /// Whether its time ended before it signed anything: it was given up, or withdrawn.
    #[must_use]
    pub const fn never_signs(&self) -> bool {
        self.activated_at.is_none() && self.retired_at.is_some()
    }

    /// Since when it is published no more, or when that is to be; `None` while nobody knows. One
    /// that was withdrawn meanwhile does not wait for the time that was set.
    #[must_use]
    pub fn ends_at(&self) -> Option<Timestamp> {
        match (self.retires_at, self.retired_at) {
            (Some(planned), Some(ended)) => Some(planned.min(ended)),
            (planned, ended) => planned.or(ended),
        }
    }

    /// Whether validators find it in the JWKS.
    #[must_use]
    pub const fn is_published(&self) -> bool {
        self.retired_at.is_none()
    }

    /// It begins to sign.
    pub fn activate(&mut self, now: Timestamp) {
        self.activated_at = Some(now);
    }

    /// It has signed for the last time, and stays published until the last of its tokens expired.
    pub fn stop_signing(&mut self, now: Timestamp, schedule: &Schedule) {
        self.retiring_at = Some(now);
        self.retires_at = Some(now.plus(schedule.retention()));
    }

    /// It is published no more, and its private half is to be destroyed.
    pub fn retire(&mut self, now: Timestamp) {
        self.retired_at = Some(now);
    }

    /// It is withdrawn: nothing it signed counts any more.
    pub fn revoke(&mut self, now: Timestamp) {
        if self.activated_at.is_some() && self.retiring_at.is_none() {
            self.retiring_at = Some(now);
        }
        self.retired_at = Some(now);
        self.revoked_at = Some(now);
    }

    /// When time itself next changes its state; `None` while no time is set for that.
    #[must_use]
    pub fn due_at(&self) -> Option<Timestamp> {
        match self.state() {
            State::Next => Some(self.activates_at),
            State::Retiring => self.retires_at,
            State::Active => self.relieved_at(),
            State::Retired | State::Revoked => None,
        }
    }

    /// From when on any node makes the key that this one stands in for; `None` if it does not.
    fn relieved_at(&self) -> Option<Timestamp> {
        let since = self.activated_at.filter(|_| self.stands_in_for.is_some());
        since.map(|since| since.plus(OWN_RELIEF))
    }

    /// When its successor is to begin to sign; `None` unless it signs and is rotated by itself.
    #[must_use]
    pub fn rotates_at(&self, schedule: &Schedule) -> Option<Timestamp> {
        let (State::Active, Some(since)) = (self.state(), self.activated_at) else {
            return None;
        };
        let interval = schedule.interval()?;
        let early = Duration::from_secs(interval.as_secs() * u64::from(self.jitter) / 1_000);
        Some(since.plus(interval.saturating_sub(early)))
    }
}

impl Step {
    /// The steps that are due at `now` for an issuer that has these keys, in their order. Done one
    /// by one until there is none, the issuer is as it is to be, whatever was missed.
    #[must_use]
    pub fn due(keys: &[SigningKey], schedule: &Schedule, now: Timestamp) -> Vec<Self> {
        let mut due = Vec::new();
        let next = keys.iter().find(|key| key.life.state() == State::Next);
        if let Some(next) = next.filter(|next| schedule.signs_from(&next.life) <= now) {
            due.push(Self::Activate(next.kid.clone()));
        }
        let over = keys.iter().filter(|key| {
            key.life.state() == State::Retiring && key.life.retires_at.is_some_and(|end| end <= now)
        });
        due.extend(over.map(|over| Self::Retire(over.kid.clone())));
        let Some(active) = keys.iter().find(|key| key.life.state() == State::Active) else {
            return due;
        };
        let rotates_at = active.life.rotates_at(schedule);
        let nears_its_end = rotates_at.is_some_and(|at| at.minus(schedule.lead()) <= now);
        if let Some(bits) = active.life.stands_in_for {
            due.push(Self::Relieve(bits));
        } else if next.is_none() && nears_its_end {
            due.push(Self::Publish);
        }
        due
    }
}

#[cfg(test)]
mod tests;
