//! The keyring: what each root key that is held makes possible, and what former ones left.
//!
//! One root key is current: everything new depends on it alone. Others are held so that what
//! depends on them still works. Of a root key that is no longer held, its trace remains.

use std::sync::Arc;

use ring::hmac;
use zeroize::Zeroizing;

use super::imported::Imports;
use super::key_mint::{KeyMint, Likeness};
use super::root_key::{Purpose, RootKey, RootKeyId};
use super::seal::{DoesNotOpen, Seal};
use super::secret_hash::Pepper;
use crate::domain::secret::ApiKeySecret;

/// The root keys in use.
pub struct Keyring {
    current: Arc<Derived>,
    /// Former root keys, and such as are to become current.
    others: Vec<Arc<Derived>>,
    traces: Vec<Trace>,
    unopened: Vec<String>,
}

/// What one root key makes possible, each purpose under a key of its own.
pub(super) struct Derived {
    pub(super) id: RootKeyId,
    pub(super) mint: KeyMint,
    pub(super) pepper: Pepper,
    pub(super) seal: Seal,
    pub(super) chain: hmac::Key,
    pub(super) anchor: hmac::Key,
    pub(super) imports: Imports,
    lasting: Lasting,
}

/// A former root key, as the database knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Former {
    /// Its id.
    pub id: String,
    /// What it left, sealed under the current root key; `None` while something that only the
    /// root key itself can do depends on it.
    pub trace: Option<Vec<u8>>,
    /// Whether it was given up: what still depends on it stays shut, held or not.
    pub dropped: bool,
}

/// What must outlive a root key: API key strings carry its tag and audit entries its MACs, for
/// good. Neither opens, hashes or signs anything.
struct Trace {
    id: String,
    dropped: bool,
    mint: KeyMint,
    chain: hmac::Key,
}

/// The two derived keys behind a trace: 32 bytes that tag, 32 that chain.
struct Lasting(Zeroizing<[u8; 64]>);

/// A root key that something depends on is not held here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("root key {0} is not held here: put it beside the others, see `tenmint root-key status`")]
pub struct NotHeld(pub String);

impl Keyring {
    /// The keyring of the root keys that are held, of which the one of the id `current` is in
    /// use. `former` is what the database knows of those that were.
    ///
    /// # Errors
    /// [`NotHeld`] when the current one is not among them.
    pub fn new(held: &[RootKey], current: &str, former: &[Former]) -> Result<Self, NotHeld> {
        let derived = held.iter().map(|root| Arc::new(Derived::new(root)));
        Self::arrange(derived.collect(), current, former)
    }

    /// The same with root keys that were put beside them, as the database has it now. None goes
    /// that was not given up.
    ///
    /// # Errors
    /// [`NotHeld`] when the current one is not among them.
    pub fn again(
        &self,
        found: &[RootKey],
        current: &str,
        former: &[Former],
    ) -> Result<Self, NotHeld> {
        let mut held = vec![Arc::clone(&self.current)];
        held.extend(self.others.iter().cloned());
        let new = found.iter().filter(|root| !self.holds(root.id().as_str()));
        held.extend(new.map(|root| Arc::new(Derived::new(root))));
        Self::arrange(held, current, former)
    }

    fn arrange(
        mut held: Vec<Arc<Derived>>,
        current: &str,
        former: &[Former],
    ) -> Result<Self, NotHeld> {
        let is_current = |derived: &Arc<Derived>| derived.id.as_str() == current;
        let at = held.iter().position(is_current);
        // The others stay in their order: where tenmint wrote them down, the latest is the last.
        let in_use = held.remove(at.ok_or_else(|| NotHeld(current.to_owned()))?);
        held.retain(|derived| {
            let mut former = former.iter();
            !former.any(|former| former.dropped && former.id == derived.id.as_str())
        });
        let mut keyring = Self {
            current: in_use,
            others: held,
            traces: Vec::new(),
            unopened: Vec::new(),
        };
        for former in former {
            let Some(sealed) = &former.trace else {
                continue;
            };
            match Trace::open(&keyring.current.seal, former, sealed) {
                Ok(trace) => keyring.traces.push(trace),
                Err(DoesNotOpen) => keyring.unopened.push(former.id.clone()),
            }
        }
        Ok(keyring)
    }

    /// The keyring of one root key alone.
    #[must_use]
    pub fn of(root: &RootKey) -> Self {
        Self {
            current: Arc::new(Derived::new(root)),
            others: Vec::new(),
            traces: Vec::new(),
            unopened: Vec::new(),
        }
    }

