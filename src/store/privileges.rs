//! What the role that tenmint uses on PostgreSQL may do.

use super::Store;
use super::engine::Engine;
use super::error::StoreError;
use super::migrate::tables;

/// What a role may do, and not do.
#[derive(Clone, PartialEq, Eq, Default, Debug, sqlx::FromRow)]
pub struct Privileges {
    /// Who it is.
    pub role: String,
    /// The schema that the tables are in.
    pub schema: String,
    /// Whether it may make tables there, as migrations do.
    pub creates: bool,
    /// Whether it may write `signing_keys` anew, so that nothing is left of what was destroyed.
    pub rewrites: bool,
    /// Tables that it may not read and write as tenmint does.
    #[sqlx(skip)]
    pub closed: Vec<String>,
    /// Tables that are not its own: migrations can change those of their owner alone.
    #[sqlx(skip)]
    pub foreign: Vec<String>,
}

#[derive(sqlx::FromRow)]
struct Table {
    name: String,
    owned: bool,
    used: bool,
}

impl Store {
    /// What tenmint's role may do on PostgreSQL; `None` on SQLite, which knows no roles.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn privileges(&self) -> Result<Option<Privileges>, StoreError> {
        let Engine::Postgres(postgres) = &self.engine else {
            return Ok(None);
        };
        // VACUUM FULL is for the owner of the table or of the database, and from PostgreSQL 17 on
        // for whoever was granted MAINTAIN, which earlier ones do not know.
        let mut privileges: Privileges = sqlx::query_as(
            "SELECT current_user::text AS role, n.nspname::text AS schema,
                    has_schema_privilege(n.oid, 'CREATE') AS creates,
                    pg_has_role(c.relowner, 'USAGE') OR pg_has_role(d.datdba, 'USAGE')
                    OR CASE WHEN current_setting('server_version_num')::bigint >= 170000
                            THEN has_table_privilege(c.oid, 'MAINTAIN') ELSE FALSE END
                    AS rewrites
             FROM pg_class c
             JOIN pg_namespace n ON n.oid = c.relnamespace
             JOIN pg_database d ON d.datname = current_database()
             WHERE c.oid = to_regclass('signing_keys')",
        )
        .fetch_one(&postgres.pool)
        .await?;
        // The record of migrations is only read, unless there is something to migrate.
        let found: Vec<Table> = sqlx::query_as(
            "SELECT c.relname::text AS name, pg_has_role(c.relowner, 'USAGE') AS owned,
                    has_table_privilege(c.oid, 'SELECT')
                    AND (c.relname = '_sqlx_migrations'
                         OR has_table_privilege(c.oid, 'INSERT')
                            AND has_table_privilege(c.oid, 'UPDATE')
                            AND has_table_privilege(c.oid, 'DELETE')) AS used
             FROM unnest($1::text[]) AS wanted
             JOIN pg_class c ON c.oid = to_regclass(quote_ident(wanted))
             ORDER BY c.relname",
        )
        .bind(tables())
        .fetch_all(&postgres.pool)
        .await?;
        for table in found {
            if !table.owned {
                privileges.foreign.push(table.name.clone());
            }
            if !table.used {
                privileges.closed.push(table.name);
            }
        }
        Ok(Some(privileges))
    }
}
