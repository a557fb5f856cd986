//! What is fetched becomes what is known: checked like a token, and never going back.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::{Held, Shared};
use crate::crypto::jose::revocations::{Alias, FeedClaims, TYP};
use crate::crypto::jose::trust::{self, TokenError, TrustedKey};
use crate::domain::timestamp::Timestamp;
use crate::verifier::fetch::FetchError;

/// How far ahead the issuer's clock may be. Beyond, a feed would stay the newest for too long.
const AHEAD: Duration = Duration::from_mins(5);

impl Shared {
    /// Reads a feed. Whether it tells something new.
    pub(super) async fn read(&self, text: &[u8]) -> Result<bool, FetchError> {
        let text = std::str::from_utf8(text).map_err(|_| wrong())?;
        // Not by keys that count only because no others can be had: one of them may be withdrawn.
        let missing = FetchError::Wrong("the keys to check the revocation feed with are too old");
        let keys = self.keys.fresh().await.ok_or_else(|| missing.clone())?;
        let (claims, keys) = match self.judge(text, &keys.keys) {
            Err(NotAFeed::UnknownKey) => {
                let renewed = self.keys.renewed(&keys).await;
                (self.judge(text, &renewed.keys), renewed)
            }
            judged => (judged, keys),
        };
        let claims = claims.map_err(|_| wrong())?;
        let is_withdrawn = |key: &TrustedKey| {
            let alias = Alias::of(key.kid().as_str());
            claims.revoked.signing_keys.contains_key(&alias)
        };
        let holds_withdrawn = keys.keys.iter().any(is_withdrawn);
        let is_new = self.keep(claims);
        if holds_withdrawn {
            self.keys.renewed(&keys).await;
        }
        Ok(is_new)
    }

    fn judge(&self, text: &str, keys: &[TrustedKey]) -> Result<FeedClaims, NotAFeed> {
        let mut is_known = true;
        let find = |named: &str| {
            let found = keys.iter().find(|key| key.kid().as_str() == named);
            is_known = found.is_some();
            found
        };
        let signed = trust::signed::<FeedClaims>(text, find).map_err(|error| match error {
            TokenError::Signature if !is_known => NotAFeed::UnknownKey,
            _ => NotAFeed::Other,
        })?;
        let is_feed = |typ: &str| {
            let typ = typ.to_ascii_lowercase();
            typ.strip_prefix("application/").unwrap_or(&typ) == TYP
        };
        let (claims, now) = (signed.claims, self.clock.now());
        let held = self.held();
        let is_withdrawn = held.is_some_and(|held| {
            let alias = Alias::of(signed.kid.as_str());
            held.revoked.signing_keys.contains_key(&alias)
        });
        let is_good = signed.typ.as_deref().is_some_and(is_feed)
            && claims.iss == self.issuer
            && claims.exp > now.unix()
            && claims.iat <= now.plus(AHEAD).unix()
            && !is_withdrawn;
        is_good.then_some(claims).ok_or(NotAFeed::Other)
    }

    /// A newer feed takes the place of the one held; another adds to it. Whether that made a
    /// difference.
    fn keep(&self, claims: FeedClaims) -> bool {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let expires_at = Timestamp::from_unix(claims.exp).unwrap_or(Timestamp::MAX);
        let new = match &*held {
            Some(before) if claims.seq <= before.seq => {
                let mut revoked = before.revoked.clone();
                revoked.add(&claims.revoked);
                Held {
                    revoked,
                    seq: before.seq,
                    expires_at: before.expires_at,
                }
            }
            _ => Held {
                revoked: claims.revoked,
                seq: claims.seq,
                expires_at,
            },
        };
        let before = held.replace(Arc::new(new));
        let (before, now) = (before.as_deref(), held.as_deref());
        before.map(|before| &before.revoked) != now.map(|now| &now.revoked)
    }
}

enum NotAFeed {
    /// Perhaps signed by a key that is newer than what is held.
    UnknownKey,
    Other,
}

fn wrong() -> FetchError {
    FetchError::Wrong("what is there is no revocation feed of this issuer that counts now")
}
