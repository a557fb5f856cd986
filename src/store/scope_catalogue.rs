//! The scope catalogue in the database: the operator's entries, and each organization's own.

use super::Store;
use super::engine::sql;
use super::error::{StoreError, corrupt};
use super::organizations::Page;
use super::write::Write;
use crate::domain::organization::OrganizationId;
use crate::domain::scope::{ActionName, CatalogueEntry, DefinedBy};
use crate::domain::text::Description;
use crate::domain::timestamp::Timestamp;

#[derive(sqlx::FromRow)]
struct EntryRow {
    organization_id: String,
    action: String,
    description: Option<String>,
    created_at: i64,
}

impl Store {
    /// A page of what an organization knows in the order of actions, beginning behind `after`.
    /// An action that the operator defines too is the operator's.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn known_actions(
        &self,
        organization: &OrganizationId,
        after: Option<&ActionName>,
        limit: u8,
    ) -> Result<Page<CatalogueEntry>, StoreError> {
        let rows = sql!(
            all EntryRow, self.reader(),
            "SELECT c.organization_id, c.action, c.description, c.created_at
             FROM scope_catalogue c
             WHERE c.action > $2
               AND (c.organization_id = 'operator'
                    OR (c.organization_id = $1
                        AND NOT EXISTS (SELECT 1 FROM scope_catalogue o
                                        WHERE o.organization_id = 'operator'
                                          AND o.action = c.action)))
             ORDER BY c.action LIMIT $3",
            organization.as_str(), after.map_or("", ActionName::as_str), i64::from(limit) + 1
        )?;
        let rows = rows
            .into_iter()
            .map(TryInto::try_into)
            .collect::<Result<_, _>>()?;
        Ok(Page::from_overfull(rows, usize::from(limit)))
    }
}

impl Write {
    /// An entry of the operator, or of the organization of this act itself.
    ///
    /// # Errors
    /// When the database is unavailable or the row corrupt.
    pub async fn catalogue_entry(
        &mut self,
        action: &ActionName,
        defined_by: DefinedBy,
    ) -> Result<Option<CatalogueEntry>, StoreError> {
        let organization = self.catalogue_of(defined_by);
        let row = sql!(
            optional EntryRow, self.on(),
            "SELECT organization_id, action, description, created_at
             FROM scope_catalogue WHERE organization_id = $1 AND action = $2",
            organization.as_str(), action.as_str()
        )?;
        row.map(TryInto::try_into).transpose()
    }

    /// Whether the organization of this act knows an action from `first` to `last`, both
    /// included, in the order of bytes.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn knows_action(&mut self, first: &str, last: &str) -> Result<bool, StoreError> {
        let organization = self.organization().id.clone();
        let found = sql!(
            optional(String,),
            self.on(),
            "SELECT action FROM scope_catalogue
             WHERE organization_id IN ($1, 'operator') AND action >= $2 AND action <= $3 LIMIT 1",
            organization.as_str(),
            first,
            last
        )?;
        Ok(found.is_some())
    }

    /// The first few actions that the organization of this act knows; none where there is no
    /// catalogue.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn first_actions(&mut self) -> Result<Vec<String>, StoreError> {
        let organization = self.organization().id.clone();
        let rows = sql!(
            all(String,),
            self.on(),
            "SELECT DISTINCT action FROM scope_catalogue
             WHERE organization_id IN ($1, 'operator') ORDER BY action LIMIT 5",
            organization.as_str()
        )?;
        Ok(rows.into_iter().map(|(action,)| action).collect())
    }

    /// How many actions the organization of this act defines itself.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn count_actions(&mut self) -> Result<i64, StoreError> {
        let organization = self.organization().id.clone();
        let (count,) = sql!(
            one(i64,),
            self.on(),
            "SELECT COUNT(*) FROM scope_catalogue WHERE organization_id = $1",
            organization.as_str()
        )?;
        Ok(count)
    }

    /// Stores an entry of the organization of this act, new or described anew.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn save_action(&mut self, entry: &CatalogueEntry) -> Result<(), StoreError> {
        let organization = self.organization().id.clone();
        sql!(
            run self.on(),
            "INSERT INTO scope_catalogue (organization_id, action, description, created_at)
             VALUES ($1, $2, $3, $4)
             ON CONFLICT (organization_id, action) DO UPDATE SET
                 description = excluded.description",
            organization.as_str(), entry.action.as_str(),
            entry.description.as_ref().map(Description::as_str), entry.created_at.unix()
        )?;
        Ok(())
    }

    /// Removes an entry of the organization of this act.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn remove_action(&mut self, action: &ActionName) -> Result<(), StoreError> {
        let organization = self.organization().id.clone();
        sql!(
            run self.on(),
            "DELETE FROM scope_catalogue WHERE organization_id = $1 AND action = $2",
            organization.as_str(), action.as_str()
        )?;
        Ok(())
    }

    fn catalogue_of(&self, defined_by: DefinedBy) -> OrganizationId {
        match defined_by {
            DefinedBy::Operator => OrganizationId::operator(),
            DefinedBy::Organization => self.organization().id.clone(),
        }
    }
}

impl TryFrom<EntryRow> for CatalogueEntry {
    type Error = StoreError;

    fn try_from(row: EntryRow) -> Result<Self, StoreError> {
        let wrong = |what| corrupt("scope_catalogue", what);
        let organization: OrganizationId = row
            .organization_id
            .parse()
            .map_err(|_| wrong("organization_id"))?;
        Ok(Self {
            action: row.action.parse().map_err(|_| wrong("action"))?,
            description: row
                .description
                .map(|text| Description::new(&text))
                .transpose()
                .map_err(|_| wrong("description"))?,
            defined_by: if organization.is_operator() {
                DefinedBy::Operator
            } else {
                DefinedBy::Organization
            },
            created_at: Timestamp::from_unix(row.created_at).map_err(|_| wrong("created_at"))?,
        })
    }
}
