//! `tenmint doctor` on what is around a deployment: its issuer, its proxies, its PostgreSQL.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::doctor::{finds, finds_with, found};
use crate::support::process::Process;
use crate::support::server::Place;

const FAST: [(&str, &str); 1] = [("TENMINT_USAGE_FLUSH_INTERVAL", "1s")];

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_not_what_its_server_says_is_found() {
    let place = Place::sqlite();
    let server = Process::serve(&place, &["serve"], &FAST);
    let at = |issuer: &str, check: &str, said: (&str, &str)| {
        finds_with(&place, &[], &[("TENMINT_ISSUER", issuer)], check, said);
    };
    at(&server.base, "issuer", ("ok", "says that it is"));
    at(&server.base, "published keys", ("ok", "of this database"));
    let by_name = server.base.replace("127.0.0.1", "localhost");
    at(&by_name, "issuer", ("problem", "clients refuse that"));
    at(
        "http://127.0.0.1:1",
        "issuer",
        ("problem", "cannot be reached"),
    );
    at("http://example.com", "issuer", ("problem", "https"));
    at("https://127.0.0.1:1", "proxies", ("warning", "names none"));
    finds(&place, "issuer", "warning", "ISSUER is not set");
    // The keys that are published there are not this database's.
    let other = Place::sqlite().start().await.stop().await;
    let environment = [("TENMINT_ISSUER", &*server.base)];
    let said = ("problem", "has other keys than this database");
    finds_with(&other, &[], &environment, "published keys", said);
    assert!(server.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_accepts_and_never_answers_keeps_nobody_waiting() {
    let place = Place::sqlite().start().await.stop().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", silent.local_addr().unwrap());
    let environment = [("TENMINT_ISSUER", &*issuer)];
    let began = std::time::Instant::now();
    let (verdict, _) = found(&place, &[], &environment, "issuer");
    assert_eq!(verdict, "warning");
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarding_header_from_a_peer_nobody_named_is_found() {
    let place = Place::sqlite();
    let server = Process::serve(&place, &["serve"], &FAST);
    finds(&place, "forwarding headers", "ok", "none came");
    let client = reqwest::Client::new();
    for n in 0..50 {
        let request = client.post(format!("{}/oauth/token", server.base));
        let header = if n % 2 == 0 {
            "x-forwarded-for"
        } else {
            "forwarded"
        };
        let request = request.header(header, format!("for=203.0.113.{n}"));
        request.send().await.unwrap();
    }
    let check = "forwarding headers";
    while found(&place, &[], &[], check).0 == "ok" {
        std::thread::sleep(Duration::from_millis(100));
    }
    finds(&place, check, "problem", "127.0.0.1 sent x-forwarded-for");
    // However many there were, one line was logged and one row written, with nothing of a header.
    let rows = place
        .query("SELECT peer || header FROM untrusted_forwarding")
        .await;
    assert_eq!(rows, ["127.0.0.1x-forwarded-for"]);
    let log = server.log();
    let told = log.matches("sent a forwarding header").count();
    assert_eq!((told, log.contains("203.0.113")), (1, false), "{log}");
    let named = [("TENMINT_TRUSTED_PROXIES", "127.0.0.0/8")];
    finds_with(&place, &[], &named, check, ("ok", "is trusted by now"));
    assert!(server.stop());
    // A stranger's is ignored, and may be one's own proxy all the same.
    place
        .execute("UPDATE untrusted_forwarding SET peer = '203.0.113.9'")
        .await;
    finds(&place, check, "warning", "the header was ignored");
    place
        .execute("UPDATE untrusted_forwarding SET seen_at = 1")
        .await;
    finds(&place, check, "ok", "none came");
    for everybody in ["0.0.0.0/0", "10.0.0.0/8,::/0"] {
        let environment = [("TENMINT_TRUSTED_PROXIES", everybody)];
        let said = ("problem", "every client can claim any address");
        finds_with(&place, &[], &environment, "proxies", said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_that_may_lose_what_was_acknowledged_is_found() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    let place = place.start().await.stop().await;
    // The tests' own server has it off.
    finds(&place, "durability", "problem", "fsync");
    finds(
        &place,
        "replication",
        "warning",
        "no standby is synchronous",
    );
    finds(&place, "notifications", "ok", "work");
    let name = place.database_url().rsplit('/').next().unwrap().to_owned();
    place
        .execute(&format!(
            "ALTER DATABASE {name} SET synchronous_commit = off"
        ))
        .await;
    finds(&place, "durability", "problem", "synchronous_commit");
    finds(&place, "history", "ok", "older copy");
    place
        .execute("UPDATE deployment SET place = 'elsewhere/1'")
        .await;
    finds(&place, "history", "problem", "restore --in-place");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_swallows_notifications_is_found() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    let place = place.start().await.stop().await;
    let url = url::Url::parse(&place.database_url()).unwrap();
    let to = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let pooler = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut behind = url;
    behind
        .set_port(Some(pooler.local_addr().unwrap().port()))
        .unwrap();
    behind.set_query(Some("sslmode=disable"));
    tokio::spawn(async move {
        while let Ok((client, _)) = pooler.accept().await {
            let server = TcpStream::connect(&to).await.unwrap();
            tokio::spawn(swallow(client, server));
        }
    });
    let environment = [("TENMINT_DATABASE_URL", behind.as_str())];
    let said = ("problem", "nothing that is notified is heard");
    finds_with(&place, &[], &environment, "notifications", said);
}

/// Passes on everything between a client and PostgreSQL but NotificationResponse.
async fn swallow(client: TcpStream, server: TcpStream) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
        let _ = to_server.shutdown().await;
    });
    while let Ok(kind) = from_server.read_u8().await {
        let Ok(length) = from_server.read_u32().await else {
            return;
        };
        let mut body = vec![0; length as usize - 4];
        if from_server.read_exact(&mut body).await.is_err() {
            return;
        }
        if kind == b'A' {
            continue;
        }
        let message = [&[kind][..], &length.to_be_bytes(), &body].concat();
        if to_client.write_all(&message).await.is_err() {
            return;
        }
    }
}
