//! Sealing: AES-256-GCM over private keys, bound to the row they belong to.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::random;
use super::root_key::{Purpose, RootKey};
use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::{Algorithm, Kid};

/// The first byte of what is sealed, so that the form can change one day.
const FORM: u8 = 1;

/// Seals and opens signing keys.
pub struct Seal(LessSafeKey);

/// The row a sealed key belongs to. Moved to another, it does not open.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Whose key it is.
    pub organization: &'a OrganizationId,
    /// The key's id.
    pub kid: &'a Kid,
    /// What it signs with.
    pub algorithm: Algorithm,
}

/// What is stored does not open: another root key sealed it, it belongs to another row, or
/// it was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a sealed signing key does not open: the row was changed or moved, or another root key sealed it"
)]
pub struct DoesNotOpen;

impl Seal {
    /// The seal of this root key.
    #[must_use]
    pub fn new(root: &RootKey) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, &*root.derive(Purpose::SealSigningKeys))
            .expect("AES-256 takes 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// Seals a private key for its row. The nonce is random: 2^32 seals under one root key
    /// stay far from a repetition.
    #[must_use]
    pub fn seal(&self, private: &[u8], row: Row<'_>) -> Vec<u8> {
        self.seal_for(private, &row.associated_data())
    }

    /// Opens what [`Self::seal`] made for this row.
    ///
    /// # Errors
    /// [`DoesNotOpen`], without telling which of its reasons: AES-GCM does not know either.
    pub fn open(&self, sealed: &[u8], row: Row<'_>) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        self.open_for(sealed, &row.associated_data())
    }

    /// Seals something so that it opens with the same associated data alone.
    pub(super) fn seal_for(&self, private: &[u8], associated: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = random::bytes();
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + private.len() + 16);
        sealed.push(FORM);
        sealed.extend(nonce);
        sealed.extend(private);
        let body = &mut sealed[1 + NONCE_LEN..];
        let tag = self
            .0
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(associated),
                body,
            )
            .expect("a private key is far below the limit of AES-GCM");
        sealed.extend(tag.as_ref());
        sealed
    }

    pub(super) fn open_for(
        &self,
        sealed: &[u8],
        associated: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let (form, rest) = sealed.split_first().ok_or(DoesNotOpen)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(DoesNotOpen)?;
        if *form != FORM {
            return Err(DoesNotOpen);
        }
        let mut body = Zeroizing::new(body.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self
            .0
            .open_in_place(nonce, Aad::from(associated), &mut body)
            .map_err(|_| DoesNotOpen)?
            .len();
        body.truncate(length);
        Ok(body)
    }
}

impl Row<'_> {
    /// Lengths are implied: no part can contain the separator.
    fn associated_data(&self) -> Vec<u8> {
        let Self {
            organization,
            kid,
            algorithm,
        } = self;
        format!("signing key\n{organization}\n{kid}\n{algorithm}").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_key_opens_in_its_own_row_alone() {
        let seal = Seal::new(&RootKey::generate());
        let (acme, umbrella) = ("acme".parse().unwrap(), "umbrella".parse().unwrap());
        let (one, two) = (Kid::new("one"), Kid::new("two"));
        let row = Row {
            organization: &acme,
            kid: &one,
            algorithm: Algorithm::ES256,
        };
        let sealed = seal.seal(b"private", row);
        assert_eq!(**seal.open(&sealed, row).unwrap(), *b"private");

        let moved = [
            Row {
                organization: &umbrella,
                ..row
            },
            Row { kid: &two, ..row },
            Row {
                algorithm: Algorithm::EdDSA,
                ..row
            },
        ];
        for row in moved {
            assert_eq!(seal.open(&sealed, row).unwrap_err(), DoesNotOpen);
        }
        let other = Seal::new(&RootKey::generate());
        assert_eq!(other.open(&sealed, row).unwrap_err(), DoesNotOpen);
    }

    #[test]
    fn any_changed_byte_keeps_it_shut() {
        let seal = Seal::new(&RootKey::generate());
        let acme = "acme".parse().unwrap();
        let row = Row {
            organization: &acme,
            kid: &Kid::new("one"),
            algorithm: Algorithm::ES256,
        };
        let sealed = seal.seal(b"private", row);
        assert!(!sealed.windows(7).any(|part| part == b"private"));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(
                seal.open(&changed, row).unwrap_err(),
                DoesNotOpen,
                "byte {at}"
            );
        }
        assert!(seal.open(&[], row).is_err());
        assert!(seal.open(&sealed[..20], row).is_err());
    }
}
