//! Organizations in the database.

pub mod deletion;

use super::Store;
use super::engine::sql;
use super::error::{StoreError, corrupt};
use super::policy;
use super::write::Write;
use crate::domain::organization::{Organization, OrganizationId};
use crate::domain::secret::KeyId;
use crate::domain::text::Name;
use crate::domain::timestamp::Timestamp;

/// One page of a list, and whether there is more behind it.
#[derive(Debug)]
pub struct Page<T> {
    /// The rows, in order.
    pub rows: Vec<T>,
    /// Whether another page follows.
    pub more: bool,
}

impl<T> Page<T> {
    /// From one row more than the page holds.
    pub(super) fn from_overfull(mut rows: Vec<T>, limit: usize) -> Self {
        let more = rows.len() > limit;
        rows.truncate(limit);
        Self { rows, more }
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct OrganizationRow {
    id: String,
    name: String,
    created_at: i64,
    suspended_at: Option<i64>,
    bootstrapped_at: Option<i64>,
    management_key_id: Option<String>,
    operator_policy: String,
    policy: String,
    revision: i64,
}

impl Store {
    /// One organization, if there is one of that id.
    ///
    /// # Errors
    /// When the database is unavailable or the row corrupt.
    pub async fn organization(
        &self,
        id: &OrganizationId,
    ) -> Result<Option<Organization>, StoreError> {
        sql!(
            optional OrganizationRow, self.reader(),
            "SELECT id, name, created_at, suspended_at, bootstrapped_at, management_key_id,
                    operator_policy, policy, revision
             FROM organizations WHERE id = $1 AND deleted_at IS NULL",
            id.as_str()
        )?
        .map(TryInto::try_into)
        .transpose()
    }

    /// A page of organizations in the order of their ids, beginning behind `after`.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn organizations(
        &self,
        after: Option<&OrganizationId>,
        limit: u8,
    ) -> Result<Page<Organization>, StoreError> {
        let rows = sql!(
            all OrganizationRow, self.reader(),
            "SELECT id, name, created_at, suspended_at, bootstrapped_at, management_key_id,
                    operator_policy, policy, revision
             FROM organizations WHERE id > $1 AND deleted_at IS NULL ORDER BY id LIMIT $2",
            after.map_or("", OrganizationId::as_str), i64::from(limit) + 1
        )?;
        let rows = rows
            .into_iter()
            .map(TryInto::try_into)
            .collect::<Result<_, _>>()?;
        Ok(Page::from_overfull(rows, usize::from(limit)))
    }
}

impl Write {
    /// Stores the name, the policies and the revision of the organization as they have become.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn save_organization(&mut self, after: &Organization) -> Result<(), StoreError> {
        let json = |policy| serde_json::to_string(policy).expect("policies are JSON");
        sql!(
            run self.on(),
            "UPDATE organizations SET name = $2, operator_policy = $3, policy = $4, revision = $5
             WHERE id = $1",
            after.id.as_str(), after.name.as_str(), json(&after.operator_policy),
            json(&after.policy), after.revision
        )?;
        Ok(())
    }

    /// Suspends the organization at an instant, or lets it work again.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn set_suspension(&mut self, at: Option<Timestamp>) -> Result<(), StoreError> {
        let id = self.organization().id.clone();
        sql!(
            run self.on(),
            "UPDATE organizations SET suspended_at = $2 WHERE id = $1",
            id.as_str(), at.map(Timestamp::unix)
        )?;
        Ok(())
    }

    /// Notes that the organization has its signing key, and which is its management key.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn set_bootstrapped(
        &mut self,
        at: Timestamp,
        management_key: Option<KeyId>,
    ) -> Result<(), StoreError> {
        let id = self.organization().id.clone();
        sql!(
            run self.on(),
            "UPDATE organizations
             SET bootstrapped_at = COALESCE(bootstrapped_at, $2), management_key_id = $3
             WHERE id = $1",
            id.as_str(), at.unix(), management_key.map(|key| key.to_string())
        )?;
        Ok(())
    }
}

pub(super) mod organization {
    use super::super::engine::{Engine, sql};
    use super::{Organization, StoreError};
    use sqlx::{PgConnection, SqliteConnection};

    /// Inserts a new organization at the first entry of its audit chain; false if its id is
    /// taken.
    pub(in crate::store) async fn insert(
        on: Engine<&mut SqliteConnection, &mut PgConnection>,
        new: &Organization,
        root_key: &str,
    ) -> Result<bool, StoreError> {
        let inserted = sql!(
            run on,
            "INSERT INTO organizations
             (id, name, created_at, audit_sequence, audit_mac, root_key)
             VALUES ($1, $2, $3, 1, $4, $5) ON CONFLICT (id) DO NOTHING",
            new.id.as_str(), new.name.as_str(), new.created_at.unix(), Vec::<u8>::new(), root_key
        )?;
        Ok(inserted == 1)
    }
}

impl TryFrom<OrganizationRow> for Organization {
    type Error = StoreError;

    fn try_from(row: OrganizationRow) -> Result<Self, StoreError> {
        let wrong = |what| corrupt("organizations", what);
        let time = |at: Option<i64>, what| {
            at.map(Timestamp::from_unix)
                .transpose()
                .map_err(|_| wrong(what))
        };
        Ok(Self {
            id: row.id.parse().map_err(|_| wrong("id"))?,
            name: Name::new(&row.name).map_err(|_| wrong("name"))?,
            created_at: Timestamp::from_unix(row.created_at).map_err(|_| wrong("created_at"))?,
            suspended_at: time(row.suspended_at, "suspended_at")?,
            bootstrapped_at: time(row.bootstrapped_at, "bootstrapped_at")?,
            management_key: row
                .management_key_id
                .map(|id| id.parse())
                .transpose()
                .map_err(|_| wrong("management_key_id"))?,
            operator_policy: policy::parse(&row.operator_policy)?,
            policy: policy::parse(&row.policy)?,
            revision: row.revision,
        })
    }
}
