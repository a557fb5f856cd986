//! Usage in the database: batches of it added up, each exactly once.

pub mod ageing;
pub mod nodes;
pub mod reading;
pub mod record;
pub mod shown;

use serde::Serialize;
use sqlx::{PgConnection, SqliteConnection};

use super::Store;
use super::engine::{Engine, sql};
use super::error::StoreError;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::{Grain, Origin, Outcome, UserAgent};
use nodes::Delivery;

/// Most pairs of address and scope that are recorded of a key in a day.
pub const MOST_PAIRS: usize = 200;

/// What stands for the address and the scope of everything beyond [`MOST_PAIRS`].
pub const OTHER: &str = "other";

/// Uses to add to what is stored. Each list in the order of its table's key: nodes that write
/// the same rows then take them in the same order, and none waits for one that waits for it.
#[derive(Debug, Default)]
pub struct Batch {
    /// How many uses came to which end.
    pub counts: Vec<CountRow>,
    /// Which secrets were used last, and by whom.
    pub uses: Vec<UseRow>,
    /// Which keys services were shown last, and from where.
    pub shown: Vec<ShownRow>,
    /// From where tokens were obtained.
    pub exchanges: Vec<ExchangeRow>,
    /// Which requests were refused, and why.
    pub refusals: Vec<RefusalRow>,
}

/// Uses of a key, or of a whole organization, in one span.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct CountRow {
    /// Whose.
    pub organization: OrganizationId,
    /// Which key's; `None` for all of the organization's.
    pub key: Option<KeyId>,
    /// What kind of span.
    pub grain: Grain,
    /// When the span starts.
    #[serde(serialize_with = "unix")]
    pub starts_at: Timestamp,
    /// How they ended.
    pub outcome: Outcome,
    /// How many.
    pub count: u64,
}

/// The last use of a secret.
#[derive(Clone, Debug, Serialize)]
pub struct UseRow {
    /// Of which key.
    pub key: KeyId,
    /// Which of its secrets.
    pub fingerprint: String,
    /// When.
    #[serde(serialize_with = "unix")]
    pub at: Timestamp,
    /// From where.
    pub address: Option<Origin>,
    /// By what.
    pub user_agent: Option<UserAgent>,
}

/// The last time that a service was shown a key itself.
#[derive(Clone, Debug, Serialize)]
pub struct ShownRow {
    /// Whose.
    pub organization: OrganizationId,
    /// Which key.
    pub key: KeyId,
    /// When.
    #[serde(serialize_with = "unix")]
    pub at: Timestamp,
    /// From where, if that was told.
    pub address: Option<Origin>,
}

/// Tokens obtained with a key on one day, from one place, for one text of scopes.
#[derive(Clone, Debug, Serialize)]
pub struct ExchangeRow {
    /// With which key.
    pub key: KeyId,
    /// The start of the day.
    #[serde(serialize_with = "unix")]
    pub day: Timestamp,
    /// From where; `None` with `scope` [`OTHER`].
    pub address: Option<Origin>,
    /// For which scopes, as asked; empty for none, [`OTHER`] beyond [`MOST_PAIRS`].
    pub scope: String,
    /// How many.
    pub count: u64,
    /// When last.
    #[serde(serialize_with = "unix")]
    pub last_seen: Timestamp,
}

/// A refusal and its true cause.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RefusalRow {
    /// Under which request id the client was told.
    pub request_id: String,
    /// Whose key was refused; `None` when it is not known, or nobody's.
    pub organization: Option<OrganizationId>,
    /// Which key.
    pub key: Option<KeyId>,
    /// When.
    #[serde(serialize_with = "unix")]
    pub at: Timestamp,
    /// Why.
    pub cause: Outcome,
    /// What to do about it.
    pub detail: String,
    /// From where, whole: what to do may be to let it in.
    pub address: Option<std::net::IpAddr>,
}

