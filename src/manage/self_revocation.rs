//! What whoever holds a credential can always do: end it (RFC 7009). It needs no authority, and
//! works from every network: a leak is a leak.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::json;

use super::act::{Act, Did};
use super::api_keys::{end, end_before};
use super::authority::Authority;
use super::caller::{Actor, Caller, Proof};
use super::refusal::{Kind, Refusal};
use super::{Management, to_its_end};
use crate::credentials::{Denied, Verified};
use crate::crypto::jose::trust::{self, TokenError};
use crate::domain::api_key::{ApiKey, KeyInUse, RevokeReason};
use crate::domain::claims::PresentedClaims;
use crate::domain::issuer::Issuer;
use crate::domain::scope::ScopeSet;
use crate::domain::secret::PresentedSecret;
use crate::store::changes::Change;
use crate::store::denied_tokens::DeniedToken;

/// How many tokens of one key can be denied while none of them is past its end. Each costs memory
/// on every node. A client that reaches this is told to come again: its tokens end by themselves
/// within minutes, and to revoke the key instead would let a thief with a few tokens stop it.
pub const MAX_DENIALS: i64 = 1_000;

/// Where a request to end a credential came from, for the record alone.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The address.
    pub address: IpAddr,
    /// Its request id.
    pub request_id: String,
}

