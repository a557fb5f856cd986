//! Imported API keys: how their strings are found again, and proved, without being known.
//!
//! Of a string, or of its SHA-256 or SHA-512, a MAC is kept whose key comes from the root key. It
//! finds the row, and another one, bound to the id of the key, proves that the row is meant. Whoever
//! has the database alone can neither compute the one nor try strings against the other. What
//! bcrypt or Argon2 made of a string is sealed until the string is first used; a MAC then takes
//! its place.

mod kept;
mod slow;
#[cfg(test)]
mod tests;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use ring::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::root_key::{Purpose, RootKey};
use super::seal::Seal;
use super::secret_hash::StoredHashError;
use crate::domain::secret::{ForeignSecret, IMPORTED, KeyId};
use kept::{sha256, sha512};
use slow::verify_slow;

pub use kept::Kept;
pub use slow::HashError;

/// How everything begins that is stored in the place of a PHC string.
const MARK: &str = "$tenmint-";
const SHA256: &str = "$tenmint-sha256$";
const SHA512: &str = "$tenmint-sha512$";
const SEALED: &str = "$tenmint-sealed$";

/// By what a string is looked up: a MAC, as text.
pub type Lookup = String;

/// A string as it is stored.
#[derive(Debug)]
pub struct Imported {
    /// By what it is found.
    pub lookup: Lookup,
    /// What no other has: all that the string would be found by in any form that can be told from
    /// what is known of it; where that is a slow hash, a MAC of the hash.
    pub unique: Vec<Lookup>,
    /// What proves it.
    pub hash: String,
    /// How people recognise it: no one can compute it who has no root key.
    pub fingerprint: String,
}

/// What one root key makes of imported strings.
pub(super) struct Imports {
    lookup: hmac::Key,
    proof: hmac::Key,
}

/// Whether what is stored is of an imported string.
#[must_use]
pub fn is_imported(stored: &str) -> bool {
    stored.starts_with(MARK)
}

/// Whether proving it takes long enough to be done off the async threads, and once.
#[must_use]
pub fn is_slow(stored: &str) -> bool {
    stored.starts_with(SEALED)
}

impl Imports {
    pub(super) fn new(root: &RootKey) -> Self {
        let mac = |purpose| hmac::Key::new(hmac::HMAC_SHA256, &*root.derive(purpose));
        Self {
            lookup: mac(Purpose::FindImports),
            proof: mac(Purpose::ProveImports),
        }
    }

    /// What is stored of a string for the key of this id.
    pub(super) fn import(&self, id: KeyId, kept: &Kept, seal: &Seal) -> Imported {
        let (lookup, hash) = match kept {
            Kept::Whole { sha256, .. } | Kept::Sha256(sha256) => {
                (self.find(SHA256, sha256), self.proven(id, SHA256, sha256))
            }
            Kept::Sha512(sha512) => (self.find(SHA512, sha512), self.proven(id, SHA512, sha512)),
            Kept::Slow { hash, prefix } => {
                let sealed = seal.seal_for(hash.as_bytes(), &associated_data(id));
                let sealed = format!("{SEALED}{}", BASE64.encode(sealed));
                (self.find(SEALED, prefix.as_bytes()), sealed)
            }
        };
        // Of the hash: nobody who sees it can try strings.
        let named = mac(&self.lookup, &[b"name\n", hash.as_bytes()]);
        Imported {
            fingerprint: format!("{IMPORTED}{}", super::hex(&named[..8])),
            lookup,
            unique: self.unique(kept),
            hash,
        }
    }

    /// What no other key has that was imported.
    pub(super) fn unique(&self, kept: &Kept) -> Vec<Lookup> {
        match kept {
            Kept::Whole { sha256, sha512 } => {
                vec![self.find(SHA256, sha256), self.find(SHA512, sha512)]
            }
            Kept::Sha256(digest) => vec![self.find(SHA256, digest)],
            Kept::Sha512(digest) => vec![self.find(SHA512, digest)],
            Kept::Slow { hash, .. } => vec![self.find("given\n", hash.as_bytes())],
        }
    }

