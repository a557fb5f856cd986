//! Many keys worked off, an act each: what fails of one organization keeps no other waiting.

use std::collections::HashSet;

use crate::domain::organization::OrganizationId;
use crate::manage::Management;
use crate::manage::refusal::Refusal;
use crate::store::error::StoreError;

/// One pass over keys of many organizations.
pub(super) struct Sweep<'a> {
    management: &'a Management,
    /// What is done with each, for the log.
    what: &'static str,
    /// Organizations that others keep busy: the next pass tries again.
    busy: HashSet<OrganizationId>,
    failed: u64,
}

impl<'a> Sweep<'a> {
    pub(super) fn new(management: &'a Management, what: &'static str) -> Self {
        Self {
            management,
            what,
            busy: HashSet::new(),
            failed: 0,
        }
    }

    /// Does one piece of work on an organization, unless that is busy.
    ///
    /// # Errors
    /// When it is the database itself that does not answer: the pass is over.
    pub(super) async fn work<T>(
        &mut self,
        organization: &OrganizationId,
        work: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<Option<T>, StoreError> {
        if self.busy.contains(organization) {
            return Ok(None);
        }
        match work.await {
            Ok(done) => return Ok(Some(done)),
            // Gone meanwhile.
            Err(Refusal::NotFound(_)) => {}
            Err(error) => {
                self.failed(&error);
                if matches!(error, Refusal::Unavailable(_)) {
                    self.management.store.ping().await?;
                    self.busy.insert(organization.clone());
                }
            }
        }
        Ok(None)
    }

    /// Counts a failure. The first is logged.
    pub(super) fn failed(&mut self, error: &dyn std::fmt::Display) {
        if self.failed == 0 {
            tracing::warn!(what = self.what, %error, "not done: it is tried again later");
        }
        self.failed += 1;
    }
}

impl Drop for Sweep<'_> {
    fn drop(&mut self) {
        if self.failed > 1 {
            tracing::warn!(what = self.what, failed = self.failed, "more were not done");
        }
    }
}
