//! The one writing seam: every act on an organization is begun and committed here, with its
//! audit entry and its notification to other nodes in the same transaction.

use std::net::IpAddr;

use ring::hmac;
use sqlx::{PgConnection, SqliteConnection, Transaction};

use super::Store;
use super::audit::AuditRow;
use super::changes::{CHANNEL, Change};
use super::deployment;
use super::engine::{Engine, answered, sql};
use super::error::StoreError;
use super::organizations::{OrganizationRow, organization};
use crate::domain::organization::{Organization, OrganizationId};
use crate::domain::text::ActingFor;
use crate::domain::timestamp::Timestamp;

/// A transaction on either engine. Dropped, it never happened.
pub(super) type OpenTransaction =
    Engine<Transaction<'static, sqlx::Sqlite>, Transaction<'static, sqlx::Postgres>>;

/// An act under way on one organization. Others on the same organization wait for it, so
/// what it reads stays true until it commits. Dropped, it never happened.
pub struct Write {
    transaction: OpenTransaction,
    organization: Organization,
    root_key: String,
    /// The place of the next entry.
    pub(super) sequence: i64,
    pub(super) previous_mac: Vec<u8>,
    /// Whether the next entry has to say that those before it were erased.
    pub(super) erased: bool,
}

/// The member of an entry's details that says up to which entry its act erased what is personal.
pub const ERASED_THROUGH: &str = "audit_erased_through";

/// What an act did, for the audit log. Holds no secret, ever.
#[derive(Debug)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Who: a key id of the organization, `operator:` and one of the operator's, or
    /// `command line`, or `tenmint` by itself.
    pub actor: String,
    /// Which of the caller's own users it was for, as the caller said.
    pub acting_for: Option<ActingFor>,
    /// From where, if over the network.
    pub address: Option<IpAddr>,
    /// Under which request id, if over the network.
    pub request_id: Option<String>,
    /// What was done, such as `api_key.revoke`.
    pub action: &'static str,
    /// The id of what it was done to.
    pub target: String,
    /// What changed, from what to what: a JSON object.
    pub details: serde_json::Value,
    /// Random: once the personal parts are erased, nobody finds them by trying.
    pub salt: [u8; 16],
}

#[derive(sqlx::FromRow)]
struct LockedRow {
    #[sqlx(flatten)]
    organization: OrganizationRow,
    root_key: String,
    audit_sequence: i64,
    audit_mac: Vec<u8>,
}

impl Store {
    /// Begins an act on an organization; `None` if there is no such organization.
    ///
    /// Raising the audit sequence is what locks the organization, on both engines.
    ///
    /// # Errors
    /// When the database is unavailable, or other acts took too long.
    pub async fn begin(&self, id: &OrganizationId) -> Result<Option<Write>, StoreError> {
        let mut transaction = self.transaction().await?;
        let locked = sql!(
            optional LockedRow, transaction.on(),
            "UPDATE organizations SET audit_sequence = audit_sequence + 1
             WHERE id = $1 AND deleted_at IS NULL
             RETURNING id, name, created_at, suspended_at, bootstrapped_at, management_key_id,
                       operator_policy, policy, revision, root_key, audit_sequence, audit_mac",
            id.as_str()
        )?;
        locked
            .map(|row| Write::locked(transaction, row))
            .transpose()
    }

    /// Begins the act by which an organization, also one that was deleted, goes over to another
    /// root key; `None` if there is no such organization.
    ///
    /// # Errors
    /// When the database is unavailable, or other acts took too long.
    pub async fn begin_for_root_key(
        &self,
        id: &OrganizationId,
    ) -> Result<Option<Write>, StoreError> {
        let mut transaction = self.transaction().await?;
        let locked = sql!(
            optional LockedRow, transaction.on(),
            "UPDATE organizations SET audit_sequence = audit_sequence + 1 WHERE id = $1
             RETURNING id, name, created_at, suspended_at, bootstrapped_at, management_key_id,
                       operator_policy, policy, revision, root_key, audit_sequence, audit_mac",
            id.as_str()
        )?;
        locked
            .map(|row| Write::locked(transaction, row))
            .transpose()
    }

