//! What must be refused although signature and times are good.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::domain::signing_key::Kid;
use crate::domain::timestamp::Timestamp;

use super::claims::Verified;

/// Knows what the issuer has revoked. Asked for every request, also of tokens that are remembered.
pub trait Revocations: Send + Sync + 'static {
    /// Whether a token that is otherwise good still counts.
    fn standing(&self, token: &Verified, now: Timestamp) -> Standing;
}

/// Whether a token still counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Nothing speaks against it.
    Good,
    /// It does not.
    Void,
    /// What is known is too old to say.
    Unknown,
}

/// Whose tokens are void.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Void {
    /// An API key, by its id: revoked, disabled, or narrowed.
    Key(String),
    /// An organization, by its id: suspended.
    Organization(String),
    /// A signing key: withdrawn.
    SigningKey(Kid),
    /// One token, by its `jti`.
    Token(String),
}

/// A list of revocations, each with the instant before which tokens are void. It is replaced as a
/// whole. Cheap to clone; clones share the list.
#[derive(Clone, Default)]
pub struct RevocationList(Arc<RwLock<Arc<Lists>>>);

type Before = HashMap<String, Timestamp>;

#[derive(Default)]
struct Lists {
    keys: Before,
    organizations: Before,
    signing_keys: Before,
    tokens: Before,
}

impl RevocationList {
    /// Nothing is revoked.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on these count and no others. Tokens issued before the instant are void; those
    /// issued in its second or later are not.
    pub fn replace(&self, revoked: impl IntoIterator<Item = (Void, Timestamp)>) {
        let mut lists = Lists::default();
        for (void, before) in revoked {
            let (list, name) = match void {
                Void::Key(id) => (&mut lists.keys, id),
                Void::Organization(id) => (&mut lists.organizations, id),
                Void::SigningKey(kid) => (&mut lists.signing_keys, kid.to_string()),
                Void::Token(id) => (&mut lists.tokens, id),
            };
            // Of two that speak of the same, the one that voids more.
            let latest = list.entry(name).or_insert(before);
            *latest = before.max(*latest);
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(lists);
    }
}

impl Revocations for RevocationList {
    fn standing(&self, token: &Verified, _now: Timestamp) -> Standing {
        let lists = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let issued = token.issued_at();
        let voids = |list: &Before, name: &str| list.get(name).is_some_and(|end| issued < *end);
        let is_void = voids(&lists.keys, token.key_id())
            || voids(&lists.organizations, token.organization())
            || voids(&lists.signing_keys, token.signing_key().as_str())
            || voids(&lists.tokens, token.token_id());
        if is_void {
            Standing::Void
        } else {
            Standing::Good
        }
    }
}
