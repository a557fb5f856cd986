//! Importing a private key that another issuer signed with, so that its validators notice nothing.

use std::sync::Arc;

use serde_json::json;

use super::new::Prepared;
use super::rotate::Put;
use crate::crypto::jose::key_pair::KeyPair;
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::{Kid, PrivateKeyPem, Schedule, SigningKey};
use crate::manage::act::{Act, Did};
use crate::manage::caller::Actor;
use crate::manage::refusal::Refusal;
use crate::manage::{Management, to_its_end};
use crate::store::changes::Change;

/// A key to import.
pub struct Import {
    /// The private half.
    pub private_key: PrivateKeyPem,
    /// Under which id validators know it. Not said: its thumbprint.
    pub kid: Option<Kid>,
    /// Whether validators have it already, as when another issuer signed with it under this id:
    /// then it signs at once. Otherwise it is next, like any key that is rotated to.
    pub already_published: bool,
}

/// Takes a private key that was made elsewhere as a signing key of an organization: its next one,
/// or at once its active one. A key that was next gives way to one that signs at once. Gives also
/// the schedule that it is on.
///
/// For the operator alone: whoever brought a key may have left copies of it anywhere.
///
/// # Errors
/// [`Refusal::Invalid`] when the key cannot be read, [`Refusal::ImportHasToWait`] when another is
/// next, [`Refusal::SigningKeyKnown`] when it is or was a key of any organization here,
/// [`Refusal::KidTaken`], or [`Refusal::NotBootstrapped`], among others.
pub async fn import(
    management: Arc<Management>,
    actor: Actor,
    organization: OrganizationId,
    import: Import,
) -> Result<(SigningKey, Schedule), Refusal> {
    actor.require_operator()?;
    actor.require(ManagementAction::OrganizationsWrite)?;
    to_its_end(async move {
        management
            .require_organization(&actor, &organization)
            .await?;
        let Import {
            private_key,
            kid,
            already_published,
        } = import;
        // An RSA key signs once before it is believed, which takes milliseconds.
        let read = move || KeyPair::from_pem(private_key.expose());
        let read = tokio::task::spawn_blocking(read).await;
        let (algorithm, brought) = read
            .map_err(|_| Refusal::Broken)?
            .map_err(|why| Refusal::invalid("/private_key_pem", why))?;
        let prepared = Prepared::imported(brought, kid);

        let action = ManagementAction::OrganizationsWrite;
        let mut act = Act::begin(&management, &actor, &organization, action).await?;
        if act.write.knows_signing_key(&prepared.public()).await? {
            return Err(Refusal::SigningKeyKnown);
        }
        let Put {
            key,
            follows,
            given_up,
        } = management
            .put(&mut act, prepared, already_published)
            .await
            .map_err(of_import)?;
        act.commit(Did {
            action: "signing_key.import",
            target: key.kid.to_string(),
            details: json!({
                "alg": algorithm, "already_published": already_published,
                "activates_at": key.life.activates_at, "follows": follows, "given_up": given_up,
            }),
            changes: vec![Change::Organization(organization)],
        })
        .await?;
        Ok((key, management.schedule().await?))
    })
    .await
}

/// Why a key is not taken now: a rotation has an emergency to do without waiting, and an import the
/// word that validators have the key already.
fn of_import(why: Refusal) -> Refusal {
    match why {
        Refusal::SigningKeyUnderWay(signs_from) => Refusal::ImportHasToWait(Some(signs_from)),
        Refusal::SigningKeyBeingMade => Refusal::ImportHasToWait(None),
        other => other,
    }
}
