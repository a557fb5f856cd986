//! Roles in the database.

mod holders;

use super::Store;
use super::engine::sql;
use super::error::{StoreError, corrupt};
use super::organizations::Page;
use super::write::Write;
use crate::domain::organization::OrganizationId;
use crate::domain::role::{HeldRole, Role, RoleName};
use crate::domain::scope::ScopeSet;
use crate::domain::text::Description;
use crate::domain::timestamp::Timestamp;

pub use holders::{Holder, Kin};

#[derive(sqlx::FromRow)]
struct RoleRow {
    organization_id: String,
    name: String,
    description: Option<String>,
    scopes: String,
    created_at: i64,
    revision: i64,
    keys: i64,
}

/// What is selected of a role `r`.
macro_rules! columns {
    () => {
        "r.organization_id, r.name, r.description, r.scopes, r.created_at, r.revision,
         (SELECT COUNT(*) FROM api_key_roles a JOIN api_keys k ON k.id = a.api_key_id
          WHERE a.organization_id = r.organization_id AND a.role = r.name
            AND k.revoked_at IS NULL) AS keys"
    };
}

const ONE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM roles r WHERE r.organization_id = $1 AND r.name = $2"
);

impl Store {
    /// One role of an organization.
    ///
    /// # Errors
    /// When the database is unavailable or the row corrupt.
    pub async fn role(
        &self,
        organization: &OrganizationId,
        name: &RoleName,
    ) -> Result<Option<HeldRole>, StoreError> {
        let row = sql!(
            optional RoleRow, self.reader(), ONE,
            organization.as_str(), name.as_str()
        )?;
        row.map(TryInto::try_into).transpose()
    }

    /// A page of an organization's roles in the order of their names, beginning behind `after`.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn roles(
        &self,
        organization: &OrganizationId,
        after: Option<&RoleName>,
        limit: u8,
    ) -> Result<Page<HeldRole>, StoreError> {
        let rows = sql!(
            all RoleRow, self.reader(),
            concat!("SELECT ", columns!(), " FROM roles r
             WHERE r.organization_id = $1 AND r.name > $2 ORDER BY r.name LIMIT $3"),
            organization.as_str(), after.map_or("", RoleName::as_str), i64::from(limit) + 1
        )?;
        let rows = rows
            .into_iter()
            .map(TryInto::try_into)
            .collect::<Result<_, _>>()?;
        Ok(Page::from_overfull(rows, usize::from(limit)))
    }
}

impl Write {
    /// One role of the organization of this act, as it is now.
    ///
    /// # Errors
    /// When the database is unavailable or the row corrupt.
    pub async fn role(&mut self, name: &RoleName) -> Result<Option<HeldRole>, StoreError> {
        let organization = self.organization().id.clone();
        let row = sql!(
            optional RoleRow, self.on(), ONE,
            organization.as_str(), name.as_str()
        )?;
        row.map(TryInto::try_into).transpose()
    }

    /// The scopes of a role of the organization of this act; `None` if there is no such role.
    ///
    /// # Errors
    /// When the database is unavailable or the row corrupt.
    pub async fn role_scopes(&mut self, name: &RoleName) -> Result<Option<ScopeSet>, StoreError> {
        let organization = self.organization().id.clone();
        let row = sql!(
            optional(String,),
            self.on(),
            "SELECT scopes FROM roles WHERE organization_id = $1 AND name = $2",
            organization.as_str(),
            name.as_str()
        )?;
        row.map(|(scopes,)| ScopeSet::parse_parameter(&scopes))
            .transpose()
            .map_err(|_| corrupt("roles", "scopes"))
    }

    /// How many roles the organization of this act has.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn count_roles(&mut self) -> Result<i64, StoreError> {
        let organization = self.organization().id.clone();
        let (count,) = sql!(
            one(i64,),
            self.on(),
            "SELECT COUNT(*) FROM roles WHERE organization_id = $1",
            organization.as_str()
        )?;
        Ok(count)
    }

    /// Stores a role as it has become: a new one, or one that is there, under its revision.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn save_role(&mut self, role: &Role) -> Result<(), StoreError> {
        let organization = self.organization().id.clone();
        sql!(
            run self.on(),
            "INSERT INTO roles
             (organization_id, name, description, scopes, created_at, revision)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (organization_id, name) DO UPDATE SET
                 description = excluded.description, scopes = excluded.scopes,
                 revision = excluded.revision",
            organization.as_str(), role.name.as_str(),
            role.description.as_ref().map(Description::as_str), role.scopes.to_parameter(),
            role.created_at.unix(), role.revision
        )?;
        Ok(())
    }

    /// Takes a role from every key that holds it, and deletes it.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn delete_role(&mut self, name: &RoleName) -> Result<(), StoreError> {
        let organization = self.organization().id.clone();
        let mut behind = String::new();
        while let Some(end) = self.next_holders(name, &behind).await? {
            sql!(
                run self.on(),
                "UPDATE api_keys SET revision = revision + 1
                 WHERE revoked_at IS NULL AND id IN
                     (SELECT api_key_id FROM api_key_roles
                      WHERE organization_id = $1 AND role = $2
                        AND api_key_id > $3 AND api_key_id <= $4)",
                organization.as_str(), name.as_str(), &behind, &end
            )?;
            sql!(
                run self.on(),
                "DELETE FROM api_key_roles
                 WHERE organization_id = $1 AND role = $2 AND api_key_id > $3 AND api_key_id <= $4",
                organization.as_str(), name.as_str(), &behind, &end
            )?;
            behind = end;
        }
        sql!(
            run self.on(),
            "DELETE FROM roles WHERE organization_id = $1 AND name = $2",
            organization.as_str(), name.as_str()
        )?;
        Ok(())
    }
}

impl TryFrom<RoleRow> for HeldRole {
    type Error = StoreError;

    fn try_from(row: RoleRow) -> Result<Self, StoreError> {
        let wrong = |what| corrupt("roles", what);
        let role = Role {
            name: row.name.parse().map_err(|_| wrong("name"))?,
            organization: row
                .organization_id
                .parse()
                .map_err(|_| wrong("organization_id"))?,
            description: row
                .description
                .map(|text| Description::new(&text))
                .transpose()
                .map_err(|_| wrong("description"))?,
            scopes: ScopeSet::parse_parameter(&row.scopes).map_err(|_| wrong("scopes"))?,
            created_at: Timestamp::from_unix(row.created_at).map_err(|_| wrong("created_at"))?,
            revision: row.revision,
        };
        Ok(Self {
            role,
            keys: row.keys,
        })
    }
}
