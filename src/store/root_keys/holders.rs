//! Which servers hold which root keys: each says so every few seconds.

use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::engine::sql;
use crate::store::error::{StoreError, corrupt};

/// A server, and the root keys that it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// The server's id.
    pub node: String,
    /// The id of the root key that everything new of it depends on.
    pub in_use: String,
    /// The ids of all that it holds.
    pub held: Vec<String>,
    /// When it last said so.
    pub seen_at: Timestamp,
}

impl Holder {
    /// After so many seconds without a word a server counts as gone.
    pub const GONE_AFTER: i64 = 60;

    /// Whether it holds a root key.
    #[must_use]
    pub fn holds(&self, root_key: &str) -> bool {
        self.held.iter().any(|id| id == root_key)
    }
}

impl Store {
    /// Says which root keys a server holds.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn tell_held(&self, holder: &Holder) -> Result<(), StoreError> {
        sql!(
            run self.writer(),
            "INSERT INTO root_key_holders (node, in_use, held, seen_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (node) DO UPDATE
             SET in_use = excluded.in_use, held = excluded.held, seen_at = excluded.seen_at",
            &holder.node, &holder.in_use, holder.held.join(" "), holder.seen_at.unix()
        )?;
        Ok(())
    }

    /// Strikes out a server that stops, and all that were not heard for an hour.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn forget_holder(&self, node: &str, now: Timestamp) -> Result<(), StoreError> {
        sql!(
            run self.writer(),
            "DELETE FROM root_key_holders WHERE node = $1 OR seen_at < $2",
            node, now.unix() - 3600
        )?;
        Ok(())
    }

    /// The servers that live, by their ids.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn holders(&self, now: Timestamp) -> Result<Vec<Holder>, StoreError> {
        let rows = sql!(
            all(String, String, String, i64),
            self.reader(),
            "SELECT node, in_use, held, seen_at FROM root_key_holders
             WHERE seen_at >= $1 ORDER BY node",
            now.unix() - Holder::GONE_AFTER
        )?;
        let row = |(node, in_use, held, seen_at): (String, String, String, i64)| {
            let seen_at = Timestamp::from_unix(seen_at);
            Ok(Holder {
                node,
                in_use,
                held: held.split(' ').map(str::to_owned).collect(),
                seen_at: seen_at.map_err(|_| corrupt("root_key_holders", "seen_at"))?,
            })
        };
        rows.into_iter().map(row).collect()
    }
}