impl Store {
    /// Adds a batch, unless it is this node's last one, which then was added already: the
    /// answer to its commit had got lost.
    ///
    /// # Errors
    /// When the database is unavailable. Whether the batch was added is then unknown, and
    /// the same batch under the same number is to be delivered again.
    pub async fn add_usage(
        &self,
        delivery: &Delivery<'_>,
        batch: &Batch,
    ) -> Result<(), StoreError> {
        let mut transaction = self.transaction().await?;
        if !nodes::accept(transaction.on(), delivery).await? {
            return Ok(());
        }
        add(transaction.on(), ADD_COUNTS, &batch.counts).await?;
        add(transaction.on(), ADD_USES, &batch.uses).await?;
        add(transaction.on(), ADD_SHOWN, &batch.shown).await?;
        add(transaction.on(), ADD_EXCHANGES, &batch.exchanges).await?;
        add(transaction.on(), ADD_REFUSALS, &batch.refusals).await?;
        transaction.commit().await
    }
}

/// One statement takes rows as a JSON array: `e.value` is one of them.
#[derive(Clone, Copy)]
struct Texts {
    sqlite: &'static str,
    postgres: &'static str,
}

/// One statement takes rows as a JSON array: `e.value` is one of them. On PostgreSQL as `jsonb`, which
/// is read once, and not once more for every column of every row.
macro_rules! with_rows {
    ($before:literal, $after:literal) => {
        Texts {
            sqlite: concat!($before, " json_each($1) AS e ", $after),
            postgres: concat!(
                $before,
                " jsonb_array_elements(CAST($1 AS jsonb)) AS e(value) ",
                $after
            ),
        }
    };
}

const ADD_COUNTS: Texts = with_rows!(
    "INSERT INTO usage_counts (organization_id, api_key_id, grain, starts_at, outcome, count)
     SELECT e.value ->> 'organization', COALESCE(e.value ->> 'key', ''), e.value ->> 'grain',
            CAST(e.value ->> 'starts_at' AS BIGINT), e.value ->> 'outcome',
            CAST(e.value ->> 'count' AS BIGINT)
     FROM",
    "WHERE TRUE
     ON CONFLICT (organization_id, api_key_id, grain, starts_at, outcome)
     DO UPDATE SET count = usage_counts.count + excluded.count"
);

/// Not of keys that were erased meanwhile, nor are the next three.
const ADD_USES: Texts = with_rows!(
    "INSERT INTO secret_uses (api_key_id, fingerprint, last_used_at, address, user_agent)
     SELECT e.value ->> 'key', e.value ->> 'fingerprint', CAST(e.value ->> 'at' AS BIGINT),
            e.value ->> 'address', e.value ->> 'user_agent'
     FROM",
    "WHERE EXISTS (SELECT 1 FROM api_keys k WHERE k.id = e.value ->> 'key')
     ON CONFLICT (api_key_id, fingerprint)
     DO UPDATE SET last_used_at = excluded.last_used_at, address = excluded.address,
                   user_agent = excluded.user_agent
     WHERE excluded.last_used_at >= secret_uses.last_used_at"
);

const ADD_SHOWN: Texts = with_rows!(
    "INSERT INTO direct_uses (organization_id, api_key_id, last_at, address)
     SELECT e.value ->> 'organization', e.value ->> 'key', CAST(e.value ->> 'at' AS BIGINT),
            e.value ->> 'address'
     FROM",
    "WHERE EXISTS (SELECT 1 FROM api_keys k WHERE k.id = e.value ->> 'key')
     ON CONFLICT (api_key_id)
     DO UPDATE SET last_at = excluded.last_at, address = excluded.address
     WHERE excluded.last_at >= direct_uses.last_at"
);