    /// The id of the root key that everything new depends on.
    #[must_use]
    pub fn current(&self) -> &RootKeyId {
        &self.current.id
    }

    /// Whether a root key is held, and not only its trace.
    #[must_use]
    pub fn holds(&self, id: &str) -> bool {
        self.held(id).is_ok()
    }

    /// The ids of the root keys that are held: the current one, then the others as they were given.
    pub fn ids(&self) -> impl Iterator<Item = &RootKeyId> {
        std::iter::once(&self.current)
            .chain(&self.others)
            .map(|derived| &derived.id)
    }

    /// Former root keys whose traces do not open: somebody changed them.
    #[must_use]
    pub fn unopened(&self) -> &[String] {
        &self.unopened
    }

    /// What can check the MAC of an audit entry that any of the root keys there were has
    /// written, the current one's first.
    pub fn chains(&self) -> impl Iterator<Item = &hmac::Key> {
        let held = std::iter::once(&self.current).chain(&self.others);
        held.map(|derived| &derived.chain)
            .chain(self.traces.iter().map(|trace| &trace.chain))
    }

    /// What a root key that is held leaves, sealed under another for when it will not be.
    ///
    /// # Errors
    /// [`NotHeld`] when one of them is not.
    pub fn leave(&self, former: &str, sealed_by: &str) -> Result<Vec<u8>, NotHeld> {
        let Lasting(lasting) = &self.held(former)?.lasting;
        let seal = &self.held(sealed_by)?.seal;
        Ok(seal.seal_for(&**lasting, &associated_data(former)))
    }

    /// A trace that is sealed under the root key `from`, sealed under another.
    ///
    /// # Errors
    /// [`Reseal`] when one of the root keys is not held or the trace does not open.
    pub fn pass_on(
        &self,
        former: &str,
        trace: &[u8],
        from: &str,
        to: &str,
    ) -> Result<Vec<u8>, Reseal> {
        let bound = associated_data(former);
        let lasting = self.held(from)?.seal.open_for(trace, &bound)?;
        Ok(self.held(to)?.seal.seal_for(&lasting, &bound))
    }

    pub(super) fn in_use(&self) -> &Derived {
        &self.current
    }

    pub(super) fn held(&self, id: &str) -> Result<&Derived, NotHeld> {
        let mut held = std::iter::once(&self.current).chain(&self.others);
        let found = held.find(|derived| derived.id.as_str() == id);
        Ok(found.ok_or_else(|| NotHeld(id.to_owned()))?)
    }

    /// Every root key that is held, the current one first.
    pub(super) fn all_held(&self) -> impl Iterator<Item = &Derived> {
        std::iter::once(&self.current)
            .chain(&self.others)
            .map(|derived| &**derived)
    }

    /// Whether a root key was given up, so that nothing depends on it any more.
    pub(super) fn is_dropped(&self, id: &str) -> bool {
        let mut traces = self.traces.iter();
        traces.any(|trace| trace.dropped && trace.id == id)
    }

    /// What a key string is recognised by, if it was made under any of the root keys there were.
    pub(super) fn recognise(&self, presented: &ApiKeySecret) -> Option<Likeness> {
        let held = self.all_held().map(|derived| &derived.mint);
        let mut mints = held.chain(self.traces.iter().map(|trace| &trace.mint));
        mints.find_map(|mint| mint.recognise(presented))
    }
}

