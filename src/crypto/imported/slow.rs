//! bcrypt and Argon2 hashes that other systems made.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, Version};
use subtle::ConstantTimeEq;

use crate::crypto::secret_hash::{HashCost, StoredHashError};

/// The dearest bcrypt that is accepted: 2^12 rounds.
pub(super) const MOST_BCRYPT: u32 = 12;

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
    /// Something beside the string went into it.
    #[error(
        "argon2 with keyid or data cannot be imported: a key or data of your platform's own went \
         into it, which is not known here"
    )]
    Keyed,
}

/// A slow hash, and what it costs.
pub(super) enum Slow {
    Bcrypt(u32),
    Argon2(HashCost),
}

pub(super) fn slow(hash: &str) -> Result<Slow, HashError> {
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
    let read = argon2(hash)?;
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

fn argon2(hash: &str) -> Result<Argon2Hash, HashError> {
    let stored = PasswordHash::new(hash).map_err(|_| HashError::Form)?;
    let algorithm = [Algorithm::Argon2id, Algorithm::Argon2i]
        .into_iter()
        .find(|known| stored.algorithm == known.ident());
    let algorithm = algorithm.ok_or(HashError::Form)?;
    if stored.version != Some(Version::V0x13.into()) {
        return Err(HashError::Form);
    }
    let keyed = ["keyid", "data"].map(|name| stored.params.get_str(name));
    if keyed.iter().any(Option::is_some) {
        return Err(HashError::Keyed);
    }
    let (Some(salt), Some(output)) = (&stored.salt, &stored.hash) else {
        return Err(HashError::Form);
    };
    if output.as_bytes().len() < 16 {
        return Err(HashError::Form);
    }
    let salt: &[u8] = salt.as_ref();
    Ok(Argon2Hash {
        algorithm,
        params: Params::try_from(&stored).map_err(|_| HashError::Form)?,
        salt: salt.to_vec(),
        output: output.as_bytes().to_vec(),
    })
}

/// Takes as long as the hash costs, which was bounded when it was imported.
pub(super) fn verify_slow(secret: &[u8], hash: &str) -> Result<bool, StoredHashError> {
    match slow(hash).map_err(|_| StoredHashError::Damaged)? {
        Slow::Bcrypt(cost) if cost <= MOST_BCRYPT => {
            bcrypt::verify(secret, hash).map_err(|_| StoredHashError::Damaged)
        }
        Slow::Argon2(cost) if cost.is_acceptable() => {
            let stored = argon2(hash).map_err(|_| StoredHashError::Damaged)?;
            let mut output = vec![0; stored.output.len()];
            Argon2::new(stored.algorithm, Version::V0x13, stored.params)
                .hash_password_into(secret, &stored.salt, &mut output)
                .map_err(|_| StoredHashError::Damaged)?;
            Ok(output.ct_eq(&stored.output).into())
        }
        Slow::Bcrypt(_) | Slow::Argon2(_) => Err(StoredHashError::TooDear),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kept;
    use super::*;

    const TEXT: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";

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
        for keyed in ["keyid=a2V5", "data=ZGF0YQ", "keyid=a2V5,data=ZGF0YQ"] {
            let keyed = dear.replace("m=4194304,t=1,p=1", &format!("m=64,t=1,p=1,{keyed}"));
            assert_eq!(kept(&keyed), Some(HashError::Keyed), "{keyed}");
        }
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
