//! Requests under an `Idempotency-Key` in the database.

use std::time::Duration;

use super::Store;
use super::engine::sql;
use super::error::StoreError;
use super::write::Write;
use crate::domain::timestamp::Timestamp;

/// How long a finished request is remembered.
pub const REMEMBERED: Duration = Duration::from_hours(24);

/// How long whoever is at a request is waited for: longer than any request may take.
const ABANDONED: Duration = Duration::from_mins(5);

/// A request that somebody is at, or was.
#[derive(Clone, Debug)]
pub struct Claim {
    /// A digest of the caller, the route and the key it chose.
    pub id: String,
    /// A digest of what was asked.
    pub request: String,
    /// Who is at it.
    pub claim: String,
}

/// What is known of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Known {
    /// Nobody was at it: now it is the claimant's.
    Nothing,
    /// Somebody is at it.
    InFlight,
    /// Another request came under the same key.
    Different,
    /// It was done, and this was made.
    Done(String),
}

impl Store {
    /// Claims a request, unless somebody is at it or it was done.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn claim_request(&self, claim: &Claim, now: Timestamp) -> Result<Known, StoreError> {
        sql!(
            run self.writer(),
            "DELETE FROM idempotency WHERE claimed_at <= $1",
            now.minus(REMEMBERED).unix()
        )?;
        // An abandoned claim is taken over: whoever had it can no longer finish under it.
        let claimed = sql!(
            run self.writer(),
            "INSERT INTO idempotency (id, request, claim, claimed_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (id) DO UPDATE
             SET request = excluded.request, claim = excluded.claim,
                 claimed_at = excluded.claimed_at
             WHERE idempotency.result IS NULL AND idempotency.claimed_at <= $5",
            &claim.id, &claim.request, &claim.claim, now.unix(), now.minus(ABANDONED).unix()
        )?;
        if claimed == 1 {
            return Ok(Known::Nothing);
        }
        let there = sql!(
            optional(String, Option<String>),
            self.writer(),
            "SELECT request, result FROM idempotency WHERE id = $1",
            &claim.id
        )?;
        Ok(match there {
            Some((request, _)) if request != claim.request => Known::Different,
            Some((_, Some(result))) => Known::Done(result),
            // Given up just now: the client tries again.
            Some((_, None)) | None => Known::InFlight,
        })
    }

    /// Gives up a claim under which nothing was done.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn release_request(&self, claim: &Claim) -> Result<(), StoreError> {
        sql!(
            run self.writer(),
            "DELETE FROM idempotency WHERE id = $1 AND claim = $2 AND result IS NULL",
            &claim.id, &claim.claim
        )?;
        Ok(())
    }
}

impl Write {
    /// Notes, within the act, what a claimed request made; false if another has taken it over.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn settle_request(
        &mut self,
        claim: &Claim,
        result: &str,
    ) -> Result<bool, StoreError> {
        let settled = sql!(
            run self.on(),
            "UPDATE idempotency SET result = $3
             WHERE id = $1 AND claim = $2 AND result IS NULL",
            &claim.id, &claim.claim, result
        )?;
        Ok(settled == 1)
    }
}
