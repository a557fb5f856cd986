//! A feed as it is published: signed once for each change, and again while nothing changes, so that
//! whoever holds it knows that this is still so.

use std::sync::{Arc, Weak};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};

use super::taken_back::Snapshot;
use crate::credentials::issuers::Identity;
use crate::crypto::jose::revocations::{FeedClaims, TYP};
use crate::domain::issuer::{BaseUrl, Issuer};
use crate::domain::timestamp::Timestamp;

/// How long a feed counts: whoever replays an old one gains no more than that.
pub const VALIDITY: Duration = Duration::from_mins(5);

/// How often it is signed anew though nothing changed. All nodes do so at the same times, so that
/// what one of them gave is not old to another.
const RENEWAL: i64 = 60;

/// A signed feed.
pub struct Feed {
    /// The JWT.
    pub text: Arc<[u8]>,
    /// What is in it, and as of when.
    pub tag: Tag,
    expires_at: Timestamp,
    seq: i64,
    of: Weak<Snapshot>,
    by: Weak<Identity>,
}

/// What tells feeds apart: not their bytes, because every node signs its own, and a signature is
/// another each time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tag {
    /// The digest of what is void, and of who says so.
    content: String,
    /// Which renewal this is.
    round: i64,
}

impl Feed {
    /// What an issuer publishes at this time; `before` if nothing of it has changed.
    pub(super) fn of(
        (issuer, base): (&Issuer, &BaseUrl),
        identity: &Arc<Identity>,
        snapshot: &Arc<Snapshot>,
        millis: u64,
        before: Option<&Self>,
    ) -> Self {
        let millis = i64::try_from(millis).unwrap_or(i64::MAX);
        let now = Timestamp::from_unix(millis / 1_000).unwrap_or(Timestamp::MAX);
        let revoked = snapshot.revoked(issuer, now);
        let listed = serde_json::to_vec(&revoked).expect("a feed is JSON");
        let content = digest(&SHA256, &[&listed, identity.jwks.as_bytes()].concat());
        let tag = Tag {
            content: URL_SAFE_NO_PAD.encode(&content.as_ref()[..12]),
            round: round(now),
        };
        let of = Arc::downgrade(snapshot);
        let by = Arc::downgrade(identity);
        if let Some(same) = before.filter(|before| before.tag == tag) {
            return Self {
                text: Arc::clone(&same.text),
                of,
                by,
                tag,
                ..*same
            };
        }
        // Two within a millisecond, or a clock that was set back: whoever holds the one before
        // must still see that this one is newer.
        let seq = before.map_or(millis, |before| millis.max(before.seq + 1));
        let expires_at = now.plus(VALIDITY);
        let claims = FeedClaims {
            iss: issuer.name(base),
            iat: now.unix(),
            exp: expires_at.unix(),
            seq,
            revoked,
        };
        Self {
            text: identity.signer.sign_as(TYP, &claims).into_bytes().into(),
            expires_at,
            seq,
            of,
            by,
            tag,
        }
    }

    /// Whether it is what would be made now of these.
    pub(super) fn is_current(
        &self,
        by: &Arc<Identity>,
        of: &Arc<Snapshot>,
        now: Timestamp,
    ) -> bool {
        std::ptr::eq(self.by.as_ptr(), Arc::as_ptr(by))
            && std::ptr::eq(self.of.as_ptr(), Arc::as_ptr(of))
            && self.tag.round == round(now)
    }

    /// Whether it is not past its end.
    pub(super) fn counts_at(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }

    /// Whether what has that tag says the same, and does not end soon.
    #[must_use]
    pub fn is_as_good_as(&self, held: &Tag) -> bool {
        let age = self.tag.round - held.round;
        self.tag.content == held.content && (-1..=1).contains(&age)
    }
}

fn round(now: Timestamp) -> i64 {
    now.unix() / RENEWAL
}

impl Tag {
    /// As it stands in an entity tag, without its quotation marks.
    #[must_use]
    pub fn opaque(&self) -> String {
        format!("{}.{}", self.content, self.round)
    }

    /// What [`Self::opaque`] wrote.
    #[must_use]
    pub fn read(opaque: &str) -> Option<Self> {
        let (content, round) = opaque.split_once('.')?;
        Some(Self {
            content: content.to_owned(),
            round: round.parse().ok().filter(|round| *round >= 0)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_as_it_was_written() {
        let tag = Tag {
            content: "abc-_".to_owned(),
            round: 29_833_333,
        };
        assert_eq!(Tag::read(&tag.opaque()), Some(tag));
        for text in [
            "",
            "abc",
            "abc.",
            "abc.x",
            ".-1",
            "abc.99999999999999999999",
        ] {
            assert_eq!(Tag::read(text), None, "{text}");
        }
    }
}
