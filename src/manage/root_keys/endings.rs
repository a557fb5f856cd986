//! What needs a root key is ended, so that it can be given up: API keys are revoked, in acts of so
//! many at once, each told in its organization's audit log. Stopped at any instant, it is finished
//! by being begun again.

mod portion;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rotate::carry_over;
use super::{RootKeyRefusal, may_be_forced, stored, what_keeps};
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;
use crate::manage::{Management, to_its_end};
use crate::store::error::StoreError;

use portion::end_portion;

/// How many API keys one act ends: others wait for it meanwhile.
const PORTION: usize = 1_000;

/// How many are looked up at once.
const BATCH: i64 = 10_000;

/// What a call ended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Endings {
    /// How many API keys: revoked, for good.
    pub api_keys: u64,
    /// API keys that lost one of two secrets, and live on with the other.
    pub secrets: Vec<Ended>,
}

/// A secret that ended beside another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Whose key it was of.
    pub organization: OrganizationId,
    /// Which key.
    pub key: KeyId,
    /// The secret's fingerprint.
    pub fingerprint: String,
    /// When the key ends now, if it was the newer one: with the secret before.
    pub until: Option<Timestamp>,
}

/// Ends what needs a root key, for good: API keys that have no other secret, and secrets of those
/// that do.
///
/// # Errors
/// What else keeps the root key. What was ended until then stays so.
pub(super) async fn end(
    management: &Arc<Management>,
    root_key: &str,
    mut tell: impl FnMut(&Endings),
) -> Result<Endings, RootKeyRefusal> {
    let mut endings = Endings::default();
    loop {
        require_no_other_need(management, root_key).await?;
        let needing = needing(management, root_key).await?;
        if needing.is_empty() {
            return Ok(endings);
        }
        let before = (endings.api_keys, endings.secrets.len());
        for (organization, keys) in needing {
            for portion in keys.chunks(PORTION) {
                let (shared, organization) = (Arc::clone(management), organization.clone());
                let (root_key, keys) = (root_key.to_owned(), portion.to_vec());
                let work =
                    async move { end_portion(&shared, &organization, &root_key, &keys).await };
                let Endings { api_keys, secrets } = to_its_end(work).await?;
                endings.api_keys += api_keys;
                endings.secrets.extend(secrets);
                tell(&endings);
            }
        }
        if (endings.api_keys, endings.secrets.len()) == before {
            // Each was freed or revoked meanwhile, or none can be: then it is not gone on for ever.
            return Ok(endings);
        }
    }
}

/// Nothing is ended in vain, and no signing key that opens: what a rotation overlooked, it does now.
async fn require_no_other_need(
    management: &Arc<Management>,
    root_key: &str,
) -> Result<(), RootKeyRefusal> {
    let (stored, now) = (stored(management).await?, management.clock.now());
    let needs = management.store.root_key_needs(now).await?;
    let need = needs.into_iter().find(|need| need.root_key == root_key);
    let (need, nodes) = (
        need.unwrap_or_default(),
        management.store.holders(now).await?,
    );
    if let Some(why) = what_keeps(root_key, &stored, &need, &nodes) {
        may_be_forced(why)?;
    }
    if need.signing_keys > 0 {
        carry_over(management, |_| {}).await?;
    }
    Ok(())
}

async fn needing(
    management: &Management,
    root_key: &str,
) -> Result<BTreeMap<String, Vec<KeyId>>, StoreError> {
    let (now, mut after) = (management.clock.now(), String::new());
    let mut all: BTreeMap<String, Vec<KeyId>> = BTreeMap::new();
    loop {
        let batch = management.store.ids_needing(root_key, now, &after, BATCH);
        let batch = batch.await?;
        let Some((last, _)) = batch.last() else {
            return Ok(all);
        };
        after = last.to_string();
        for (id, organization) in batch {
            all.entry(organization.to_string()).or_default().push(id);
        }
    }
}
