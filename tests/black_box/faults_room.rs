//! No room: a disk that is full, and a PostgreSQL server that takes no further connection. Whoever
//! writes is told to come again, nothing is half done, and when there is room all is well by itself.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::faults::{FLAGS, LIMIT, Under, assert_clear};
use crate::support::left_out::say;
use crate::support::nodes::{Node, Nodes, block};
use crate::support::operations::does;
use crate::support::postgres::server_of_its_own;
use crate::support::process::Process;
use crate::support::server::Place;
use crate::support::watch::{Watch, made, story};

/// What a server writes may become so large, in blocks of 512 bytes; then writing fails.
const LIMITED: &str = r#"trap '' XFSZ; ulimit -S -f "$1"; shift; exec "$@""#;

/// The same in a file system of its own, as small as that, in the server's view alone.
const SMALL: &str = r#"place=$1; shift
cp -a "$place" "$place.copy" && mount -t tmpfs -o size=3m tmpfs "$place" &&
    cp -a "$place.copy/." "$place" && exec "$@""#;

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_find_no_room_fail_as_a_whole_until_there_is_some() {
    let place = Place::sqlite();
    let operator = operator_key(&place);
    let kilobytes = fs::metadata(place.folder().join("tenmint.db"))
        .unwrap()
        .len()
        / 1_024;
    let blocks = (2 * (kilobytes + 400)).to_string();
    let by = ["/bin/sh", "-c", LIMITED, "sh", &blocks];
    let node = serve_under(&by, &place);
    let id = node.process.id().to_string();
    let make_room = || {
        let done = tool("prlimit")
            .args(["--fsize=unlimited", "--pid", &id])
            .status();
        assert!(done.unwrap().success());
    };
    let made = full_and_then_not(&node, &operator, make_room).await;
    // Nothing is there that was not acknowledged.
    let count = "SELECT CAST(COUNT(*) AS TEXT) FROM api_keys WHERE name = 'test' OR name = 'watch'";
    assert_eq!(place.query(count).await, [made.to_string()]);
    block(|| does(&place, &["audit", "verify"]));
    assert!(node.process.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_file_system_is_survived() {
    let may_mount = tool("unshare")
        .args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"])
        .output();
    if !may_mount.is_ok_and(|done| done.status.success()) {
        // What a file that may not grow shows is nearly the same, so this is no test left out.
        say("tenmint: no file system can be mounted here: a full one is tried by a limit alone");
        return;
    }
    let place = Place::sqlite();
    let operator = operator_key(&place);
    let folder = place.folder().to_str().unwrap().to_owned();
    let by = ["unshare", "-rm", "/bin/sh", "-c", SMALL, "sh", &folder];
    let node = serve_under(&by, &place);
    // Where this test sees it.
    let seen = format!("/proc/{}/root{folder}", node.process.id());
    let ballast = format!("{seen}/ballast");
    let _ = fs::write(&ballast, vec![0; 1_500_000]);
    let make_room = || fs::remove_file(&ballast).unwrap();
    full_and_then_not(&node, &operator, make_room).await;
    assert!(node.process.stop());
    let _ = fs::remove_dir_all(format!("{folder}.copy"));
}

/// Writes until there is no room, looks at what works then, makes room; how many keys were made.
async fn full_and_then_not(node: &Node, operator: &str, make_room: impl FnOnce()) -> usize {
    let acme = node.organization(operator, "acme").await;
    let kept = node.make(&acme).await.unwrap();
    node.exchange(&kept).await.unwrap().expect(StatusCode::OK);
    let exchanges = Watch::exchanges(node, &kept);
    let (makes, began) = (Watch::makes(node, &acme), Instant::now());
    // Until it is full for everybody: something small may find room where something large does not.
    let mut acknowledged = Vec::new();
    let mut in_a_row = 0;
    while in_a_row < 3 {
        assert!(
            began.elapsed() < Duration::from_mins(2),
            "it does not become full"
        );
        match node.make(&acme).await {
            Some(key) => {
                in_a_row = 0;
                acknowledged.push(key);
            }
            None => in_a_row += 1,
        }
    }
    let mut revoked = 0;
    while node.act(&acme, &acknowledged[revoked], "revoke").await {
        revoked += 1;
    }
    let full = Instant::now();
    // Who is to be revoked is not, and is told so; whoever reads notices nothing.
    let victim = &acknowledged[revoked];
    let path = format!("/v1/api-keys/{}", victim.id);
    let verb = format!("{path}/revoke");
    let refused = node
        .call(&acme.secret, Method::POST, &verb, &json!({}))
        .await;
    let refused = refused.unwrap();
    refused.refuses(503, "unavailable");
    assert!(refused.headers.contains_key("retry-after"));
    let shown = node
        .call(&acme.secret, Method::GET, &path, &Value::Null)
        .await;
    assert_eq!(
        shown.unwrap().expect(StatusCode::OK).body["status"],
        "active"
    );
    node.exchange(victim).await.unwrap().expect(StatusCode::OK);
    tokio::time::sleep(Duration::from_millis(500)).await;

    make_room();
    let room = Instant::now();
    while !node.act(&acme, victim, "revoke").await {
        assert!(room.elapsed() < Duration::from_mins(1), "it stays full");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (recovered, makes) = (room.elapsed(), makes.end().await);
    say(&format!(
        "disk full for {:.1} s, all well {:.2} s after there was room",
        (room - full).as_secs_f32(),
        recovered.as_secs_f32()
    ));
    say(&format!("  making a key: {}", story(&makes, began)));
    let exchanges = exchanges.end().await;
    say(&format!("  exchange: {}", story(&exchanges, began)));
    assert!(
        exchanges.iter().all(|seen| seen.status == 200),
        "who exchanges notices nothing"
    );
    for seen in &makes {
        assert_clear(seen, &[201]);
    }
    acknowledged.extend(made(&makes));
    for (n, key) in acknowledged.iter().enumerate() {
        let expected = if n <= revoked { 401 } else { 200 };
        assert_eq!(node.exchange(key).await.unwrap().status.as_u16(), expected);
    }
    acknowledged.len() + 1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_server_without_a_free_connection_is_waited_for() {
    const MOST: usize = 40;
    let Some(mut server) = block(server_of_its_own) else {
        return;
    };
    server.configure(&format!("max_connections = {MOST}"));
    block(|| server.stop());
    block(|| server.start());
    let place = Place::on(block(|| server.fresh_database()));
    let url = place.database_url();
    let nodes = Nodes::on(place, &[&url, &url], &FLAGS).await;
    let under = Under::load(&nodes).await;
    // Somebody else takes every connection, also those that nodes had: as after a restart of the
    // database, when others come first.
    let mut taken = Vec::new();
    let reserved = 3;
    while taken.len() < MOST - reserved {
        while let Ok(connection) = PgConnection::connect(&url).await {
            taken.push(connection);
        }
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE application_name = 'tenmint'";
        let _ = sqlx::query(end).execute(&mut taken[0]).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let struck = Instant::now();
    tokio::time::sleep(LIMIT + Duration::from_secs(2)).await;
    for connection in taken {
        connection.close().await.unwrap();
    }
    under.told("connections exhausted", &nodes, struck).await;
}

fn operator_key(place: &Place) -> String {
    let printed = block(|| does(place, &["operator-key", "--quiet"]));
    printed.trim().to_owned()
}

fn serve_under(by: &[&str], place: &Place) -> Node {
    let issuer = ("TENMINT_ISSUER", "https://mint.example");
    let serve = || Process::serve_under(by, place, &["serve"], &[issuer]);
    Node::of(block(serve))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test process holds no root key"
)]
fn tool(name: &str) -> Command {
    Command::new(name)
}
