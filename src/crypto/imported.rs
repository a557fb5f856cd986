//! Imported API keys: how their strings are found again, and proved, without being known.
//!
//! Of a string, or of its SHA-256 or SHA-512, a MAC is kept whose key comes from the root key. It
//! finds the row, and another one, bound to the id of the key, proves that the row is meant. Whoever
//! has the database alone can neither compute the one nor try strings against the other. What
//! bcrypt or Argon2 made of a string is sealed until the string is first used; a MAC then takes
//! its place.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use ring::{digest, hmac};
use subtle::ConstantTimeEq;

use super::root_key::{Purpose, RootKey};
use super::seal::Seal;
use super::secret_hash::{HashCost, StoredHashError};
use crate::domain::secret::{ForeignSecret, KeyId};

/// How everything begins that is stored in the place of a PHC string.
const MARK: &str = "$tenmint-";
const SHA256: &str = "$tenmint-sha256$";
const SHA512: &str = "$tenmint-sha512$";
const SEALED: &str = "$tenmint-sealed$";

/// The dearest bcrypt that is accepted: 2^12 rounds.
const MOST_BCRYPT: u32 = 12;

/// By what a string is looked up: a MAC, as text.
pub type Lookup = String;

/// What a platform kept of a string, checked by itself.
pub enum Kept {
    /// The string, or its SHA-256.
    Sha256([u8; 32]),
    /// Its SHA-512.
    Sha512([u8; 64]),
    /// A bcrypt hash, or an Argon2 hash as a PHC string. Nothing of the string can be looked up,
    /// so its beginning must be known.
    Slow {
        /// The hash.
        hash: String,
        /// How the string begins.
        prefix: String,
    },
}

/// A string as it is stored.
#[derive(Debug)]
pub struct Imported {
    /// By what it is found.
    pub lookup: Lookup,
    /// What no other has: the same as that, or where many strings begin alike a MAC of the hash.
    pub unique: Lookup,
    /// What proves it.
    pub hash: String,
    /// How people recognise it: no one can compute it who has no root key.
    pub fingerprint: String,
}

/// Why a hash cannot be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// It cannot be read.
    #[error(
        "write bcrypt as $2a$, $2b$ or $2y$, and argon2 as $argon2id$ or $argon2i$, version 19"
    )]
    Form,
    /// It would take too long.
    #[error("it costs too much: bcrypt is accepted up to 12, argon2 up to 64 MiB and 16 passes")]
    TooDear,
}

/// What one root key makes of imported strings.
pub(super) struct Imports {
    lookup: hmac::Key,
    proof: hmac::Key,
}

impl Kept {
    /// Of the string itself.
    #[must_use]
    pub fn of(secret: &ForeignSecret) -> Self {
        Self::Sha256(sha256(secret))
    }

