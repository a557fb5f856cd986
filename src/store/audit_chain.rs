//! The audit chain: what the MAC of an entry is over, for those who write and who verify.

use ring::{digest, hmac};
use serde_json::json;

use super::audit::AuditRow;
use crate::domain::hex::hex;
use crate::domain::timestamp::Timestamp;

/// What can be said of a stored entry by itself and the MAC before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Integrity {
    /// It is as it was written.
    Whole,
    /// Its personal parts are gone, all of them; the rest is as it was written. Whether an act
    /// erased them, a later entry says.
    Erased,
    /// It is not what was written here.
    Edited,
}

impl AuditRow {
    /// Puts the digest of the personal parts in place, then the MAC over all and `previous`.
    pub(super) fn seal(&mut self, organization: &str, chain: &hmac::Key, previous: &[u8]) {
        self.digest = self.salt.as_deref().map(|salt| self.personal_digest(salt));
        self.mac = self.expected_mac(organization, chain, previous);
    }

    /// Compares what is stored with what was sealed.
    #[must_use]
    pub fn integrity(&self, organization: &str, chain: &hmac::Key, previous: &[u8]) -> Integrity {
        let authentic = self.mac == self.expected_mac(organization, chain, previous);
        let emptied = self.salt.is_none()
            && self.acting_for.is_none()
            && self.address.is_none()
            && self.details == ERASED_DETAILS;
        match (&self.digest, &self.salt) {
            (Some(digest), Some(salt)) if authentic && *digest == self.personal_digest(salt) => {
                Integrity::Whole
            }
            (Some(_), None) if authentic && emptied => Integrity::Erased,
            // From before there were digests, neither salt nor acting_for.
            (None, None) if authentic && self.acting_for.is_none() => Integrity::Whole,
            // What its MAC is over is gone. The MAC itself is under that of the next entry.
            (None, None) if emptied => Integrity::Erased,
            _ => Integrity::Edited,
        }
    }

    fn expected_mac(&self, organization: &str, chain: &hmac::Key, previous: &[u8]) -> Vec<u8> {
        // Arrays of different lengths: an entry of one form never passes for the other.
        let entry = match &self.digest {
            Some(digest) => json!([
                organization,
                self.sequence,
                self.at,
                self.actor,
                self.action,
                self.target,
                self.request_id,
                hex(digest),
            ]),
            None => json!([
                organization,
                self.sequence,
                self.at,
                self.actor,
                self.address,
                self.request_id,
                self.action,
                self.target,
                self.details,
            ]),
        };
        let mut mac = hmac::Context::with_key(chain);
        mac.update(previous);
        mac.update(entry.to_string().as_bytes());
        mac.sign().as_ref().to_vec()
    }

    /// Salted, so that once both are gone nobody finds them by trying.
    fn personal_digest(&self, salt: &[u8]) -> Vec<u8> {
        let personal = json!([hex(salt), self.address, self.acting_for, self.details]);
        let digest = digest::digest(&digest::SHA256, personal.to_string().as_bytes());
        digest.as_ref().to_vec()
    }
}

/// What vouches, under a root key's anchor key, for where an organization's chain stood when it
/// went over to that root key: each MAC is over the one before, so this holds all of them.
#[must_use]
pub fn anchor_proof(
    anchor: &hmac::Key,
    organization: &str,
    (sequence, mac): (i64, &[u8]),
) -> Vec<u8> {
    let stood = json!([organization, sequence, hex(mac)]).to_string();
    hmac::sign(anchor, stood.as_bytes()).as_ref().to_vec()
}

/// What vouches, under a root key's anchor key, that an entry was the last of an organization's
/// chain at some time.
#[must_use]
pub fn end_proof(
    anchor: &hmac::Key,
    organization: &str,
    last: (i64, &[u8]),
    at: Timestamp,
) -> Vec<u8> {
    let ended = end_text(organization, last, at);
    hmac::sign(anchor, ended.as_bytes()).as_ref().to_vec()
}

/// Whether a proof is what [`end_proof`] gives for the same.
#[must_use]
pub fn proves_end(
    anchor: &hmac::Key,
    organization: &str,
    last: (i64, &[u8]),
    at: Timestamp,
    proof: &[u8],
) -> bool {
    let ended = end_text(organization, last, at);
    hmac::verify(anchor, ended.as_bytes(), proof).is_ok()
}

/// A longer array than an anchor's: what is shown in an export never vouches for a chain.
fn end_text(organization: &str, (sequence, mac): (i64, &[u8]), at: Timestamp) -> String {
    json!(["end", organization, sequence, hex(mac), at.unix()]).to_string()
}

/// What is left of the details of an erased entry.
pub(super) const ERASED_DETAILS: &str = "{}";
