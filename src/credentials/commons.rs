//! What credentials have in common, held once however many keys there are: their organizations,
//! the policies of these, and the ids of root keys.

use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::domain::organization::OrganizationId;
use crate::domain::policy::Effective;
use crate::store::api_keys::StoredCredential;

/// Of how many organizations. The keys of others hold what is theirs each by itself.
const ORGANIZATIONS: usize = 10_000;

/// How many root keys there are at a time, at most as a rule.
const ROOT_KEYS: usize = 16;

/// What credentials have in common.
pub(super) struct Commons {
    organizations: Cache<OrganizationId, OfOrganization>,
    root_keys: Cache<Arc<str>, Arc<str>>,
}

#[derive(Clone)]
struct OfOrganization {
    id: OrganizationId,
    policy: Option<Arc<Effective>>,
}

impl Commons {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self {
            organizations: Cache::new(ORGANIZATIONS),
            root_keys: Cache::new(ROOT_KEYS),
        }
    }

    /// Puts what others hold in the place of what is equal to it.
    pub(super) fn share(&self, stored: &mut StoredCredential) {
        let own = OfOrganization {
            id: stored.key.organization.clone(),
            policy: stored.policy.take(),
        };
        let held = self.organizations.get(&own.id);
        let shared = held.filter(|held| held.policy == own.policy);
        let shared = shared.unwrap_or_else(|| {
            self.organizations.insert(own.id.clone(), own.clone());
            own
        });
        stored.key.organization = shared.id;
        stored.policy = shared.policy;
        let ending = stored.ending_hash.as_mut();
        for hash in [&mut stored.hash].into_iter().chain(ending) {
            match self.root_keys.get(&hash.root_key) {
                Some(held) => hash.root_key = held,
                None => {
                    let own = Arc::clone(&hash.root_key);
                    self.root_keys.insert(Arc::clone(&own), own);
                }
            }
        }
    }
}
