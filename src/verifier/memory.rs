//! Tokens seen before: what was verified once is a lookup until it ends.

use quick_cache::sync::Cache;
use ring::digest::{SHA256, digest};

use super::claims::Verified;

/// A bounded memory. It knows tokens by their digest: whoever reads it has no token.
///
/// Only what was verified gets in, so that nobody can fill it with what they made up.
pub(super) struct Memory(Option<Cache<Digest, Entry>>);

type Digest = [u8; 32];

#[derive(Clone)]
struct Entry {
    verified: Verified,
    /// Of the keys it was verified with.
    generation: u64,
}

impl Memory {
    /// Room for this many tokens; none for zero.
    pub(super) fn new(tokens: usize) -> Self {
        Self((tokens > 0).then(|| Cache::new(tokens)))
    }

    /// A token that was verified with the keys of this generation.
    pub(super) fn recall(&self, token: &str, generation: u64) -> Option<Verified> {
        let cache = self.0.as_ref()?;
        let entry = cache.get(&of(token))?;
        (entry.generation == generation).then_some(entry.verified)
    }

    /// Keeps it until something else needs the room.
    pub(super) fn keep(&self, token: &str, verified: &Verified, generation: u64) {
        if let Some(cache) = &self.0 {
            let verified = verified.clone();
            let entry = Entry {
                verified,
                generation,
            };
            cache.insert(of(token), entry);
        }
    }
}

fn of(token: &str) -> Digest {
    let digest = digest(&SHA256, token.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 is 32 bytes")
}
