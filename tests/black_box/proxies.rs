//! Behind proxies that are trusted: whose address counts, and what hides it.

use std::net::IpAddr;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Method, StatusCode};
use serde_json::json;

use crate::support::server::{Key, Place, Reply, Server};

/// Trusts 127.0.0.1 and 10.0.0.0/8; has a key of 203.0.113.0/24 and 2001:db8::/32, and one
/// of the proxy's own address and those that it trusts.
async fn behind_proxies(header: &str) -> (Server, Key, Key) {
    let trusted = ["--trusted-proxies", "127.0.0.1,10.0.0.0/8"];
    let place = Place::sqlite().with(&trusted);
    let server = place.with(&["--client-ip-header", header]).start().await;
    let acme = server.organization("acme").await;
    let key = |networks| json!({ "name": "n", "scopes": ["a"], "allowed_ip_cidrs": networks });
    let clients = key(json!(["203.0.113.0/24", "2001:db8::/32"]));
    let clients = server.key(&acme, clients).await;
    let proxies = key(json!(["127.0.0.0/8", "10.0.0.0/8"]));
    let proxies = server.key(&acme, proxies).await;
    (server, clients, proxies)
}

async fn exchange(server: &Server, key: &Key, name: &'static str, lines: &[&str]) -> Reply {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
    }
    let request = server
        .request(Method::POST, "/oauth/token")
        .headers(headers)
        .basic_auth(&key.id, Some(&key.secret))
        .form(&[("grant_type", "client_credentials")]);
    Reply::of(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_address_before_the_trusted_proxies_is_the_clients() {
    let (server, clients, _) = behind_proxies("X-Forwarded-For").await;
    for (lines, allowed) in [
        (&["203.0.113.7"][..], true),
        (&["203.0.113.7:4711"], true),
        (&["2001:db8::7"], true),
        (&["[2001:db8::7]:4711"], true),
        (&["::ffff:203.0.113.7"], true),
        (&["198.51.100.1"], false),
        (&["::ffff:198.51.100.1"], false),
        (&["10.1.2.3"], false),
        // What stands left of the client, the client wrote.
        (&["198.51.100.1, 203.0.113.7"], true),
        (&["garbage, 203.0.113.7"], true),
        (&["203.0.113.7, 198.51.100.1"], false),
        // Through several proxies, on one line or on several.
        (&["203.0.113.7, 10.1.2.3"], true),
        (&["203.0.113.7,10.1.2.3,\t10.0.0.1 ,127.0.0.1"], true),
        (&["203.0.113.7", "10.1.2.3"], true),
        (&["198.51.100.1", "203.0.113.7, 10.1.2.3", "10.0.0.1"], true),
        (&["203.0.113.7", "198.51.100.1", "10.1.2.3"], false),
        (&["203.0.113.7", "198.51.100.1"], false),
    ] {
        let reply = exchange(&server, &clients, "x-forwarded-for", lines).await;
        let status = if allowed { 200 } else { 403 };
        assert_eq!(reply.status.as_u16(), status, "{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standards_own_header_is_read_as_it_says() {
    let (server, clients, _) = behind_proxies("forwarded").await;
    for (lines, allowed) in [
        (&["for=203.0.113.7"][..], true),
        (&["For=\"203.0.113.7:4711\""], true),
        (&["for=\"[2001:db8::7]:4711\""], true),
        (
            &["for=\"[2001:db8::7]\";proto=https;by=10.0.0.1;host=\"a,b\""],
            true,
        ),
        (&["proto=https; for=203.0.113.7 ; by=_hidden"], true),
        (
            &["for=198.51.100.1, for=203.0.113.7;by=10.0.0.1, for=10.0.0.1"],
            true,
        ),
        (&["for=203.0.113.7", "for=10.0.0.1"], true),
        (&["for=203.0.113.7, for=198.51.100.1"], false),
        (&["for=203.0.113.7", "for=198.51.100.1"], false),
        // A quotation mark left open by the client does not swallow what a proxy wrote.
        (&["for=\"203.0.113.7, for=198.51.100.1"], false),
        (&["for=198.51.100.1;x=\", for=203.0.113.7"], true),
    ] {
        let reply = exchange(&server, &clients, "forwarded", lines).await;
        let status = if allowed { 200 } else { 403 };
        assert_eq!(reply.status.as_u16(), status, "{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_understood_is_nobodys_address() {
    for (name, lines) in [
        (
            "x-forwarded-for",
            &[
                "",
                ",",
                "203.0.113.7,",
                "203.0.113.7, , 10.0.0.1",
                "203.0.113.7, garbage",
                "203.0.113.7, unknown",
                "203.0.113.7, _hidden",
                "127.0.0.1 10.0.0.1",
                "10.0.0.1;",
                "10.0.0.256",
                "010.0.0.1",
                "10.0.0.1/32",
                "10.1",
                "0x0a000001",
                "10.0.0.1:",
                "10.0.0.1:123456",
                "fe80::1%eth0",
                "[::1",
                "for=10.0.0.1",
                "\u{e9}",
            ][..],
        ),
        (
            "forwarded",
            &[
                "",
                "for=",
                "10.0.0.1",
                "for=10.0.0.1, ",
                "for=10.0.0.1, proto=https",
                "for=unknown",
                "for=_hidden",
                "for=10.0.0.1;for=10.0.0.2",
                "for=[::1]",
                "for = 10.0.0.1",
                "for=\"10.0.0.1",
                "for=10.0.0.1\"",
                "for=10.0.0.1 by=10.0.0.2",
            ],
        ),
    ] {
        let (server, _, proxies) = behind_proxies(name).await;
        for line in lines {
            // Even a key of the proxies' own networks is refused: otherwise whoever garbles
            // the header would be taken for the proxy.
            let reply = exchange(&server, &proxies, name, &[line]).await;
            assert_eq!(reply.status.as_u16(), 403, "{name}: {line:?}");
            reply.refuses(403, "access_denied");
        }
        // And it is not said to anybody without a key.
        let nobody = Key {
            secret: "nonsense".to_owned(),
            ..proxies
        };
        let reply = exchange(&server, &nobody, name, &lines[..1]).await;
        reply.refuses(401, "invalid_client");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_header_is_read_and_from_trusted_peers_alone() {
    let (server, clients, proxies) = behind_proxies("X-Forwarded-For").await;
    // A trusted peer without the header speaks for itself, whatever other headers say.
    for (name, lines) in [
        ("x-forwarded-for", &[][..]),
        ("forwarded", &["for=203.0.113.7"]),
        ("x-real-ip", &["203.0.113.7"]),
    ] {
        let reply = exchange(&server, &clients, name, lines).await;
        reply.refuses(403, "access_denied");
        let reply = exchange(&server, &proxies, name, lines).await;
        reply.expect(StatusCode::OK);
    }
    // 127.0.0.2 is not trusted: it is the client, and its header is a stranger's word.
    let stranger: IpAddr = "127.0.0.2".parse().unwrap();
    let stranger = Client::builder().local_address(stranger).build().unwrap();
    for (key, status) in [(&clients, 403), (&proxies, 200)] {
        let request = stranger
            .post(format!("{}/oauth/token", server.base))
            .header("x-forwarded-for", "203.0.113.7")
            .bearer_auth(&key.secret)
            .form(&[("grant_type", "client_credentials")]);
        assert_eq!(Reply::of(request).await.status.as_u16(), status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_very_long_chain_is_walked_or_refused_but_not_fallen_for() {
    let (server, clients, proxies) = behind_proxies("X-Forwarded-For").await;
    let long = ["10.0.0.1"; 1_000].join(", ");
    let from_client = format!("203.0.113.7, {long}");
    let reply = exchange(&server, &clients, "x-forwarded-for", &[&from_client]).await;
    reply.expect(StatusCode::OK);
    let commas = ",".repeat(10_000);
    let reply = exchange(&server, &proxies, "x-forwarded-for", &[&commas]).await;
    reply.refuses(403, "access_denied");
}