/// A pair that is not stored yet is stored while its key has fewer than 200 (`MOST_PAIRS`) on
/// that day; others are counted together. Nodes that write at once may each fill the same room.
const ADD_EXCHANGES: Texts = with_rows!(
    "INSERT INTO exchange_records (api_key_id, day, address, scope, count, last_seen)
     SELECT placed.api_key_id, placed.day,
            CASE WHEN placed.fits THEN placed.address ELSE 'other' END AS kept_address,
            CASE WHEN placed.fits THEN placed.scope ELSE 'other' END AS kept_scope,
            CAST(SUM(placed.count) AS BIGINT), MAX(placed.last_seen)
     FROM (
         SELECT given.*,
                given.known OR given.address = 'other'
                OR ROW_NUMBER() OVER (PARTITION BY given.api_key_id, given.day, given.known
                                      ORDER BY given.last_seen DESC, given.address, given.scope)
                   + (SELECT COUNT(*) FROM exchange_records r
                      WHERE r.api_key_id = given.api_key_id AND r.day = given.day
                        AND r.address <> 'other') <= 200 AS fits
         FROM (
             SELECT n.*,
                    EXISTS (SELECT 1 FROM exchange_records r
                            WHERE r.api_key_id = n.api_key_id AND r.day = n.day
                              AND r.address = n.address AND r.scope = n.scope) AS known
             FROM (
                 SELECT e.value ->> 'key' AS api_key_id,
                        CAST(e.value ->> 'day' AS BIGINT) AS day,
                        COALESCE(e.value ->> 'address', 'other') AS address,
                        e.value ->> 'scope' AS scope,
                        CAST(e.value ->> 'count' AS BIGINT) AS count,
                        CAST(e.value ->> 'last_seen' AS BIGINT) AS last_seen
                 FROM",
    ") AS n
         ) AS given
     ) AS placed
     WHERE EXISTS (SELECT 1 FROM api_keys k WHERE k.id = placed.api_key_id)
     GROUP BY placed.api_key_id, placed.day, kept_address, kept_scope
     ORDER BY placed.api_key_id, placed.day, kept_address, kept_scope
     ON CONFLICT (api_key_id, day, address, scope)
     DO UPDATE SET count = exchange_records.count + excluded.count,
                   last_seen = CASE WHEN excluded.last_seen > exchange_records.last_seen
                                    THEN excluded.last_seen ELSE exchange_records.last_seen END"
);

const ADD_REFUSALS: Texts = with_rows!(
    "INSERT INTO refusals (request_id, organization_id, api_key_id, at, cause, detail, address)
     SELECT e.value ->> 'request_id', e.value ->> 'organization', e.value ->> 'key',
            CAST(e.value ->> 'at' AS BIGINT), e.value ->> 'cause', e.value ->> 'detail',
            e.value ->> 'address'
     FROM",
    "WHERE e.value ->> 'key' IS NULL
        OR EXISTS (SELECT 1 FROM api_keys k WHERE k.id = e.value ->> 'key')
     ON CONFLICT (request_id) DO NOTHING"
);

async fn add(
    on: Engine<&mut SqliteConnection, &mut PgConnection>,
    texts: Texts,
    rows: &[impl Serialize],
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let text = match on {
        Engine::Sqlite(_) => texts.sqlite,
        Engine::Postgres(_) => texts.postgres,
    };
    let rows = serde_json::to_string(rows).expect("rows are JSON");
    sql!(run on, text, &rows)?;
    Ok(())
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn unix<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(at.unix())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::engine::DatabaseUrl;
    use ulid::Ulid;

    #[tokio::test]
    async fn a_batch_delivered_twice_under_its_number_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&DatabaseUrl::Sqlite(folder.path().join("t.db")))
            .await
            .unwrap();
        store.migrate(&store.lock().unwrap()).await.unwrap();
        let at = |seconds| Timestamp::from_unix(seconds).unwrap();
        let acme: OrganizationId = "acme".parse().unwrap();
        let row = CountRow {
            organization: acme.clone(),
            key: Some(KeyId::new(Ulid(1))),
            grain: Grain::Hour,
            starts_at: at(3_600),
            outcome: Outcome::Issued,
            count: 7,
        };
        let batch = Batch {
            counts: vec![row],
            ..Batch::default()
        };
        // As when the answer to a commit gets lost, on one node and then on another.
        for (node, number) in [("a", 1), ("a", 1), ("a", 2), ("a", 2), ("b", 1), ("b", 1)] {
            let delivery = Delivery {
                node,
                started_at: at(1),
                flushed_at: at(2),
                batch: number,
            };
            store.add_usage(&delivery, &batch).await.unwrap();
        }
        let key = Some(KeyId::new(Ulid(1)));
        let counted = store.usage_counts(&acme, key, Grain::Hour, at(0), at(9_999));
        assert_eq!(counted.await.unwrap()[0].count, 21);
    }
}
