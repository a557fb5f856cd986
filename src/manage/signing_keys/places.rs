//! One thing at a time for each organization.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::domain::organization::OrganizationId;

/// Which organizations something is done for at this moment.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<Mutex<HashMap<OrganizationId, watch::Sender<()>>>>);

/// The place of an organization, until it is given back.
pub(super) struct Place {
    among: Places,
    whose: OrganizationId,
}

impl Places {
    /// Takes an organization's place, unless somebody has it.
    pub(super) fn take(&self, organization: &OrganizationId) -> Option<Place> {
        self.take_or_watch(organization).ok()
    }

    /// Waits for an organization's place.
    pub(super) async fn wait_for(&self, organization: &OrganizationId) -> Place {
        loop {
            match self.take_or_watch(organization) {
                Ok(place) => return place,
                // An error, always: what it watches is gone when the place is given back.
                Err(mut given_back) => {
                    let _ = given_back.changed().await;
                }
            }
        }
    }

    fn take_or_watch(&self, organization: &OrganizationId) -> Result<Place, watch::Receiver<()>> {
        match self.locked().entry(organization.clone()) {
            Entry::Occupied(taken) => Err(taken.get().subscribe()),
            Entry::Vacant(free) => {
                free.insert(watch::Sender::new(()));
                Ok(Place {
                    among: self.clone(),
                    whose: organization.clone(),
                })
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<OrganizationId, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Whose it is.
    pub(super) const fn whose(&self) -> &OrganizationId {
        &self.whose
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.among.locked().remove(&self.whose);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn each_organization_has_one_place_and_keeps_no_other_waiting() {
        let places = Places::default();
        let [acme, other] = ["acme", "other"].map(|id| id.parse::<OrganizationId>().unwrap());
        let taken = places.take(&acme).unwrap();
        assert!(places.take(&acme).is_none());
        assert!(places.take(&other).is_some());
        let waiting = tokio::spawn({
            let (places, acme) = (places.clone(), acme.clone());
            async move { places.wait_for(&acme).await.whose().clone() }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished());
        drop(taken);
        assert_eq!(waiting.await.unwrap(), acme);
        assert!(places.locked().is_empty());
    }
}
