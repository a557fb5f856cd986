//! States of keys, and why keys end.

use serde::{Deserialize, Serialize};

use super::super::timestamp::Timestamp;

/// Whether a key is of any use at an instant, and if not, why not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Usable.
    Active,
    /// Switched off by a person, who can switch it on again.
    Disabled,
    /// Past its `expires_at`.
    Expired,
    /// Ended for good.
    Revoked,
}

/// Which keys of an organization a list is to show.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusFilter {
    /// Those that are of use now.
    #[default]
    Active,
    /// Those switched off, neither past their end nor revoked.
    Disabled,
    /// Those past their end, not revoked.
    Expired,
    /// Those ended for good.
    Revoked,
    /// Those not ended for good: in use, or such as could be brought back.
    Unrevoked,
    /// All.
    All,
}

/// That a key was ended for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: RevokeReason,
}

/// Why a key was ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokeReason {
    /// Nobody said.
    #[default]
    Unspecified,
    /// Somebody else has it, or may.
    Compromised,
    /// Another took its place.
    Superseded,
    /// Nobody used it.
    Unused,
    /// Its secrets depended on a root key that was given up. No caller says so.
    #[serde(skip_deserializing)]
    RootKeyDropped,
}

/// The state at `now` of a key of which this is known.
pub(super) fn status(
    revoked: Option<Revocation>,
    expires_at: Option<Timestamp>,
    disabled_at: Option<Timestamp>,
    now: Timestamp,
) -> Status {
    if revoked.is_some() {
        Status::Revoked
    } else if expires_at.is_some_and(|end| end <= now) {
        Status::Expired
    } else if disabled_at.is_some() {
        Status::Disabled
    } else {
        Status::Active
    }
}

impl Status {
    /// The name, as answers have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl StatusFilter {
    /// Every filter, once.
    pub const ALL: [Self; 6] = [
        Self::Active,
        Self::Disabled,
        Self::Expired,
        Self::Revoked,
        Self::Unrevoked,
        Self::All,
    ];

    /// The name, as requests and SQL have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Unrevoked => "unrevoked",
            Self::All => "all",
        }
    }

    /// Whether a key in this state is meant.
    #[must_use]
    pub fn holds(self, status: Status) -> bool {
        match self {
            Self::Active => status == Status::Active,
            Self::Disabled => status == Status::Disabled,
            Self::Expired => status == Status::Expired,
            Self::Revoked => status == Status::Revoked,
            Self::Unrevoked => status != Status::Revoked,
            Self::All => true,
        }
    }
}

impl RevokeReason {
    /// Every reason, once.
    pub const ALL: [Self; 5] = [
        Self::Unspecified,
        Self::Compromised,
        Self::Superseded,
        Self::Unused,
        Self::RootKeyDropped,
    ];

    /// Those that a caller may give.
    pub const GIVEN: [Self; 4] = [
        Self::Unspecified,
        Self::Compromised,
        Self::Superseded,
        Self::Unused,
    ];

    /// The name, as requests, answers and rows have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Compromised => "compromised",
            Self::Superseded => "superseded",
            Self::Unused => "unused",
            Self::RootKeyDropped => "root_key_dropped",
        }
    }

    /// The reason of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_give_every_reason_but_tenmints_own() {
        for reason in RevokeReason::ALL {
            let name = serde_json::to_string(&reason).unwrap();
            assert_eq!(name, format!("\"{}\"", reason.as_str()));
            assert_eq!(RevokeReason::from_name(reason.as_str()), Some(reason));
            let given = serde_json::from_str::<RevokeReason>(&name);
            assert_eq!(given.is_ok(), RevokeReason::GIVEN.contains(&reason));
        }
    }
}
