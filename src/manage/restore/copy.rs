//! Another copy of the database as it is read: each chain up to where it ends, or cannot be read.

use super::fork::copy_parts_from;
use super::log::{BATCH, Logs};
use super::told::End;
use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::audit::Head;
use crate::store::error::StoreError;

impl Logs {
    /// Takes what another copy of the database knows, which is called `name`. A chain that cannot
    /// be read to its end is known up to there.
    ///
    /// # Errors
    /// When that database is unavailable, or the one that it is held against.
    pub async fn add_all_of(&mut self, copy: &Store, name: &str) -> Result<(), StoreError> {
        // Until when it was in use; where that cannot be read, each log's own last entry says.
        let times = copy.times().await.unwrap_or_default();
        let alive = times.newest_entry.max(times.last_sign_of_life);
        let mut after = String::new();
        loop {
            let heads = copy.audit_heads(&after, BATCH).await?;
            let Some(last) = heads.last() else {
                return Ok(());
            };
            after.clone_from(&last.organization);
            for head in heads {
                self.add_chain((copy, name), head, alive).await?;
            }
        }
    }

    async fn add_chain(
        &mut self,
        (copy, name): (&Store, &str),
        end: Head,
        alive: Option<i64>,
    ) -> Result<(), StoreError> {
        let organization = end.organization;
        let mut after = self.head(&organization).map_or(0, |head| head - 1);
        let mut at = alive;
        loop {
            let rows = match copy.audit_rows(&organization, after, BATCH).await {
                Ok(rows) => rows,
                Err(error) => {
                    let why = format!("what follows entry {after} cannot be read: {error}");
                    self.add_fault(organization, why);
                    return Ok(());
                }
            };
            let Some(last) = rows.last() else { break };
            after = last.sequence;
            at = at.max(Some(last.at));
            for row in rows {
                self.add(name, &organization, row);
            }
        }
        if let Some(backup) = self.head(&organization) {
            if end.sequence < backup {
                self.add_reach(&organization, end.sequence, name);
            }
            let both = backup.min(end.sequence);
            let parts = copy_parts_from(self.store(), copy, &organization, both).await?;
            if let Some(parting) = parts {
                self.add_fork(&organization, name, parting);
            }
        }
        if after < end.sequence {
            let why = format!(
                "it ends with entry {after}, and there were {}",
                end.sequence
            );
            self.add_fault(organization, why);
        } else if let Some(Ok(at)) = at.map(Timestamp::from_unix) {
            let end = End {
                sequence: end.sequence,
                mac: end.mac,
                at,
                proof: None,
            };
            self.add_end_of_copy(organization, end);
        }
        Ok(())
    }
}