    /// Of a slow hash, once it is known to be one.
    ///
    /// # Errors
    /// See [`HashError`].
    pub fn slow(hash: String, prefix: String) -> Result<Self, HashError> {
        match slow(&hash)? {
            Slow::Bcrypt(cost) if cost > MOST_BCRYPT => Err(HashError::TooDear),
            Slow::Argon2(cost) if !cost.is_acceptable() => Err(HashError::TooDear),
            Slow::Bcrypt(_) | Slow::Argon2(_) => Ok(Self::Slow { hash, prefix }),
        }
    }
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
        let (lookup, unique, hash) = match kept {
            Kept::Sha256(digest) => {
                let lookup = self.find(SHA256, digest);
                (lookup.clone(), lookup, self.proven(id, SHA256, digest))
            }
            Kept::Sha512(digest) => {
                let lookup = self.find(SHA512, digest);
                (lookup.clone(), lookup, self.proven(id, SHA512, digest))
            }
            Kept::Slow { hash, prefix } => {
                let sealed = seal.seal_for(hash.as_bytes(), &associated_data(id));
                let sealed = format!("{SEALED}{}", BASE64.encode(sealed));
                (
                    self.find(SEALED, prefix.as_bytes()),
                    self.find("given\n", hash.as_bytes()),
                    sealed,
                )
            }
        };
        // Of the hash: nobody who sees it can try strings.
        let named = mac(&self.lookup, &[b"name\n", hash.as_bytes()]);
        Imported {
            fingerprint: format!("imported:{}", super::hex(&named[..8])),
            lookup,
            unique,
            hash,
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
            let sealed = stored.strip_prefix(SEALED);
            let sealed = sealed.and_then(|text| BASE64.decode(text).ok());
            let sealed = sealed.ok_or(StoredHashError::Damaged)?;
            let opened = seal.open_for(&sealed, &associated_data(id));
            let opened = opened.map_err(|_| StoredHashError::Damaged)?;
            let hash = std::str::from_utf8(&opened).map_err(|_| StoredHashError::Damaged)?;
            verify_slow(secret.expose().as_bytes(), hash)
        }
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

/// A slow hash, and what it costs.
enum Slow {
    Bcrypt(u32),
    Argon2(HashCost),
}

fn slow(hash: &str) -> Result<Slow, HashError> {
    if hash.starts_with("$2") {
        let kind = ["$2a$", "$2b$", "$2y$"];
        let parts: Result<bcrypt::HashParts, _> = hash.parse();
        return match parts {
            Ok(parts) if hash.len() == 60 && kind.iter().any(|kind| hash.starts_with(kind)) => {
                Ok(Slow::Bcrypt(parts.get_cost()))
            }
            _ => Err(HashError::Form),
        };
    }
    let read = argon2(hash).ok_or(HashError::Form)?;
    Ok(Slow::Argon2(HashCost {
        memory_kib: read.params.m_cost(),
        passes: read.params.t_cost(),
        lanes: read.params.p_cost(),
    }))
}

struct Argon2Hash {
    algorithm: Algorithm,
    params: Params,
    salt: Vec<u8>,
    output: Vec<u8>,
}

fn argon2(hash: &str) -> Option<Argon2Hash> {
    let stored = PasswordHash::new(hash).ok()?;
    let algorithm = [Algorithm::Argon2id, Algorithm::Argon2i]
        .into_iter()
        .find(|known| stored.algorithm == known.ident())?;
    if stored.version != Some(Version::V0x13.into()) {
        return None;
    }
    let output = stored.hash.as_ref()?.as_bytes().to_vec();
    let salt: &[u8] = stored.salt.as_ref()?.as_ref();
    (output.len() >= 16).then_some(())?;
    Some(Argon2Hash {
        algorithm,
        params: Params::try_from(&stored).ok()?,
        salt: salt.to_vec(),
        output,
    })
}

/// Takes as long as the hash costs, which was bounded when it was imported.
fn verify_slow(secret: &[u8], hash: &str) -> Result<bool, StoredHashError> {
    match slow(hash).map_err(|_| StoredHashError::Damaged)? {
        Slow::Bcrypt(cost) if cost <= MOST_BCRYPT => {
            bcrypt::verify(secret, hash).map_err(|_| StoredHashError::Damaged)
        }
        Slow::Argon2(cost) if cost.is_acceptable() => {
            let stored = argon2(hash).ok_or(StoredHashError::Damaged)?;
            let mut output = vec![0; stored.output.len()];
            Argon2::new(stored.algorithm, Version::V0x13, stored.params)
                .hash_password_into(secret, &stored.salt, &mut output)
                .map_err(|_| StoredHashError::Damaged)?;
            Ok(output.ct_eq(&stored.output).into())
        }
        Slow::Bcrypt(_) | Slow::Argon2(_) => Err(StoredHashError::TooDear),
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

fn sha256(secret: &ForeignSecret) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, secret.expose().as_bytes());
    digest.as_ref().try_into().expect("a SHA-256 of 32 bytes")
}

fn sha512(secret: &ForeignSecret) -> [u8; 64] {
    let digest = digest::digest(&digest::SHA512, secret.expose().as_bytes());
    digest.as_ref().try_into().expect("a SHA-512 of 64 bytes")
}

/// Apart from that of any signing key or trace.
fn associated_data(id: KeyId) -> Vec<u8> {
    format!("imported secret\n{id}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";

    fn secret(text: &str) -> ForeignSecret {
        ForeignSecret::parse(text).unwrap()
    }

    fn id(n: u128) -> KeyId {
        KeyId::new(ulid::Ulid(n))
    }

    fn every_kind() -> Vec<Kept> {
        let bcrypt = bcrypt::hash_with_salt(TEXT, 4, [7; 16]).unwrap();
        let mut output = [0; 32];
        let params = Params::new(64, 1, 1, Some(32)).unwrap();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(TEXT.as_bytes(), b"somesaltsomesalt", &mut output)
            .unwrap();
        let argon2 = format!(
            "$argon2id$v=19$m=64,t=1,p=1${}${}",
            BASE64.encode(b"somesaltsomesalt"),
            BASE64.encode(output)
        );
        let prefix = || TEXT[..12].to_owned();
        vec![
            Kept::of(&secret(TEXT)),
            Kept::Sha512(sha512(&secret(TEXT))),
            Kept::slow(bcrypt.to_string(), prefix()).unwrap(),
            Kept::slow(argon2, prefix()).unwrap(),
        ]
    }

    #[test]
    fn a_string_is_found_and_proved_for_its_own_key_under_its_own_root_key_alone() {
        let (root, elsewhere) = (RootKey::generate(), RootKey::generate());
        let (seal, imports) = (Seal::new(&root), Imports::new(&root));
        for kept in every_kind() {
            let stored = imports.import(id(1), &kept, &seal);
            let verify =
                |of: KeyId, text: &str| imports.verify(of, &secret(text), &stored.hash, &seal);
            assert_eq!(verify(id(1), TEXT), Ok(true));
            assert_eq!(verify(id(1), "sk_live_4eC39HqLyjWDarjtT1zdp7dd"), Ok(false));
            // Moved to another key, it proves nothing.
            assert_ne!(verify(id(2), TEXT), Ok(true));
            let other = Imports::new(&elsewhere);
            let moved = other.verify(id(1), &secret(TEXT), &stored.hash, &Seal::new(&elsewhere));
            assert_ne!(moved, Ok(true));
            assert!(
                imports
                    .lookups(&secret(TEXT), &[12])
                    .any(|one| one == stored.lookup)
            );
            assert!(
                !other
                    .lookups(&secret(TEXT), &[12])
                    .any(|one| one == stored.lookup)
            );
            assert!(is_imported(&stored.hash));
        }
    }

    #[test]
    fn what_is_stored_holds_nothing_of_what_was_given() {
        let root = RootKey::generate();
        let (seal, imports) = (Seal::new(&root), Imports::new(&root));
        let digest = super::super::hex(&sha256(&secret(TEXT)));
        for kept in every_kind() {
            let stored = format!("{:?}", imports.import(id(1), &kept, &seal));
            for known in [TEXT, &TEXT[..12], "$2b$", "argon2id", &digest[..16]] {
                assert!(!stored.contains(known), "{stored}");
            }
        }
    }

    #[test]
    fn a_hash_that_is_none_or_costs_too_much_is_refused() {
        let kept = |hash: &str| Kept::slow(hash.to_owned(), "sk_live_4eC3".to_owned()).err();
        let bcrypt = bcrypt::hash_with_salt(TEXT, 4, [7; 16])
            .unwrap()
            .to_string();
        assert_eq!(kept(&bcrypt), None);
        assert_eq!(
            kept(&bcrypt.replace("$04$", "$13$")),
            Some(HashError::TooDear)
        );
        let dear = "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAA";
        assert_eq!(kept(dear), Some(HashError::TooDear));
        for bad in [
            "",
            "$2b$",
            "$1$abc",
            &bcrypt[..59],
            &dear.replace("v=19$", ""),
        ] {
            assert_eq!(kept(bad), Some(HashError::Form), "{bad}");
        }
    }
}