/// Why nothing was ended.
#[derive(Debug, thiserror::Error)]
pub enum NotEnded {
    /// The key has [`MAX_DENIALS`] tokens denied already.
    #[error("too many tokens of this key are denied")]
    TooMany,
    /// [`Refusal::Key`] when the client is not who it says, or what went wrong.
    #[error("{0}")]
    Refused(#[from] Refusal),
}

/// The API key that a text may be: of tenmint's own making, or one that was imported. For nobody
/// else's string is anything done, nor is it said who may have had it.
///
/// # Errors
/// [`Refusal::Overloaded`], or [`Refusal::Unavailable`] when the database does not answer.
pub async fn key_in(
    management: &Management,
    text: &str,
) -> Result<Option<PresentedSecret>, NotEnded> {
    let read = PresentedSecret::read(text);
    if let Some(PresentedSecret::Foreign(secret)) = &read {
        let known = management.credentials.is_imported(secret).await;
        if !known.map_err(Refusal::from)? {
            return Ok(None);
        }
    }
    Ok(read)
}

/// Ends a key for good, on the word of whoever holds its secret, whatever state it is in. A secret
/// that a rotation replaced ends itself alone: who stole that one cannot stop the new one.
///
/// A secret that is none, or no longer, changes nothing, and nobody is told so.
///
/// # Errors
/// [`Refusal::Overloaded`], [`Refusal::Unavailable`] or what else went wrong.
pub async fn revoke_key(
    management: Arc<Management>,
    issuer: Issuer,
    secret: PresentedSecret,
    origin: Origin,
) -> Result<(), NotEnded> {
    let now = management.clock.now();
    let verified = match management.credentials.identify(secret, now).await {
        Ok(verified) if knows(&issuer, &verified.credential.key) => verified,
        Ok(_) => return Ok(()),
        Err(denied) => {
            return match denied.why.into() {
                Refusal::Key(_) => Ok(()),
                trouble => Err(trouble.into()),
            };
        }
    };
    let caller = holder(&verified, origin);
    let done = to_its_end(async move {
        let actor = Actor::Key(Box::new(caller.clone()));
        let mut act = Act::begin_for_self(&management, &actor, &caller).await?;
        let found = act.write.api_key(caller.key).await?;
        let mut key = found.ok_or(Refusal::NotFound(Kind::ApiKey))?;
        match end_what_was_shown(
            &mut act,
            &mut key,
            verified.credential.fingerprint(verified.which),
        )
        .await?
        {
            Some(did) => act.commit(did).await,
            None => Ok(()),
        }
    });
    Ok(done.await?)
}

/// Denies an access token from now on to its end, wherever tenmint is asked about it, on the word
/// of the client that it was issued to.
///
/// A token that is none, no longer, or another client's changes nothing, and nobody is told so.
///
/// # Errors
/// [`Refusal::Key`] when the client is not a key in force; see [`NotEnded`].
pub async fn revoke_token(
    management: Arc<Management>,
    issuer: Issuer,
    client: PresentedSecret,
    token: &str,
    origin: Origin,
) -> Result<(), NotEnded> {
    let now = management.clock.now();
    let authenticated = management.credentials.authenticate(client, now).await;
    let verified = authenticated.map_err(|rejected| Refusal::from(rejected.why))?;
    let key = &verified.credential.key;
    if !knows(&issuer, key) {
        return Err(Refusal::Key(Denied::Unknown).into());
    }
    let claims = match management.read_token_of(key, token).await? {
        Some(claims) if claims.client_id == key.id.text().as_str() => claims,
        _ => return Ok(()),
    };
    let caller = holder(&verified, origin);
    let room = to_its_end(async move {
        let actor = Actor::Key(Box::new(caller.clone()));
        let act = Act::begin_for_self(&management, &actor, &caller).await?;
        deny(act, &caller, &claims).await
    });
    if room.await? {
        Ok(())
    } else {
        Err(NotEnded::TooMany)
    }
}

/// An organization's issuer knows that organization's keys alone.
fn knows(issuer: &Issuer, key: &KeyInUse) -> bool {
    match issuer {
        Issuer::Deployment => true,
        Issuer::Organization(organization) => *organization == key.organization,
    }
}

/// Whoever holds a secret, as an actor that may end it and do nothing else.
fn holder(verified: &Verified, origin: Origin) -> Caller {
    let key = &verified.credential.key;
    let nothing = Some(ScopeSet::default());
    Caller {
        key: key.id,
        organization: key.organization.clone(),
        address: origin.address,
        request_id: origin.request_id,
        acting_for: None,
        proof: Proof::Secret(verified.credential.fingerprint(verified.which).to_owned()),
        authority: Authority::of(
            &key.effective.to_set(),
            &key.networks,
            key.expires_at,
            nothing.clone(),
        ),
        token: nothing,
    }
}

/// The key may have changed since the secret was proven: it is what the secret is to the key now
/// that counts.
async fn end_what_was_shown(
    act: &mut Act<'_>,
    key: &mut ApiKey,
    shown: &str,
) -> Result<Option<Did>, Refusal> {
    let before = key.overlap(act.now).cloned();
    let (action, details) = if key.revoked.is_some() {
        return Ok(None);
    } else if key.fingerprint == shown {
        let reason = RevokeReason::Compromised;
        end(act, key, reason).await?;
        let details = json!({
            "name": &key.name, "fingerprint": shown, "reason": reason, "self": true,
        });
        ("api_key.revoke", details)
    } else if let Some(before) = before.filter(|before| before.fingerprint == shown) {
        end_before(act, key).await?;
        let details = json!({
            "name": &key.name, "fingerprint": &key.fingerprint,
            "ended_fingerprint": shown, "overlap_ends_at": before.ends_at, "self": true,
        });
        ("api_key.rotate_finish", details)
    } else {
        return Ok(None);
    };
    Ok(Some(Did {
        action,
        target: key.id.to_string(),
        details,
        changes: vec![Change::Key(key.id)],
    }))
}

/// Whether there was room for the denial. One that is there already changes nothing.
async fn deny(
    mut act: Act<'_>,
    caller: &Caller,
    claims: &PresentedClaims,
) -> Result<bool, Refusal> {
    if act.write.is_denied(&claims.jti).await? {
        return Ok(true);
    }
    if act.write.denials(caller.key, act.now).await? >= MAX_DENIALS {
        return Ok(false);
    }
    let denied = DeniedToken {
        jti: &claims.jti,
        key: caller.key,
        expires_at: claims.exp,
    };
    act.write.deny(denied, act.now).await?;
    act.commit(Did {
        action: "token.revoke",
        target: caller.key.to_string(),
        details: json!({ "jti": &claims.jti, "expires_at": claims.exp }),
        changes: vec![Change::Denials],
    })
    .await?;
    Ok(true)
}

impl Management {
    /// What a token says that either issuer signed for keys such as this, if it is in force; for
    /// whichever audience.
    async fn read_token_of(
        &self,
        key: &KeyInUse,
        token: &str,
    ) -> Result<Option<PresentedClaims>, Refusal> {
        let now = self.clock.now();
        for issuer in [
            Issuer::Deployment,
            Issuer::Organization(key.organization.clone()),
        ] {
            let identity = self.issuers.of(&issuer.signing_organization()).await?;
            let read = identity.map_or(Err(TokenError::Signature), |identity| {
                trust::verify_for_anybody(token, &identity.trusted, &issuer.name(&self.base), now)
            });
            if let Ok(claims) = read {
                return Ok(Some(claims));
            }
        }
        Ok(None)
    }
}