    /// By what a presented string may be found: itself, and its beginnings of these lengths.
    pub(super) fn lookups<'a>(
        &'a self,
        secret: &'a ForeignSecret,
        prefixes: &'a [usize],
    ) -> impl Iterator<Item = Lookup> + 'a {
        let whole = [
            self.find(SHA256, &sha256(secret)),
            self.find(SHA512, &sha512(secret)),
        ];
        let prefixes = prefixes.iter().filter_map(|length| {
            let prefix = secret.expose().as_bytes().get(..*length)?;
            Some(self.find(SEALED, prefix))
        });
        whole.into_iter().chain(prefixes)
    }

    /// Whether a string is that of which `stored` was made for the key of this id.
    pub(super) fn verify(
        &self,
        id: KeyId,
        secret: &ForeignSecret,
        stored: &str,
        seal: &Seal,
    ) -> Result<bool, StoredHashError> {
        let same = |expected: String| expected.as_bytes().ct_eq(stored.as_bytes()).into();
        if stored.starts_with(SHA256) {
            Ok(same(self.proven(id, SHA256, &sha256(secret))))
        } else if stored.starts_with(SHA512) {
            Ok(same(self.proven(id, SHA512, &sha512(secret))))
        } else {
            let hash = slow_hash(id, stored, seal)?;
            verify_slow(secret.expose().as_bytes(), &hash)
        }
    }

    /// What was kept of a string whose slow hash is stored, to be stored under another root key, and
    /// by how many bytes it is found: how it begins tells whoever presents it. `None` if none of
    /// `beginnings` is of this string.
    pub(super) fn kept(
        &self,
        id: KeyId,
        secret: &ForeignSecret,
        stored: &str,
        beginnings: &[Lookup],
        seal: &Seal,
    ) -> Result<Option<(Kept, usize)>, StoredHashError> {
        let hash = slow_hash(id, stored, seal)?;
        let text = secret.expose();
        let mut begun = (1..=text.len()).filter_map(|length| text.get(..length));
        let prefix = begun.find(|prefix| {
            let found_by = self.find(SEALED, prefix.as_bytes());
            beginnings.contains(&found_by)
        });
        Ok(prefix.map(|prefix| {
            let kept = Kept::Slow {
                hash: hash.to_string(),
                prefix: prefix.to_owned(),
            };
            (kept, prefix.len())
        }))
    }

    fn find(&self, kind: &str, what: &[u8]) -> Lookup {
        BASE64.encode(mac(&self.lookup, &[kind.as_bytes(), what]))
    }

    fn proven(&self, id: KeyId, kind: &str, digest: &[u8]) -> String {
        let id = id.to_string();
        let mac = mac(
            &self.proof,
            &[kind.as_bytes(), id.as_bytes(), b"\n", digest],
        );
        format!("{kind}{}", BASE64.encode(mac))
    }
}

fn mac(key: &hmac::Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    let tag = context.sign();
    tag.as_ref().try_into().expect("an HMAC-SHA256 of 32 bytes")
}

/// A slow hash, from how it is stored.
fn slow_hash(id: KeyId, stored: &str, seal: &Seal) -> Result<Zeroizing<String>, StoredHashError> {
    let sealed = stored.strip_prefix(SEALED);
    let sealed = sealed.and_then(|text| BASE64.decode(text).ok());
    let sealed = sealed.ok_or(StoredHashError::Damaged)?;
    let opened = seal.open_for(&sealed, &associated_data(id));
    let opened = opened.map_err(|_| StoredHashError::Damaged)?;
    let hash = std::str::from_utf8(&opened).map_err(|_| StoredHashError::Damaged)?;
    Ok(Zeroizing::new(hash.to_owned()))
}

/// Apart from that of any signing key or trace.
fn associated_data(id: KeyId) -> Vec<u8> {
    format!("imported secret\n{id}").into_bytes()
}
