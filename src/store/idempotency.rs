//! Requests under an `Idempotency-Key` in the database.

use std::time::Duration;

use super::Store;
use super::engine::{Engine, sql};
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

/// Some of those that are to be forgotten: no request pays for a million that were sent yesterday.
macro_rules! forget {
    ($($lock:literal)?) => {
        concat!(
            "DELETE FROM idempotency WHERE id IN
             (SELECT id FROM idempotency WHERE claimed_at <= $1 ORDER BY claimed_at LIMIT 100",
            $($lock,)? ")"
        )
    };
}

const FORGET: &str = forget!();
const FORGET_UNLOCKED: &str = forget!(" FOR UPDATE SKIP LOCKED");

impl Store {
    /// Claims a request, unless somebody is at it or it was done.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn claim_request(&self, claim: &Claim, now: Timestamp) -> Result<Known, StoreError> {
        let on = self.writer();
        let text = match on {
            Engine::Sqlite(_) => FORGET,
            // What another request is forgetting is left to it.
            Engine::Postgres(_) => FORGET_UNLOCKED,
        };
        let forgotten = now.minus(REMEMBERED).unix();
        sql!(run on, text, forgotten)?;
        // An abandoned claim is taken over: whoever had it can no longer finish under it. So is what
        // was to be forgotten, and waits for its turn.
        let claimed = sql!(
            run self.writer(),
            "INSERT INTO idempotency (id, request, claim, claimed_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (id) DO UPDATE
             SET request = excluded.request, claim = excluded.claim,
                 claimed_at = excluded.claimed_at, result = NULL
             WHERE idempotency.claimed_at <= $6
                OR (idempotency.result IS NULL AND idempotency.claimed_at <= $5)",
            &claim.id, &claim.request, &claim.claim, now.unix(), now.minus(ABANDONED).unix(),
            forgotten
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::engine::DatabaseUrl;

    #[tokio::test]
    async fn a_request_may_be_sent_anew_however_many_others_are_to_be_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&DatabaseUrl::Sqlite(folder.path().join("t.db")))
            .await
            .unwrap();
        store.migrate(&store.lock().unwrap()).await.unwrap();
        let claim = |id: &str| Claim {
            id: id.to_owned(),
            request: "r".to_owned(),
            claim: format!("c{id}"),
        };
        let at = |seconds| Timestamp::from_unix(seconds).unwrap();
        // More than one request forgets, and all of them before the one that is sent again.
        for n in 0..350 {
            let known = store.claim_request(&claim(&n.to_string()), at(n)).await;
            assert_eq!(known.unwrap(), Known::Nothing);
        }
        store.claim_request(&claim("x"), at(1_000)).await.unwrap();
        let done = "UPDATE idempotency SET result = 'done'";
        sql!(run store.writer(), done).unwrap();
        let tomorrow = i64::try_from(REMEMBERED.as_secs()).unwrap() + 1_000;
        let known = store.claim_request(&claim("x"), at(tomorrow - 1)).await;
        assert_eq!(known.unwrap(), Known::Done("done".to_owned()));
        // Each forgets a hundred, and there are more still, all older than this one.
        let known = store.claim_request(&claim("x"), at(tomorrow)).await;
        assert_eq!(known.unwrap(), Known::Nothing);
        let known = store.claim_request(&claim("x"), at(tomorrow)).await;
        assert_eq!(known.unwrap(), Known::InFlight);
        store.erase_requests(at(tomorrow - 1)).await.unwrap();
        let (left,) = sql!(
            one(i64,),
            store.reader(),
            "SELECT COUNT(*) FROM idempotency"
        )
        .unwrap();
        assert_eq!(left, 1);
    }
}
