//! Which root keys the database knows, what still depends on each, and which servers hold them.

mod endings;
mod holders;
mod needs;

use super::Store;
use super::engine::sql;
use super::error::{StoreError, corrupt};
use super::write::Write;
use crate::domain::organization::OrganizationId;
use crate::domain::signing_key::{Algorithm, Kid};
use crate::domain::timestamp::Timestamp;

pub use endings::{CountingSecret, EndedKey};
pub use holders::Holder;
pub use needs::{Need, NeedyKey};

/// The root keys of the deployment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RootKeys {
    /// The id of the one that everything new depends on.
    pub current: String,
    /// Those that were current once, in the order in which they ceased to be.
    pub former: Vec<FormerRootKey>,
}

/// A root key that was current once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FormerRootKey {
    /// Its id.
    pub id: String,
    /// When another took its place.
    pub superseded_at: Timestamp,
    /// What it leaves, sealed under the current one; `None` while a rotation is under way.
    pub trace: Option<Vec<u8>>,
    /// When it was given up.
    pub dropped_at: Option<Timestamp>,
}

/// The private half of a signing key that is sealed under another root key than its organization
/// depends on.
#[derive(Debug)]
pub struct SealedElsewhere {
    /// Which signing key.
    pub kid: Kid,
    /// What it signs with: it is bound to that.
    pub algorithm: Algorithm,
    /// PKCS#8 under AES-256-GCM.
    pub sealed: Vec<u8>,
    /// The id of the root key that sealed it.
    pub root_key: String,
}

/// Whether root keys become current one after the other before any is replaced everywhere, as when
/// a restore does several rotations again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "yes and no")]
pub enum InTurn {
    Yes,
    No,
}

#[derive(sqlx::FromRow)]
struct RootKeyRow {
    current: String,
    id: Option<String>,
    superseded_at: Option<i64>,
    trace: Option<Vec<u8>>,
    dropped_at: Option<i64>,
}

impl Store {
    /// The root keys of the deployment; `None` before first start. All at one instant: a trace
    /// opens under the root key that was current with it.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn root_keys(&self) -> Result<Option<RootKeys>, StoreError> {
        let rows = sql!(
            all RootKeyRow, self.reader(),
            "SELECT d.root_key AS current, f.id, f.superseded_at, f.trace, f.dropped_at
             FROM deployment d LEFT JOIN former_root_keys f ON f.id <> d.root_key
             WHERE d.id = 1 ORDER BY f.superseded_at, f.id"
        )?;
        let Some(current) = rows.first().map(|row| row.current.clone()) else {
            return Ok(None);
        };
        let former = rows.into_iter().filter_map(|row| row.former().transpose());
        let former = former.collect::<Result<_, _>>()?;
        Ok(Some(RootKeys { current, former }))
    }

    /// At most `count` of the organizations that do not wholly depend on this root key, in the
    /// order of their ids, behind `after`.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn organizations_not_under(
        &self,
        root_key: &str,
        after: &str,
        count: i64,
    ) -> Result<Vec<String>, StoreError> {
        let rows = sql!(
            all(String,),
            self.reader(),
            "SELECT o.id FROM organizations o
             WHERE o.id > $2
               AND (o.root_key <> $1 OR EXISTS (
                 SELECT 1 FROM signing_keys s
                 WHERE s.organization_id = o.id AND s.root_key <> $1 AND LENGTH(s.sealed) > 0))
             ORDER BY o.id LIMIT $3",
            root_key,
            after,
            count
        )?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }
}

