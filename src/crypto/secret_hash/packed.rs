//! The numbers that a hash of tenmint's own consists of: half as long as its text.

use std::fmt;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Params, Version};

use super::{HashCost, OUTPUT, SALT, StoredHashError};

/// A hash of tenmint's own. Displayed, it is the PHC string that is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packed {
    pub(super) cost: HashCost,
    pub(super) salt: [u8; SALT],
    pub(super) output: [u8; OUTPUT],
}

impl Packed {
    /// What a PHC string says.
    ///
    /// # Errors
    /// [`StoredHashError::Damaged`] when it is none of Argon2id, version 19, with a salt of 16 bytes
    /// and an output of 32, [`StoredHashError::TooDear`] when it asks for more than any hash made
    /// here.
    pub fn of(phc: &str) -> Result<Self, StoredHashError> {
        let damaged = StoredHashError::Damaged;
        let stored = PasswordHash::new(phc).map_err(|_| damaged)?;
        let right_kind = stored.algorithm == Algorithm::Argon2id.ident()
            && stored.version == Some(Version::V0x13.into());
        let (Some(salt), Some(output), true) = (stored.salt, stored.hash, right_kind) else {
            return Err(damaged);
        };
        let params = Params::try_from(&stored).map_err(|_| damaged)?;
        let cost = HashCost {
            memory_kib: params.m_cost(),
            passes: params.t_cost(),
            lanes: params.p_cost(),
        };
        if !cost.is_acceptable() {
            return Err(StoredHashError::TooDear);
        }
        Ok(Self {
            cost,
            salt: salt.as_ref().try_into().map_err(|_| damaged)?,
            output: output.as_bytes().try_into().map_err(|_| damaged)?,
        })
    }

    /// The end of the output. Argon2 lets nobody choose it, so it tells hashes apart.
    #[must_use]
    pub fn end(&self) -> [u8; 8] {
        let end = self.output.last_chunk();
        *end.expect("32 bytes are more than 8")
    }
}

impl fmt::Display for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let params = ParamsString::try_from(&self.cost.params());
        let text = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: params.expect("three numbers fit a PHC string"),
            salt: Some(Salt::new(&self.salt).expect("16 bytes are a PHC salt")),
            hash: Some(Output::new(&self.output).expect("32 bytes are a PHC output")),
        };
        text.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_is_the_same_text_again() {
        for cost in ["m=1024,t=1,p=1", "m=65536,t=16,p=4"] {
            let text = format!(
                "$argon2id$v=19${cost}$AAECAwQFBgcICQoLDA0ODw$\
                 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
            );
            assert_eq!(Packed::of(&text).unwrap().to_string(), text);
        }
    }
}