/// Why something cannot be sealed under another root key.
#[derive(Debug, thiserror::Error)]
pub enum Reseal {
    /// One of the two is not held here.
    #[error(transparent)]
    NotHeld(#[from] NotHeld),
    /// What was sealed does not open.
    #[error(transparent)]
    DoesNotOpen(#[from] DoesNotOpen),
}

impl Derived {
    fn new(root: &RootKey) -> Self {
        let mac = |purpose| hmac::Key::new(hmac::HMAC_SHA256, &*root.derive(purpose));
        let mut lasting = Zeroizing::new([0; 64]);
        lasting[..32].copy_from_slice(&*root.derive(Purpose::TagApiKeys));
        lasting[32..].copy_from_slice(&*root.derive(Purpose::ChainAudit));
        Self {
            id: root.id(),
            mint: KeyMint::new(root),
            pepper: Pepper::new(root),
            seal: Seal::new(root),
            chain: mac(Purpose::ChainAudit),
            anchor: mac(Purpose::AnchorAudit),
            imports: Imports::new(root),
            lasting: Lasting(lasting),
        }
    }
}

impl Trace {
    fn open(seal: &Seal, former: &Former, sealed: &[u8]) -> Result<Self, DoesNotOpen> {
        let lasting = seal.open_for(sealed, &associated_data(&former.id))?;
        let (tag, chain) = lasting.split_first_chunk::<32>().ok_or(DoesNotOpen)?;
        Ok(Self {
            id: former.id.clone(),
            dropped: former.dropped,
            mint: KeyMint::from_tag_key(tag),
            chain: hmac::Key::new(hmac::HMAC_SHA256, chain),
        })
    }
}

/// Apart from that of any signing key.
fn associated_data(former: &str) -> Vec<u8> {
    format!("trace of a root key\n{former}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random;

    fn made_under(root: &RootKey) -> ApiKeySecret {
        let prefix = "tmsk".parse().unwrap();
        KeyMint::new(root).mint(&prefix, random::ulid(1))
    }

    fn former(root: &RootKey, trace: Option<Vec<u8>>, dropped: bool) -> Former {
        Former {
            id: root.id().to_string(),
            trace,
            dropped,
        }
    }

    #[test]
    fn key_strings_of_every_root_key_there_was_are_genuine_and_no_others() {
        let (one, two, three) = (
            RootKey::generate(),
            RootKey::generate(),
            RootKey::generate(),
        );
        let ids: Vec<_> = [&one, &two, &three].map(|key| key.id().to_string()).into();
        let both = [one, two];
        let rotating = Keyring::new(&both, &ids[1], &[]).unwrap();
        assert!(rotating.recognise(&made_under(&both[0])).is_some());
        let trace = rotating.leave(&ids[0], &ids[1]).unwrap();

        // Its trace alone is left, and passed on to the one after the next.
        let [one, two] = both;
        let left = former(&one, Some(trace.clone()), true);
        let after = [two, three];
        let rotating = Keyring::new(&after, &ids[1], &[left]).unwrap();
        let passed = rotating.pass_on(&ids[0], &trace, &ids[1], &ids[2]).unwrap();
        let left = [
            former(&one, Some(passed), true),
            former(&after[0], None, false),
        ];
        let rotated = rotating.again(&[], &ids[2], &left).unwrap();
        for root in [&one, &after[0], &after[1]] {
            assert!(rotated.recognise(&made_under(root)).is_some());
        }
        assert!(
            rotated
                .recognise(&made_under(&RootKey::generate()))
                .is_none()
        );
        assert_eq!(rotated.chains().count(), 3);
        assert!(!rotated.holds(&ids[0]) && rotated.holds(&ids[1]));
    }

    #[test]
    fn a_trace_opens_for_its_own_root_key_under_the_current_one_alone() {
        let held = [RootKey::generate(), RootKey::generate()];
        let [old, new] = [held[0].id().to_string(), held[1].id().to_string()];
        let keyring = Keyring::new(&held, &new, &[]).unwrap();
        let trace = keyring.leave(&old, &new).unwrap();
        let opens = |keyring: &Keyring, id: &str, trace: &[u8]| {
            let former = Former {
                id: id.to_owned(),
                trace: Some(trace.to_vec()),
                dropped: true,
            };
            let current = keyring.current().as_str();
            let again = keyring.again(&[], current, &[former]).unwrap();
            again.unopened().is_empty()
        };
        assert!(opens(&keyring, &old, &trace));
        assert!(!opens(&keyring, "another", &trace));
        assert!(!opens(&keyring, &old, &trace[..40]));
        // Whoever has the old root key seals none that counts.
        let planted = keyring.leave(&old, &old).unwrap();
        assert!(!opens(&keyring, &old, &planted));
    }

    #[test]
    fn a_root_key_that_was_given_up_is_not_held_although_it_is_there() {
        let held = [RootKey::generate(), RootKey::generate()];
        let [old, new] = [held[0].id().to_string(), held[1].id().to_string()];
        let keyring = Keyring::new(&held, &new, &[]).unwrap();
        assert!(keyring.holds(&old));
        let trace = keyring.leave(&old, &new).unwrap();
        let dropped = [former(&held[0], Some(trace), true)];
        let keyring = Keyring::new(&held, &new, &dropped).unwrap();
        assert!(!keyring.holds(&old) && keyring.is_dropped(&old));
        assert!(keyring.recognise(&made_under(&held[0])).is_some());
        assert_eq!(
            Keyring::new(&held[..1], &new, &[]).err(),
            Some(NotHeld(new))
        );
    }
}
