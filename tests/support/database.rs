//! What the server wrote: its database, read past it over a connection of the test's own.

use std::str::FromStr;

use serde_json::Value;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{PgPool, SqlitePool, Transaction};

use super::server::Server;

/// A connection beside the server's own.
pub enum Database {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// An entry of the audit log.
#[derive(Clone, PartialEq, Eq, Debug, sqlx::FromRow)]
pub struct AuditEvent {
    pub organization_id: String,
    pub sequence: i64,
    pub at: i64,
    pub actor: String,
    pub acting_for: Option<String>,
    pub address: Option<String>,
    pub request_id: Option<String>,
    pub action: String,
    pub target: String,
    pub details: String,
    pub salt: Option<Vec<u8>>,
    pub digest: Option<Vec<u8>>,
    pub mac: Vec<u8>,
}

/// Runs one text on whichever engine is there.
macro_rules! on_either {
    ($database:expr, $build:expr, $finish:ident) => {
        match $database {
            Database::Sqlite(pool) => $build.$finish(pool).await.unwrap(),
            Database::Postgres(pool) => $build.$finish(pool).await.unwrap(),
        }
    };
}

/// A transaction that nobody has ended yet.
pub enum Held {
    Sqlite(Transaction<'static, sqlx::Sqlite>),
    Postgres(Transaction<'static, sqlx::Postgres>),
}

impl Held {
    pub async fn release(self) {
        match self {
            Self::Sqlite(transaction) => transaction.rollback().await.unwrap(),
            Self::Postgres(transaction) => transaction.rollback().await.unwrap(),
        }
    }
}

impl Database {
    /// Beside this server.
    pub async fn of(server: &Server) -> Self {
        let url = server.place().database_url();
        if server.place().is_sqlite() {
            let options = SqliteConnectOptions::from_str(&url).unwrap();
            let pool = SqlitePoolOptions::new().max_connections(1);
            Self::Sqlite(pool.connect_with(options).await.unwrap())
        } else {
            let pool = PgPoolOptions::new().max_connections(1);
            Self::Postgres(pool.connect(&url).await.unwrap())
        }
    }

    /// Every audit event of an organization, oldest first.
    pub async fn audit_events(&self, organization: &str) -> Vec<AuditEvent> {
        const TEXT: &str = "SELECT organization_id, sequence, at, actor, acting_for, address, request_id, action, \
             target, details, salt, digest, mac FROM audit_events WHERE organization_id = $1 ORDER BY sequence";
        on_either!(self, sqlx::query_as(TEXT).bind(organization), fetch_all)
    }

    /// How many rows there are.
    pub async fn count(&self, text: &'static str) -> i64 {
        on_either!(self, sqlx::query_scalar(text), fetch_one)
    }

    /// Writes past the server, which does not hear of it by this.
    pub async fn run(&self, text: &'static str, binds: &[&str]) {
        match self {
            Self::Sqlite(pool) => {
                let query = binds
                    .iter()
                    .fold(sqlx::query(text), |q, bind| q.bind(*bind));
                query.execute(pool).await.unwrap();
            }
            Self::Postgres(pool) => {
                let query = binds
                    .iter()
                    .fold(sqlx::query(text), |q, bind| q.bind(*bind));
                query.execute(pool).await.unwrap();
            }
        }
    }

    /// Locks the organization `acme`, and on SQLite with it everything, until it is released.
    pub async fn hold_acme(&self) -> Held {
        self.begin("UPDATE organizations SET name = name WHERE id = 'acme'")
            .await
    }

    /// Begins a transaction with this, and leaves it open.
    pub async fn begin(&self, text: &'static str) -> Held {
        match self {
            Self::Sqlite(pool) => {
                let mut held = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
                sqlx::query(text).execute(&mut *held).await.unwrap();
                Held::Sqlite(held)
            }
            Self::Postgres(pool) => {
                let mut held = pool.begin().await.unwrap();
                sqlx::query(text).execute(&mut *held).await.unwrap();
                Held::Postgres(held)
            }
        }
    }

    /// All that management can change, as text: equal before and after what changed nothing.
    pub async fn contents(&self) -> Vec<String> {
        const TEXTS: [&str; 8] = [
            "SELECT 'organization ' || id || ' ' || name || ' ' || created_at || ' '
                    || COALESCE(suspended_at, 0) || ' ' || COALESCE(bootstrapped_at, 0) || ' '
                    || COALESCE(management_key_id, '') || ' ' || audit_sequence
             FROM organizations ORDER BY id",
            "SELECT 'signing key ' || kid || ' ' || organization_id || ' ' || algorithm || ' '
                    || public_jwk
             FROM signing_keys ORDER BY kid",
            "SELECT 'key ' || id || ' ' || organization_id || ' ' || name || ' '
                    || COALESCE(description, '') || ' ' || scopes || ' ' || allowed_ip_cidrs || ' '
                    || COALESCE(external_id, '') || ' ' || metadata || ' '
                    || COALESCE(expires_at, 0) || ' ' || COALESCE(revoked_at, 0)
             FROM api_keys ORDER BY id",
            "SELECT 'secret ' || api_key_id || ' ' || fingerprint || ' ' || hash || ' ' || root_key
             FROM api_key_secrets ORDER BY api_key_id, fingerprint",
            "SELECT 'role ' || organization_id || ' ' || name || ' ' || COALESCE(description, '') || ' '
                    || scopes || ' ' || revision
             FROM roles ORDER BY organization_id, name",
            "SELECT 'holder ' || organization_id || ' ' || role || ' ' || api_key_id
             FROM api_key_roles ORDER BY role, api_key_id",
            "SELECT 'action ' || organization_id || ' ' || action || ' ' || COALESCE(description, '')
             FROM scope_catalogue ORDER BY organization_id, action",
            "SELECT 'event ' || organization_id || ' ' || sequence || ' ' || actor || ' '
                    || action || ' ' || target || ' ' || details
             FROM audit_events ORDER BY organization_id, sequence",
        ];
        let mut contents = Vec::new();
        for text in TEXTS {
            let rows: Vec<String> = on_either!(self, sqlx::query_scalar(text), fetch_all);
            contents.extend(rows);
        }
        contents
    }
}

impl AuditEvent {
    /// What changed, as JSON.
    pub fn details(&self) -> Value {
        serde_json::from_str(&self.details).unwrap()
    }
}