impl Write {
    /// Makes another root key current; false if `from` is not, or, unless each is gone over to in
    /// turn, was not wholly replaced when it became so.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn supersede(
        &mut self,
        from: &str,
        to: &str,
        at: Timestamp,
        in_turn: InTurn,
    ) -> Result<bool, StoreError> {
        let done = sql!(
            run self.on(),
            "UPDATE deployment SET root_key = $2
             WHERE id = 1 AND root_key = $1
               AND NOT EXISTS (SELECT 1 FROM former_root_keys
                               WHERE id = $2 OR (trace IS NULL AND $3 = 0))",
            from, to, i64::from(in_turn == InTurn::Yes)
        )?;
        if done == 0 {
            return Ok(false);
        }
        sql!(
            run self.on(),
            "INSERT INTO former_root_keys (id, superseded_at) VALUES ($1, $2)",
            from, at.unix()
        )?;
        Ok(true)
    }

    /// What former root keys left, as it is now: their ids, and what is sealed.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn traces(&mut self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        Ok(sql!(
            all(String, Vec<u8>),
            self.on(),
            "SELECT id, trace FROM former_root_keys WHERE trace IS NOT NULL"
        )?)
    }

    /// Stores what a former root key leaves.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn save_trace(&mut self, former: &str, trace: &[u8]) -> Result<(), StoreError> {
        sql!(
            run self.on(),
            "UPDATE former_root_keys SET trace = $2 WHERE id = $1", former, trace
        )?;
        Ok(())
    }

    /// Notes that a former root key was given up; false if it was before, or has left no trace.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn drop_root_key(&mut self, id: &str, at: Timestamp) -> Result<bool, StoreError> {
        let done = sql!(
            run self.on(),
            "UPDATE former_root_keys SET dropped_at = $2
             WHERE id = $1 AND trace IS NOT NULL AND dropped_at IS NULL",
            id, at.unix()
        )?;
        Ok(done == 1)
    }

    /// Notes that a root key that was never current is given up, so that it never becomes so; false
    /// if it is or was current after all.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn drop_unused_root_key(
        &mut self,
        id: &str,
        trace: &[u8],
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sql!(
            run self.on(),
            "INSERT INTO former_root_keys (id, superseded_at, trace, dropped_at)
             SELECT $1, $2, $3, $2 FROM deployment WHERE id = 1 AND root_key <> $1
             ON CONFLICT (id) DO NOTHING",
            id, at.unix(), trace
        )?;
        Ok(done == 1)
    }

    /// The organization's signing keys that are sealed under another root key than this one.
    /// Those whose private halves were destroyed are not.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn sealed_elsewhere(
        &mut self,
        root_key: &str,
    ) -> Result<Vec<SealedElsewhere>, StoreError> {
        let organization: OrganizationId = self.organization().id.clone();
        let rows = sql!(
            all(String, String, Vec<u8>, String),
            self.on(),
            "SELECT kid, algorithm, sealed, root_key FROM signing_keys
             WHERE organization_id = $1 AND root_key <> $2 AND LENGTH(sealed) > 0",
            organization.as_str(),
            root_key
        )?;
        let row = |(kid, algorithm, sealed, root_key): (String, String, _, _)| {
            let algorithm = algorithm.parse();
            Ok(SealedElsewhere {
                kid: Kid::new(&kid),
                algorithm: algorithm.map_err(|_| corrupt("signing_keys", "algorithm"))?,
                sealed,
                root_key,
            })
        };
        rows.into_iter().map(row).collect()
    }

    /// Stores a signing key of the organization as it is sealed now.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn save_sealed(
        &mut self,
        kid: &Kid,
        sealed: &[u8],
        root_key: &str,
    ) -> Result<(), StoreError> {
        let organization = self.organization().id.clone();
        sql!(
            run self.on(),
            "UPDATE signing_keys SET sealed = $3, root_key = $4
             WHERE organization_id = $1 AND kid = $2",
            organization.as_str(), kid.as_str(), sealed, root_key
        )?;
        // What was there, another root key opens.
        self.owe_erasure().await
    }
}

impl RootKeyRow {
    fn former(self) -> Result<Option<FormerRootKey>, StoreError> {
        let (Some(id), Some(superseded_at)) = (self.id, self.superseded_at) else {
            return Ok(None);
        };
        let time =
            |at: i64, what| Timestamp::from_unix(at).map_err(|_| corrupt("former_root_keys", what));
        Ok(Some(FormerRootKey {
            id,
            superseded_at: time(superseded_at, "superseded_at")?,
            trace: self.trace,
            dropped_at: self
                .dropped_at
                .map(|at| time(at, "dropped_at"))
                .transpose()?,
        }))
    }
}
