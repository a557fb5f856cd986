//! A signing key that was just made or brought, and its way into the database.

use crate::crypto::jose::key_pair::{Generated, KeyPair, thumbprint};
use crate::crypto::random;
use crate::crypto::seal::Row;
use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::{KeySpec, Kid, Life, PublicJwk, RsaBits, SigningKey, State};
use crate::domain::timestamp::Timestamp;
use crate::manage::Management;
use crate::manage::act::Act;
use crate::manage::refusal::Refusal;
use crate::manage::signing_keys::rsa::Urgent;
use crate::store::signing_keys::SealedSigningKey;

/// A key pair that has no place yet.
pub(in crate::manage) struct Prepared {
    kid: Kid,
    made: Generated,
    imported: bool,
    stands_in_for: Option<RsaBits>,
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
    /// Makes a key pair for an organization. That takes seconds for RSA, so it comes before an act
    /// begins.
    pub(in crate::manage) async fn of(
        management: &Management,
        organization: &OrganizationId,
        spec: KeySpec,
    ) -> Result<Self, Refusal> {
        Ok(Self::made(match spec {
            KeySpec::ES256 | KeySpec::EdDSA => KeyPair::generate(spec),
            KeySpec::RS256(bits) => management.rsa.order(organization, bits).await?,
        }))
    }

    /// The same for nobody who waits: a job, when time has come.
    pub(super) async fn in_turn(management: &Management, spec: KeySpec) -> Result<Self, Refusal> {
        Ok(Self::made(match spec {
            KeySpec::ES256 | KeySpec::EdDSA => KeyPair::generate(spec),
            KeySpec::RS256(bits) => management.rsa.in_turn(bits).await?,
        }))
    }

    /// Makes the RSA key that another stands in for.
    pub(super) async fn relief(
        management: &Management,
        urgent: &mut Urgent,
        bits: RsaBits,
    ) -> Result<Self, Refusal> {
        Ok(Self::made(urgent.make(&management.rsa, bits).await?))
    }

    /// Makes one for an emergency, which waits for nobody long: where an RSA key is not there soon,
    /// one that is made at once signs until it is. How far that came is told too.
    pub(super) async fn at_once(
        management: &Management,
        organization: &OrganizationId,
        spec: KeySpec,
    ) -> (Self, Option<Urgent>) {
        let KeySpec::RS256(bits) = spec else {
            return (Self::made(KeyPair::generate(spec)), None);
        };
        let mut under_way = None;
        let make = async {
            let urgent = management.rsa.urgent_in_turn(organization).await;
            under_way.insert(urgent).make(&management.rsa, bits).await
        };
        let prepared = match tokio::time::timeout(management.rsa.patience, make).await {
            Ok(Ok(made)) => Self::made(made),
            Ok(Err(_)) | Err(_) => Self::instead_of(spec),
        };
        (prepared, under_way)
    }

    /// A key pair of this kind if that is made in no time, and one that signs until there is
    /// otherwise.
    pub(super) fn instead_of(spec: KeySpec) -> Self {
        let quick = match spec {
            KeySpec::RS256(_) => KeySpec::default(),
            other => other,
        };
        Self {
            stands_in_for: spec.rsa_bits(),
            ..Self::made(KeyPair::generate(quick))
        }
    }

    fn made(made: Generated) -> Self {
        Self {
            kid: thumbprint(&made.pair.public()),
            made,
            imported: false,
            stands_in_for: None,
        }
    }

    /// Takes a key pair that was made elsewhere, under the id that it had there, if it had one.
    pub(super) fn imported(made: Generated, kid: Option<Kid>) -> Self {
        Self {
            kid: kid.unwrap_or_else(|| thumbprint(&made.pair.public())),
            made,
            imported: true,
            stands_in_for: None,
        }
    }

    /// Its id.
    pub(super) const fn kid(&self) -> &Kid {
        &self.kid
    }

    /// Its public half.
    pub(super) fn public(&self) -> PublicJwk {
        self.made.pair.public()
    }

    /// Puts it into the organization of an act.
    pub(in crate::manage) async fn insert(
        self,
        act: &mut Act<'_>,
        signs: Signs,
    ) -> Result<SigningKey, Refusal> {
        let public = self.made.pair.public();
        let jitter = random::bytes::<1>()[0] % 101;
        let mut life = match signs {
            Signs::AtOnce => Life::at_once(act.now, jitter),
            Signs::From(then) => Life::next(act.now, then, jitter),
        };
        life.stands_in_for = self.stands_in_for;
        let key = SigningKey {
            kid: self.kid,
            organization: act.write.organization().id.clone(),
            algorithm: public.spec().algorithm(),
            public,
            created_at: act.now,
            life,
            imported: self.imported,
            replaced_by: None,
        };
        let row = Row {
            organization: &key.organization,
            kid: &key.kid,
            algorithm: key.algorithm,
        };
        let stored = SealedSigningKey {
            sealed: act.seal(&self.made.pkcs8, row)?,
            root_key: act.write.root_key().to_owned(),
            key,
        };
        if act.write.insert_signing_key(&stored).await? {
            Ok(stored.key)
        } else if self.imported {
            // Another organization may have brought it at the same moment.
            let known = act.write.knows_signing_key(&stored.key.public).await?;
            Err(if known {
                Refusal::SigningKeyKnown
            } else {
                Refusal::KidTaken
            })
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

/// Gives up the key that is next among these, if there is one: it is published no more, and never
/// signs.
pub(super) async fn give_up_next(
    act: &mut Act<'_>,
    published: &[SigningKey],
) -> Result<Option<Kid>, Refusal> {
    let is_next = |key: &&SigningKey| key.life.state() == State::Next;
    let Some(mut next) = published.iter().find(is_next).cloned() else {
        return Ok(None);
    };
    next.life.retire(act.now);
    act.write.save_signing_key(&next).await?;
    Ok(Some(next.kid))
}
