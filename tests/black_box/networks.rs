//! From where a key may be used: the peer's address, of either family, and nobody's word.

use std::net::{IpAddr, SocketAddr};

use reqwest::{Client, Method, StatusCode};
use serde_json::json;

use crate::on_both_engines;
use crate::support::left_out::or_left_out;
use crate::support::server::{Key, Place, Reply, Server};

on_both_engines!(
    a_key_is_of_use_from_its_networks_alone,
    what_an_untrusted_peer_says_of_its_address_is_ignored,
    a_wildcard_of_one_family_refuses_the_other,
);

/// An exchange by a client at an address of this machine.
async fn exchange_from(server: &Server, from: &str, key: &Key) -> Reply {
    let from: IpAddr = from.parse().unwrap();
    let client = Client::builder().local_address(from).build().unwrap();
    // A listener of both families is reached by either.
    let mut to: SocketAddr = server.address();
    if to.ip().is_unspecified() {
        let of_family = if from.is_ipv4() { "127.0.0.1" } else { "::1" };
        to.set_ip(of_family.parse().unwrap());
    }
    let request = client
        .post(format!("http://{to}/oauth/token"))
        .basic_auth(&key.id, Some(&key.secret))
        .form(&[("grant_type", "client_credentials")]);
    Reply::of(request).await
}

async fn key_of(server: &Server, manager: &Key, networks: &[&str]) -> Key {
    let body = json!({ "name": "confined", "scopes": ["read"], "allowed_ip_cidrs": networks });
    server.key(manager, body).await
}

async fn a_key_is_of_use_from_its_networks_alone(server: Server) {
    let acme = server.organization("acme").await;
    let key = key_of(
        &server,
        &acme,
        &["127.0.0.2", "127.7.0.0/16", "2001:db8::/32"],
    )
    .await;
    for (from, allowed) in [
        ("127.0.0.1", false),
        ("127.0.0.2", true),
        ("127.0.0.3", false),
        ("127.6.255.255", false),
        ("127.7.0.1", true),
        ("127.7.255.254", true),
        ("127.8.0.1", false),
    ] {
        let reply = exchange_from(&server, from, &key).await;
        if allowed {
            reply.expect(StatusCode::OK);
        } else {
            reply.refuses(403, "access_denied");
            // The key was right: this is no challenge to present another.
            assert_eq!(reply.header("www-authenticate"), None);
        }
    }
    // The same at the other issuer, and by every way to present the key.
    let post = || server.request(Method::POST, "/orgs/acme/oauth/token");
    let grant = ("grant_type", "client_credentials");
    let (id, secret) = (("client_id", &*key.id), ("client_secret", &*key.secret));
    for request in [
        post().form(&[grant, id, secret]),
        post().bearer_auth(&key.secret).form(&[grant]),
    ] {
        Reply::of(request).await.refuses(403, "access_denied");
    }
}

async fn what_an_untrusted_peer_says_of_its_address_is_ignored(server: Server) {
    let acme = server.organization("acme").await;
    let away = key_of(&server, &acme, &["203.0.113.0/24"]).await;
    let here = key_of(&server, &acme, &["127.0.0.1"]).await;
    for (name, inside, outside) in [
        ("x-forwarded-for", "203.0.113.7", "198.51.100.1"),
        ("x-forwarded-for", "203.0.113.7, 127.0.0.1", "garbage"),
        ("forwarded", "for=203.0.113.7", "for=198.51.100.1"),
        ("forwarded", "for=203.0.113.7;by=127.0.0.1", "for="),
        ("x-real-ip", "203.0.113.7", "198.51.100.1"),
        ("x-client-ip", "203.0.113.7", "198.51.100.1"),
        ("true-client-ip", "203.0.113.7", "198.51.100.1"),
        ("cf-connecting-ip", "203.0.113.7", "198.51.100.1"),
        ("x-original-forwarded-for", "203.0.113.7", "198.51.100.1"),
        ("via", "1.1 203.0.113.7", "1.1 198.51.100.1"),
    ] {
        let post = |key: &Key| {
            server
                .request(Method::POST, "/oauth/token")
                .basic_auth(&key.id, Some(&key.secret))
                .form(&[("grant_type", "client_credentials")])
        };
        let spoofed = post(&away).header(name, inside);
        Reply::of(spoofed).await.refuses(403, "access_denied");
        // Nor does a stray header keep anybody out.
        for text in [inside, outside] {
            let stray = post(&here).header(name, text);
            Reply::of(stray).await.expect(StatusCode::OK);
        }
    }
}

async fn a_wildcard_of_one_family_refuses_the_other(server: Server) {
    let acme = server.organization("acme").await;
    let of_v4 = key_of(&server, &acme, &["0.0.0.0/0"]).await;
    let of_v6 = key_of(&server, &acme, &["::/0"]).await;
    let refused = server.exchange(&of_v6, &[]).await;
    refused.refuses(403, "access_denied");
    server.exchange(&of_v4, &[]).await.expect(StatusCode::OK);
}

/// A server at an address of IPv6, if this machine has it.
async fn on_ipv6(listen: &str) -> Option<Server> {
    let there = std::net::TcpListener::bind("[::1]:0").ok().map(drop);
    or_left_out(there, "IPv6 on loopback", "give the loopback interface ::1")?;
    // Away from loopback, the issuer must be said.
    let flags = ["--listen", listen, "--issuer", "https://mint.example"];
    Some(Place::sqlite().with(&flags).start().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_ipv6_are_matched_as_such() {
    let Some(server) = on_ipv6("[::1]:0").await else {
        return;
    };
    let acme = server.organization("acme").await;
    for (networks, allowed) in [
        (&["0.0.0.0/0"][..], false),
        (&["::/0"], true),
        (&["::1"], true),
        (&["::/127"], true),
        (&["::2/127"], false),
        (&["127.0.0.1", "2001:db8::/32"], false),
    ] {
        let key = key_of(&server, &acme, networks).await;
        let reply = exchange_from(&server, "::1", &key).await;
        let status = if allowed { 200 } else { 403 };
        assert_eq!(reply.status.as_u16(), status, "{networks:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ipv4_mapped_peers_are_ipv4() {
    let Some(server) = on_ipv6("[::]:0").await else {
        return;
    };
    let acme = server.organization("acme").await;
    for (networks, v4, v6) in [
        (&["0.0.0.0/0"][..], 200, 403),
        (&["::/0"], 403, 200),
        (&["127.0.0.0/8"], 200, 403),
        (&["::ffff:127.0.0.0/104"], 200, 403),
        (&["::ffff:0:0/96"], 200, 403),
        (&["::1", "127.0.0.1"], 200, 200),
    ] {
        let key = key_of(&server, &acme, networks).await;
        for (from, status) in [("127.0.0.1", v4), ("::1", v6)] {
            let reply = exchange_from(&server, from, &key).await;
            assert_eq!(reply.status.as_u16(), status, "{networks:?} {from}");
        }
    }
}
