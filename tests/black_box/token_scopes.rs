//! The `scope` parameter: narrowing, spelling, and what is beyond a key.

use reqwest::StatusCode;
use serde_json::json;

use crate::on_both_engines;
use crate::support::server::{Reply, Server, claims};

on_both_engines!(
    a_token_can_be_narrowed_with_filters,
    scopes_are_answered_as_written_and_claimed_in_canonical_form_and_once,
    a_scope_beyond_the_key_is_refused_and_named,
    the_wildcard_covers_the_platform_and_no_management,
    a_malformed_scope_is_refused_in_characters_the_standard_permits,
    as_many_scopes_as_a_key_can_hold_can_be_asked_for,
);

/// The scope of an answer and of the token in it.
fn scopes_of(reply: &Reply) -> [String; 2] {
    reply.expect(StatusCode::OK);
    let token = reply.body["access_token"].as_str().unwrap();
    [&reply.body["scope"], &claims(token)["scope"]].map(|scope| scope.as_str().unwrap().to_owned())
}

async fn a_token_can_be_narrowed_with_filters(server: Server) {
    let acme = server.organization("acme").await;
    let held = [
        "read:projects/**",
        "write:projects/*/notes",
        "files.*",
        "chat",
    ];
    let key = server.key_with(&acme, &held).await;
    for asked in [
        "read:projects/42",
        "read:projects/42/**",
        "read:projects",
        "write:projects/42/notes",
        "write:projects/*/notes",
        "files.read files.write:a/b files.deep.er files.*",
        "chat:rooms/1 chat",
        "chat read:projects/42",
    ] {
        let reply = server.exchange(&key, &[("scope", asked)]).await;
        assert_eq!(scopes_of(&reply), [asked; 2]);
    }
    // Without asking: all it holds, in the order it holds them.
    let reply = server.exchange(&key, &[]).await;
    assert_eq!(scopes_of(&reply), [held.join(" "), held.join(" ")]);
}

async fn scopes_are_answered_as_written_and_claimed_in_canonical_form_and_once(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read", "write:a/**"]).await;
    // Some clients take an answer in another spelling for a smaller grant, and fail.
    for (asked, claimed) in [
        ("read:*", "read"),
        ("read:** read read:*/**", "read"),
        ("write:a/b read:* write:a/b", "write:a/b read"),
    ] {
        let reply = server.exchange(&key, &[("scope", asked)]).await;
        assert_eq!(scopes_of(&reply), [asked, claimed]);
    }
}

async fn a_scope_beyond_the_key_is_refused_and_named(server: Server) {
    let acme = server.organization("acme").await;
    let key = server
        .key_with(&acme, &["read:projects/42/**", "files.read"])
        .await;
    for beyond in [
        "read",
        "read:projects",
        "read:projects/**",
        "read:projects/*",
        "read:projects/43",
        "read:Projects/42/x",
        "files.*",
        "files",
        "files.read.more",
        "write",
        "*",
    ] {
        // Also as one among several: nothing is silently left out.
        for asked in [beyond.to_owned(), format!("files.read {beyond}")] {
            let reply = server.exchange(&key, &[("scope", &asked)]).await;
            reply.refuses(400, "invalid_scope");
            let why = reply.body["error_description"].as_str().unwrap();
            assert!(why.contains(&format!("scope {beyond} is")), "{why}");
        }
    }
}

async fn the_wildcard_covers_the_platform_and_no_management(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["*"]).await;
    for asked in ["*", "anything", "files.*", "a.b:c/d"] {
        let reply = server.exchange(&key, &[("scope", asked)]).await;
        assert_eq!(scopes_of(&reply), [asked; 2]);
    }
    for beyond in [
        "api_keys.create",
        "api_keys.*",
        "organization.read",
        "audit.*",
    ] {
        let reply = server.exchange(&key, &[("scope", beyond)]).await;
        reply.refuses(400, "invalid_scope");
    }
}

async fn a_malformed_scope_is_refused_in_characters_the_standard_permits(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["*"]).await;
    for bad in [
        "read  write",
        " read",
        "read ",
        " ",
        "read\twrite",
        "read\nwrite",
        "\"read\"",
        "re\\ad",
        "Read",
        "read,write",
        "read:",
        ":a",
        "read:a//b",
        "read:/a",
        "read:a/",
        "read:../a",
        "read:a/./b",
        "read:a*",
        "read:**/a",
        "read:a:b",
        "r*d",
        "*.read",
        "files..read",
        "r\u{e9}ad",
        "\u{0}",
        "\u{fffd}",
        "\u{202e}",
        "read%20",
        "read+write",
        "<script>",
        &"x".repeat(201),
        &["a"; 65].join(" "),
    ] {
        let reply = server.exchange(&key, &[("scope", bad)]).await;
        reply.refuses(400, "invalid_scope");
        let why = reply.body["error_description"].as_str().unwrap();
        // RFC 6749 §5.2: %x20-21 / %x23-5B / %x5D-7E.
        let permitted = |c: char| matches!(c, ' '..='!' | '#'..='[' | ']'..='~');
        assert!(why.chars().all(permitted), "{why}");
        assert!((20..400).contains(&why.len()), "{why}");
    }
}

async fn as_many_scopes_as_a_key_can_hold_can_be_asked_for(server: Server) {
    let acme = server.organization("acme").await;
    let all: Vec<String> = (0..64).map(|n| format!("a{n}:b/{n}")).collect();
    let body = json!({ "name": "many", "scopes": all });
    let key = server.key(&acme, body).await;
    let all = all.join(" ");
    let reply = server.exchange(&key, &[("scope", &all)]).await;
    assert_eq!(scopes_of(&reply), [&*all; 2]);
    // What the standards say of size: it still fits a header.
    assert!(reply.body["access_token"].as_str().unwrap().len() <= 6 * 1024);
}
