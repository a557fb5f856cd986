//! `tenmint doctor` on what is in the database's files, and on what PostgreSQL lets tenmint do.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use url::Url;

use super::doctor::{finds, finds_with};
use crate::on_both_engines;
use crate::support::postgres::server_of_its_own;
use crate::support::process::Process;
use crate::support::server::{Place, Server};

on_both_engines!(what_was_destroyed_and_stays_in_files_is_found);

async fn what_was_destroyed_and_stays_in_files_is_found(server: Server) {
    server.organization("acme").await;
    // Servers see to it; none runs any more.
    let place = server.stop().await;
    finds(&place, "erasure", "ok", "nothing is left");
    let owed = "INSERT INTO erasures (organization_id, sequence) VALUES ('acme', 1), ('acme', 2)";
    place.execute(owed).await;
    finds(&place, "erasure", "ok", "is about to leave the files");
    let long = "UPDATE audit_events SET at = at - 10000
                WHERE organization_id = 'acme' AND sequence = 1";
    place.execute(long).await;
    finds(&place, "erasure", "problem", "what 2 acts, the first at 20");
    place
        .execute("UPDATE erasures SET sequence = 77 WHERE sequence = 1")
        .await;
    let unknown = "DELETE FROM erasures WHERE sequence = 2";
    place.execute(unknown).await;
    finds(&place, "erasure", "problem", "what 1 acts destroyed");
    // A server does it within seconds.
    let server = Process::serve(&place, &["serve"], &[]);
    while place.query("SELECT 'x' FROM erasures").await != Vec::<String>::new() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(server.stop());
    finds(&place, "erasure", "ok", "nothing is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_do_what_tenmint_does_is_found() {
    let Some(postgres) = tokio::task::block_in_place(server_of_its_own) else {
        return;
    };
    let place = Place::on(tokio::task::block_in_place(|| postgres.fresh_database()));
    let place = place.start().await.stop().await;
    finds(&place, "privileges", "ok", "role tenmint may");

    // Over its socket the server lets its superuser in.
    let folder = postgres.data().parent().unwrap().to_owned();
    let mut url = Url::parse(&place.database_url()).unwrap();
    let options = sqlx::postgres::PgConnectOptions::new()
        .socket(&folder)
        .port(url.port().unwrap())
        .username("postgres")
        .database(url.path().trim_start_matches('/'));
    let mut superuser = PgConnection::connect_with(&options).await.unwrap();
    let mut grant = async |text: &str| {
        let text = AssertSqlSafe(text.to_owned());
        sqlx::raw_sql(text).execute(&mut superuser).await.unwrap();
    };
    grant(
        "CREATE ROLE narrow LOGIN PASSWORD 'narrow';
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO narrow;
         GRANT INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO narrow",
    )
    .await;
    url.set_username("narrow").unwrap();
    url.set_password(Some("narrow")).unwrap();
    let environment = [("TENMINT_DATABASE_URL", url.as_str())];
    let found = |verdict: &str, said: &str| {
        finds_with(&place, &[], &environment, "privileges", (verdict, said));
    };
    found(
        "problem",
        "role narrow may not read and write announced_issuers, api_key",
    );
    grant("GRANT DELETE ON ALL TABLES IN SCHEMA public TO narrow").await;
    found("problem", "role narrow does not own the table signing_keys");
    grant("ALTER TABLE signing_keys OWNER TO narrow").await;
    found(
        "warning",
        "may not make tables in schema public and does not own _sqlx",
    );
    grant("GRANT CREATE ON SCHEMA public TO narrow").await;
    found(
        "warning",
        "role narrow does not own _sqlx_migrations, announced_issuers, api_",
    );
    // Where there is nothing to migrate, it serves.
    let server = Process::serve(&place, &["serve"], &environment);
    assert!(server.stop());
    grant("GRANT tenmint TO narrow").await;
    found("ok", "role narrow may do what tenmint does");
}
