//! Signing keys, as everybody who may see them sees them.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::signing_key::{Algorithm, KeySpec, Kid, PublicJwk, Schedule, SigningKey, State};
use crate::domain::timestamp::Timestamp;
use crate::manage::signing_keys::{Revoked, Rotated};

/// A signing key. Times that have not come, or never will, are `null`.
#[derive(Serialize, ToSchema)]
#[schema(as = SigningKey)]
pub(in crate::http) struct SigningKeyView<'a> {
    kid: &'a Kid,
    alg: Algorithm,
    #[schema(value_type = String, pattern = "^(next|active|retiring|retired|revoked)$")]
    status: &'static str,
    /// The public half (RFC 7517), without what the JWKS says beside it.
    #[schema(value_type = Object)]
    public_jwk: &'a PublicJwk,
    /// Whether the key was made elsewhere and brought here.
    imported: bool,
    created_at: Timestamp,
    /// Since when it is in the JWKS.
    published_at: Timestamp,
    /// When it begins to sign, at the earliest; `null` for one that ended before, and never signs.
    #[schema(required)]
    activates_at: Option<Timestamp>,
    /// When it began to sign.
    #[schema(required)]
    activated_at: Option<Timestamp>,
    /// When its successor is to begin to sign, if it is rotated by itself.
    #[schema(required)]
    rotates_at: Option<Timestamp>,
    /// When it stopped signing.
    #[schema(required)]
    retiring_at: Option<Timestamp>,
    /// When it leaves, or left, the JWKS, and its private half is destroyed.
    #[schema(required)]
    retires_at: Option<Timestamp>,
    /// Since when it is neither published nor able to sign.
    #[schema(required)]
    retired_at: Option<Timestamp>,
    /// When it was withdrawn.
    #[schema(required)]
    revoked_at: Option<Timestamp>,
    /// Whether it was given up while it was `next`, as when another key signed at once in an
    /// emergency, or in the place of one that was withdrawn.
    given_up: bool,
    /// For what kind of key this one signs, or signed, because it was not there at once, such as
    /// `RS256 of 2048 bits`. That one follows by itself, within seconds as a rule.
    #[schema(required, value_type = Option<String>)]
    stands_in_for: Option<String>,
    /// The key that began to sign when this one stopped.
    #[schema(required)]
    replaced_by: Option<&'a Kid>,
}

/// A rotation: the key that it is to, and what that means for validators.
#[derive(Serialize, ToSchema)]
#[schema(as = RotatedSigningKey)]
pub(super) struct RotatedView<'a> {
    #[serde(flatten)]
    key: SigningKeyView<'a>,
    /// Until when validators that heed `Cache-Control` may refuse tokens of this key, because
    /// they go on with a JWKS of before, from a server that is cut off perhaps; `null` when the key
    /// signs no earlier than that. If it stands in for another, the same begins anew with that.
    #[schema(required)]
    unknown_until: Option<Timestamp>,
    /// The same of the slowest validators that are known, which cache a JWKS for two hours.
    #[schema(required)]
    unknown_at_most_until: Option<Timestamp>,
}

/// A key that was withdrawn, and for how long that is not known everywhere.
#[derive(Serialize, ToSchema)]
#[schema(as = RevokedSigningKey)]
pub(super) struct RevokedView<'a> {
    #[serde(flatten)]
    key: SigningKeyView<'a>,
    /// For what kind of key the one of `replaced_by` stands in, such as `RS256 of 2048 bits`, if it
    /// does: that one is being made, and takes its place by itself.
    #[schema(required, value_type = Option<String>)]
    replacement_stands_in_for: Option<String>,
    /// The key that the one of `replaced_by` stood in for, once that signs: the answer waits for it,
    /// five seconds at most. Where it is missing still, a request that is sent again waits likewise.
    #[schema(required)]
    relieved_by: Option<&'a Kid>,
    /// Until when validators that heed `Cache-Control` may refuse tokens of the key that came last,
    /// the one of `relieved_by` or else of `replaced_by`, because they go on with a JWKS of before,
    /// from a server that is cut off perhaps; `null` when they knew it by the time it signed.
    #[schema(required)]
    unknown_until: Option<Timestamp>,
    /// The same of the slowest validators that are known, which cache a JWKS for two hours.
    #[schema(required)]
    unknown_at_most_until: Option<Timestamp>,
    /// Until when validators that heed `Cache-Control` may go on accepting what it signed, from a
    /// JWKS of before.
    accepted_elsewhere_until: Timestamp,
    /// The same of the slowest validators that are known, which cache a JWKS for two hours.
    accepted_elsewhere_at_most_until: Timestamp,
}

impl<'a> SigningKeyView<'a> {
    /// A key as it is on this schedule.
    pub(in crate::http) fn of(key: &'a SigningKey, schedule: &Schedule) -> Self {
        let life = &key.life;
        Self {
            kid: &key.kid,
            alg: key.algorithm,
            status: life.state().as_str(),
            public_jwk: &key.public,
            imported: key.imported,
            created_at: key.created_at,
            published_at: life.published_at,
            activates_at: match life.state() {
                State::Next => Some(schedule.signs_from(life)),
                _ => Some(life.activates_at).filter(|_| !life.never_signs()),
            },
            activated_at: life.activated_at,
            rotates_at: life.rotates_at(schedule),
            retiring_at: life.retiring_at,
            retires_at: life.ends_at(),
            retired_at: life.retired_at,
            revoked_at: life.revoked_at,
            given_up: life.never_signs() && life.revoked_at.is_none(),
            stands_in_for: stands_in_for(key),
            replaced_by: key.replaced_by.as_ref(),
        }
    }
}

impl<'a> RotatedView<'a> {
    pub(super) fn of(rotated: &'a Rotated) -> Self {
        let Rotated { key, schedule, .. } = rotated;
        Self {
            unknown_until: unknown_until(key, schedule.outdated_for()),
            unknown_at_most_until: unknown_until(key, schedule.outdated_at_most_for()),
            key: SigningKeyView::of(key, schedule),
        }
    }
}

impl<'a> RevokedView<'a> {
    pub(super) fn of(revoked: &'a Revoked) -> Self {
        let Revoked {
            key,
            replacement,
            relief,
            schedule,
        } = revoked;
        let last = relief.as_ref().or(replacement.as_ref());
        let unknown = |outdated| last.and_then(|key| unknown_until(key, outdated));
        let since = key.life.revoked_at.unwrap_or(key.created_at);
        let (outdated, at_most) = (schedule.outdated_for(), schedule.outdated_at_most_for());
        Self {
            key: SigningKeyView::of(key, schedule),
            replacement_stands_in_for: replacement.as_ref().and_then(stands_in_for),
            relieved_by: relief.as_ref().map(|key| &key.kid),
            unknown_until: unknown(outdated),
            unknown_at_most_until: unknown(at_most),
            accepted_elsewhere_until: since.plus(outdated),
            accepted_elsewhere_at_most_until: since.plus(at_most),
        }
    }
}

/// For what kind of key this one stands in.
fn stands_in_for(key: &SigningKey) -> Option<String> {
    let bits = key.life.stands_in_for;
    bits.map(|bits| KeySpec::RS256(bits).to_string())
}

/// Until when validators that may go on with a JWKS of before for so long do not know a key that
/// signs; `None` when they all do by the time it does.
fn unknown_until(key: &SigningKey, outdated: Duration) -> Option<Timestamp> {
    let known_at = key.life.published_at.plus(outdated);
    let signs_at = key.life.activated_at.unwrap_or(key.life.activates_at);
    (signs_at < known_at && !key.life.never_signs()).then_some(known_at)
}
