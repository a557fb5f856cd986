//! A signing key that was just made, and its way into the database.

use crate::crypto::jose::key_pair::{Generated, KeyPair, thumbprint};
use crate::crypto::random;
use crate::crypto::seal::Row;
use crate::domain::signing_key::{Algorithm, Life, SigningKey, State};
use crate::domain::timestamp::Timestamp;
use crate::manage::Management;
use crate::manage::act::Act;
use crate::manage::refusal::Refusal;
use crate::store::signing_keys::SealedSigningKey;

/// A key pair that has no place yet.
pub(in crate::manage) struct Prepared {
    algorithm: Algorithm,
    made: Generated,
}

/// When a new key is to sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::manage) enum Signs {
    /// From now on.
    AtOnce,
    /// From then on.
    From(Timestamp),
}

impl Prepared {
    /// Makes a key pair. That takes a while for RSA, so it comes before an act begins, and off
    /// the threads that serve.
    pub(in crate::manage) async fn of(algorithm: Algorithm) -> Result<Self, Refusal> {
        let made = tokio::task::spawn_blocking(move || KeyPair::generate(algorithm)).await;
        let made = made.map_err(|_| Refusal::Broken)?;
        Ok(Self { algorithm, made })
    }

    /// Puts it into the organization of an act.
    pub(in crate::manage) async fn insert(
        self,
        management: &Management,
        act: &mut Act<'_>,
        signs: Signs,
    ) -> Result<SigningKey, Refusal> {
        let public = self.made.pair.public();
        let jitter = random::bytes::<1>()[0] % 101;
        let key = SigningKey {
            kid: thumbprint(&public),
            organization: act.write.organization().id.clone(),
            algorithm: self.algorithm,
            public,
            created_at: act.now,
            life: match signs {
                Signs::AtOnce => Life::at_once(act.now, jitter),
                Signs::From(then) => Life::next(act.now, then, jitter),
            },
            imported: false,
        };
        let row = Row {
            organization: &key.organization,
            kid: &key.kid,
            algorithm: key.algorithm,
        };
        let stored = SealedSigningKey {
            sealed: management.crypto.seal.seal(&self.made.pkcs8, row),
            root_key: management.crypto.root_key.to_string(),
            key,
        };
        if act.write.insert_signing_key(&stored).await? {
            Ok(stored.key)
        } else {
            // Two key pairs that were made never have one thumbprint.
            Err(Refusal::Broken)
        }
    }
}

/// The key that signs among these.
pub(in crate::manage) fn active(keys: &[SigningKey]) -> Option<&SigningKey> {
    keys.iter().find(|key| key.life.state() == State::Active)
}
