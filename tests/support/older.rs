//! A PostgreSQL deployment as the version before this one left it, and as the next one will.

use std::path::Path;

use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};

use super::server::Place;

/// The newest migration that there is.
pub fn newest() -> i64 {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres"));
    let names = std::fs::read_dir(folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let versions = names.map(|name| name.split('_').next().unwrap().parse().unwrap());
    versions.max().unwrap()
}

/// Makes of a PostgreSQL deployment that nobody uses what it would be had the newest migration not
/// been written yet: the schema up to the one before, and of each row what that has columns for.
pub async fn without_newest_migration(place: &Place) {
    let tables = "SELECT relname::text FROM pg_class
                  WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY oid";
    let mut rows = Vec::new();
    for table in place.query(tables).await {
        let all = format!("SELECT COALESCE(json_agg(t), '[]')::text FROM \"{table}\" t");
        rows.push((table, place.query(&all).await.remove(0)));
    }
    place
        .execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        .await;
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres"));
    let migrator = Migrator::new(folder).await.unwrap();
    let mut connection = PgConnection::connect(&place.database_url()).await.unwrap();
    migrator
        .run_to(newest() - 1, &mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    // In the order in which they were made: a row refers to tables from before.
    for table in place.query(tables).await {
        let found = rows.iter().find(|(name, _)| *name == table);
        if let Some((_, rows)) = found.filter(|_| table != "_sqlx_migrations") {
            let fill = format!(
                "INSERT INTO \"{table}\"
                 SELECT * FROM json_populate_recordset(NULL::\"{table}\", $rows${rows}$rows$)"
            );
            // What a migration puts there, a server may have done with since, or not yet.
            let empty = format!("DELETE FROM \"{table}\"");
            place.execute(&empty).await;
            place.execute(&fill).await;
        }
    }
}

/// Records a migration that only a later version has, under a name that says what it says.
pub async fn record_migration(place: &Place, version: i64, name: &str) {
    let checksum = if place.is_sqlite() {
        "X'00'"
    } else {
        "'\\x00'"
    };
    let record = format!(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES ({version}, '{name}', TRUE, {checksum}, 0)"
    );
    place.execute(&record).await;
}
