//! Whether a string matches a hash is found out once, however many ask.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use subtle::ConstantTimeEq;
use tracing::Instrument;

use super::{Digest, Proofs, Subject};
use crate::credentials::gate::{Gate, Overloaded};
use crate::credentials::held_hash::End;
use crate::credentials::{Credential, Denied};
use crate::crypto::secret_hash::StoredHashError;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;
use crate::telemetry::spans::inner_span;

/// How many refuted secrets are remembered of each kind. Refuting one of tenmint's own needs a
/// string that was once a genuine key, so there are few; a string of another system can be made up
/// by whoever knows how a slow one begins. Apart from each other, and from the proven ones, they can
/// displace none.
const REFUTED: usize = 10_000;

/// How long a request waits for its turn and its run.
const PATIENCE: Duration = Duration::from_secs(12);

/// Through which gate secrets are proven, and which were not.
pub(super) struct Way {
    pub(super) gate: Arc<Gate>,
    /// Strings, and the ends of the hashes that they are not of. One that is being looked into has a
    /// place here: others who bring it wait for that.
    refuted: Cache<(Digest, End), ()>,
}

/// That a string matches a hash, to be found out.
pub(super) struct Claim {
    /// Of the string; where there is no subject, also of the hash.
    digest: Digest,
    key: KeyId,
    /// Whose key it is.
    organization: OrganizationId,
    /// Which hash, if only one string can match it; otherwise it is a slow one.
    subject: Option<Subject>,
}

impl Proofs {
    /// Whether a string matches a hash, if that was found out.
    pub(super) fn known(&self, digest: Digest, subject: Option<Subject>) -> Option<bool> {
        let Some(subject) = subject else {
            let proven = self.proven_slowly.get(&digest).map(|()| true);
            return proven.or_else(|| self.foreign.has_refuted(digest, subject));
        };
        match self.proven.get(&subject) {
            Some(proven) => Some(proven.ct_eq(&digest).into()),
            None => self.own.has_refuted(digest, Some(subject)),
        }
    }

    /// Does `work` in a task of its own: a client that hangs up and comes again then finds the run
    /// it started, instead of starting another.
    pub(super) async fn once(
        self: &Arc<Self>,
        claim: Claim,
        work: impl FnOnce() -> Result<bool, StoredHashError> + Send + 'static,
    ) -> Result<bool, Denied> {
        let proofs = Arc::clone(self);
        let run = async move { proofs.find_out(&claim, work).await };
        let run = tokio::spawn(run.instrument(inner_span!("prove a secret")));
        match tokio::time::timeout(PATIENCE, run).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(Denied::Overloaded(Overloaded)),
        }
    }

    /// One run, however many ask: the others wait at the cache.
    async fn find_out(
        &self,
        claim: &Claim,
        work: impl FnOnce() -> Result<bool, StoredHashError> + Send + 'static,
    ) -> Result<bool, Denied> {
        let way = match claim.subject {
            Some(_) => &self.own,
            None => &self.foreign,
        };
        let place = place(claim.digest, claim.subject);
        let guard = match way.refuted.get_value_or_guard_async(&place).await {
            Ok(()) => return Ok(false),
            Err(guard) => guard,
        };
        // Another run ended while this one waited for the guard.
        if let Some(known) = self.known(claim.digest, claim.subject) {
            return Ok(known);
        }
        let _trial = match claim.subject {
            Some(_) => None,
            None => Some(self.one_each.turn(claim.key).await.ok_or(Overloaded)?),
        };
        let matches = way.gate.run(Some(&claim.organization), work).await??;
        match claim.subject {
            Some(subject) if matches => self.proven.insert(subject, claim.digest),
            None if matches => self.proven_slowly.insert(claim.digest, ()),
            _ => {
                let _ = guard.insert(());
            }
        }
        Ok(matches)
    }
}

impl Claim {
    pub(super) fn of(credential: &Credential, digest: Digest, subject: Option<Subject>) -> Self {
        Self {
            digest,
            key: credential.key.id,
            organization: credential.key.organization.clone(),
            subject,
        }
    }
}

impl Way {
    pub(super) fn through(gate: Arc<Gate>) -> Self {
        Self {
            gate,
            refuted: Cache::new(REFUTED),
        }
    }

    /// `Some(false)` of a string that is known not to match.
    fn has_refuted(&self, digest: Digest, subject: Option<Subject>) -> Option<bool> {
        let refuted = self.refuted.get(&place(digest, subject));
        refuted.map(|()| false)
    }
}

/// Under what it is remembered that a string does not match.
fn place(digest: Digest, subject: Option<Subject>) -> (Digest, End) {
    let end = subject.map(|(_, end)| end);
    (digest, end.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Crypto;
    use crate::crypto::keyring::Keyring;
    use crate::crypto::root_key::RootKey;
    use crate::crypto::secret_hash::HashCost;

    #[tokio::test(flavor = "multi_thread")]
    async fn strings_that_anybody_makes_up_displace_no_secret_that_was_refuted() {
        let keyring = Keyring::of(&RootKey::generate());
        let crypto = Crypto::new(keyring, "tmsk".parse().unwrap(), HashCost::default());
        let gate = Arc::new(Gate::of_width(1));
        let proofs = Proofs::new(Arc::new(crypto), gate, 10);
        let key = KeyId::new(ulid::Ulid(1));
        let refute = async |n: usize, subject: Option<Subject>| {
            let claim = Claim {
                digest: proofs.digest(&n.to_string(), b"hash"),
                key,
                organization: "acme".parse().unwrap(),
                subject,
            };
            let found = proofs.find_out(&claim, || Ok(false)).await;
            assert!(!found.unwrap());
            claim.digest
        };
        let subject = Some((key, *b"the hash"));
        let former = refute(0, subject).await;
        for n in 1..2 * REFUTED {
            refute(n, None).await;
        }
        assert_eq!(proofs.known(former, subject), Some(false));
        // Of another hash of the same key nothing is known.
        assert_eq!(proofs.known(former, Some((key, *b"another."))), None);
        assert!(proofs.foreign.refuted.len() <= REFUTED);
    }
}