    /// Begins the act that creates an organization; `None` if its id is taken.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn begin_new(&self, new: &Organization) -> Result<Option<Write>, StoreError> {
        let mut transaction = self.transaction().await?;
        // Whoever makes another root key current waits for this, and is then not contradicted.
        let root_key = deployment::keep_root_key(transaction.on()).await?;
        let created = organization::insert(transaction.on(), new, &root_key).await?;
        Ok(created.then(|| Write {
            transaction,
            organization: new.clone(),
            root_key,
            sequence: 1,
            previous_mac: Vec::new(),
            erased: false,
        }))
    }

    /// Begins a transaction that writes.
    pub(super) async fn transaction(&self) -> Result<OpenTransaction, StoreError> {
        Ok(match &self.engine {
            // IMMEDIATE: the write lock is taken now, not at the first write, where it could
            // no longer be waited for.
            Engine::Sqlite(sqlite) => {
                Engine::Sqlite(sqlite.writer.begin_with("BEGIN IMMEDIATE").await?)
            }
            Engine::Postgres(postgres) => {
                let begin = async || Ok(answered(postgres.pool.begin()).await?);
                Engine::Postgres(self.asked_again(begin).await?)
            }
        })
    }
}

impl Write {
    fn locked(transaction: OpenTransaction, row: LockedRow) -> Result<Self, StoreError> {
        Ok(Self {
            transaction,
            organization: row.organization.try_into()?,
            root_key: row.root_key,
            sequence: row.audit_sequence,
            previous_mac: row.audit_mac,
            erased: false,
        })
    }

    /// The id of the root key that the organization depends on: its audit chain goes on under
    /// it, and its signing keys are sealed under it.
    #[must_use]
    pub fn root_key(&self) -> &str {
        &self.root_key
    }

    /// The last entry of the organization's chain before this act: its place and its MAC.
    #[must_use]
    pub fn before(&self) -> (i64, &[u8]) {
        (self.sequence - 1, &self.previous_mac)
    }

    /// From here on, this act included, the organization depends on another root key, under
    /// which `proof` vouches for its chain so far.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn go_over_to(&mut self, root_key: &str, proof: &[u8]) -> Result<(), StoreError> {
        let (organization, before) = (self.organization.id.clone(), self.sequence - 1);
        sql!(
            run self.on(),
            "UPDATE organizations SET root_key = $2, anchor_sequence = $3, anchor_proof = $4
             WHERE id = $1",
            organization.as_str(), root_key, before, proof
        )?;
        root_key.clone_into(&mut self.root_key);
        Ok(())
    }

    /// The organization, as it was when the act began.
    #[must_use]
    pub fn organization(&self) -> &Organization {
        &self.organization
    }

    /// From this act on, what is personal in every audit entry before it may be erased, for good:
    /// addresses, the callers' own users, and what changed. The chain still verifies, because the
    /// entry of this act says so.
    pub(super) const fn erases_details(&mut self) {
        self.erased = true;
    }

    /// Adds entries to the chain, in this order, before the one that the act commits with: for
    /// acts on many things at once.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn record(
        &mut self,
        events: Vec<Event>,
        chain: &hmac::Key,
    ) -> Result<(), StoreError> {
        let rows: Vec<_> = events
            .into_iter()
            .map(|event| self.next_entry(event, chain))
            .collect();
        self.append(&rows).await
    }

    /// Makes the act last: its audit entry is chained to the one before by a MAC, other
    /// nodes are told of `changes`, and all of it commits or none.
    ///
    /// # Errors
    /// When the database is unavailable. Whether the act happened is then unknown: callers
    /// treat it as if it had.
    pub async fn commit(
        mut self,
        event: Event,
        chain: &hmac::Key,
        changes: &[Change],
    ) -> Result<(), StoreError> {
        let row = self.next_entry(event, chain);
        let organization = self.organization.id.clone();
        sql!(
            run self.on(),
            "UPDATE organizations SET audit_sequence = $2, audit_mac = $3 WHERE id = $1",
            organization.as_str(), row.sequence, &row.mac
        )?;
        self.append(&[row]).await?;
        if let Engine::Postgres(transaction) = &mut self.transaction {
            for change in changes {
                let notify = sqlx::query("SELECT pg_notify($1, $2)")
                    .bind(CHANNEL)
                    .bind(change.to_string())
                    .execute(&mut **transaction);
                answered(notify).await?;
            }
        }
        self.transaction.commit().await
    }

    /// The next entry of the chain, by which the one before cannot be changed.
    fn next_entry(&mut self, event: Event, chain: &hmac::Key) -> AuditRow {
        let mut details = event.details;
        if self.erased {
            // Who verifies the chain takes an emptied entry for erased if a later one says so.
            details[ERASED_THROUGH] = (self.sequence - 1).into();
        }
        let mut row = AuditRow {
            sequence: self.sequence,
            at: event.at.unix(),
            actor: event.actor,
            acting_for: event.acting_for.map(|user| user.to_string()),
            address: event.address.map(|address| address.to_string()),
            request_id: event.request_id,
            action: event.action.to_owned(),
            target: event.target,
            details: details.to_string(),
            salt: Some(event.salt.to_vec()),
            digest: None,
            mac: Vec::new(),
        };
        row.seal(self.organization.id.as_str(), chain, &self.previous_mac);
        self.previous_mac.clone_from(&row.mac);
        self.sequence += 1;
        row
    }

    /// The connection that the act runs on.
    pub(super) fn on(&mut self) -> Engine<&mut SqliteConnection, &mut PgConnection> {
        self.transaction.on()
    }
}

