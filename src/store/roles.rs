//! Roles in the database.

use super::engine::sql;
use super::error::{StoreError, corrupt};
use super::write::Write;
use crate::domain::role::RoleName;
use crate::domain::scope::ScopeSet;

impl Write {
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
}
