//! Randomness, from the operating system alone.

use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use ulid::Ulid;

/// `N` bytes nobody can guess.
///
/// # Panics
/// When the operating system has no randomness to give: nothing made without it is safe.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the operating system gives random bytes");
    bytes
}

/// A ULID for something made at this Unix time in milliseconds.
#[must_use]
pub fn ulid(unix_millis: u64) -> Ulid {
    Ulid::from_parts(unix_millis, u128::from_le_bytes(drawn()))
}

/// A token id (`jti`): 128 random bits, base64url.
#[must_use]
pub fn token_id() -> String {
    URL_SAFE_NO_PAD.encode(drawn())
}

/// Bytes for what tells things apart and is no secret. To ask the system costs more than all else
/// about such a name, so that it is asked for a hundred at a time.
fn drawn() -> [u8; 16] {
    static DRAWN: Mutex<Vec<[u8; 16]>> = Mutex::new(Vec::new());
    let mut left = DRAWN.lock().unwrap_or_else(PoisonError::into_inner);
    if left.is_empty() {
        left.extend_from_slice(bytes::<{ 16 * 100 }>().as_chunks().0);
    }
    left.pop().unwrap_or_else(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulids_sort_by_creation() {
        assert!(ulid(1_000) < ulid(1_001));
        assert_eq!(ulid(1_000).timestamp_ms(), 1_000);
        assert_ne!(ulid(1_000), ulid(1_000));
    }

    #[test]
    fn token_ids_do_not_repeat() {
        let ids: std::collections::HashSet<_> = (0..1_000).map(|_| token_id()).collect();
        assert_eq!(ids.len(), 1_000);
        assert!(ids.iter().all(|id| id.len() == 22));
    }
}