impl OpenTransaction {
    /// The connection that it runs on.
    pub(super) fn on(&mut self) -> Engine<&mut SqliteConnection, &mut PgConnection> {
        match self {
            Self::Sqlite(transaction) => Engine::Sqlite(&mut **transaction),
            Self::Postgres(transaction) => Engine::Postgres(&mut **transaction),
        }
    }

    /// Makes it last. On an error nobody knows whether it does.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await?,
            Self::Postgres(transaction) => answered(transaction.commit()).await?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::text::Name;
    use crate::store::engine::DatabaseUrl;

    /// Creates an organization with an audit entry of some size.
    async fn create(store: &Store, id: &str) -> Result<(), StoreError> {
        let now = Timestamp::from_unix(1_000).unwrap();
        let new = Organization::new(id.parse().unwrap(), Name::new(id).unwrap(), now);
        let event = Event {
            at: now,
            actor: "command line".to_owned(),
            address: None,
            acting_for: None,
            request_id: None,
            action: "organization.create",
            target: id.to_owned(),
            details: serde_json::json!({ "note": "x".repeat(4_000) }),
            salt: [0; 16],
        };
        let chain = hmac::Key::new(hmac::HMAC_SHA256, b"tests");
        let write = store.begin_new(&new).await?.expect("a new id");
        write.commit(event, &chain, &[]).await
    }

    #[tokio::test]
    async fn a_full_disk_fails_acts_and_not_those_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&DatabaseUrl::Sqlite(folder.path().join("t.db")))
            .await
            .unwrap();
        store.migrate(&store.lock().unwrap()).await.unwrap();
        let Engine::Sqlite(sqlite) = &store.engine else {
            unreachable!("an SQLite file was opened")
        };
        let pages = async |most: u32| {
            let limit = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {most}"));
            sqlx::query(limit).execute(&sqlite.writer).await.unwrap();
        };
        // As full as a disk can be, on this connection.
        pages(1).await;
        // One row, and SQLite rolls back the whole transaction by itself.
        let mut transaction = store.transaction().await.unwrap();
        let text = "INSERT INTO deployment (id, root_key, created_at) VALUES (1, $1, 0)";
        let failed = sql!(run transaction.on(), text, "x".repeat(100_000));
        assert!(failed.is_err());
        drop(transaction);
        create(&store, "meanwhile")
            .await
            .expect("the connection that failed was given up");
        // An act fails as a whole, again and again, until there is room.
        pages(1).await;
        let mut failed = 0;
        for n in 0..50 {
            failed += usize::from(create(&store, &format!("org{n}")).await.is_err());
        }
        assert!(failed > 0, "the disk was full");
        pages(1_000_000).await;
        create(&store, "after").await.unwrap();
        assert!(
            store
                .organization(&"after".parse().unwrap())
                .await
                .unwrap()
                .is_some()
        );
    }
}
