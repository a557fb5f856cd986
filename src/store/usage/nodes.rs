//! The servers on one database: when each was last heard, and up to when it delivered its usage.

use sqlx::{PgConnection, SqliteConnection};

use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::engine::{Engine, sql};
use crate::store::error::StoreError;

/// After so many seconds without a sign of life a server counts as dead. A living one gives
/// one each minute.
pub const DEAD_AFTER: i64 = 600;

/// Which node delivers, and what its delivery says of it.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The node's id.
    pub node: &'a str,
    /// When it started.
    pub started_at: Timestamp,
    /// Everything that it recorded before this second is delivered with this batch.
    pub flushed_at: Timestamp,
    /// One more than the batch before.
    pub batch: i64,
}

impl Store {
    /// Whether every living node has delivered all that it recorded up to and including `since`.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn all_nodes_flushed_since(
        &self,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (behind,) = sql!(
            one(i64,),
            self.reader(),
            "SELECT COUNT(*) FROM nodes WHERE flushed_at <= $1 AND flushed_at >= $2",
            since.unix(),
            now.unix() - DEAD_AFTER
        )?;
        Ok(behind == 0)
    }

    /// Strikes out a node that has delivered everything and stops.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn remove_node(&self, node: &str) -> Result<(), StoreError> {
        sql!(run self.writer(), "DELETE FROM nodes WHERE id = $1", node)?;
        Ok(())
    }

    /// Strikes out nodes that have not been heard since an instant.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn remove_nodes_before(&self, instant: Timestamp) -> Result<(), StoreError> {
        sql!(run self.writer(), "DELETE FROM nodes WHERE flushed_at < $1", instant.unix())?;
        Ok(())
    }
}

/// Notes a delivery; false if this very one was noted before.
pub(super) async fn accept(
    on: Engine<&mut SqliteConnection, &mut PgConnection>,
    delivery: &Delivery<'_>,
) -> Result<bool, StoreError> {
    let noted = sql!(
        run on,
        "INSERT INTO nodes (id, started_at, flushed_at, batch) VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET flushed_at = excluded.flushed_at, batch = excluded.batch
         WHERE nodes.batch < excluded.batch",
        delivery.node, delivery.started_at.unix(), delivery.flushed_at.unix(), delivery.batch
    )?;
    Ok(noted == 1)
}
