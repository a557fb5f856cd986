//! The bounds of a new key's fields: what lies on them is accepted, what is just beyond is told apart.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::validation::{body, send};
use crate::on_both_engines;
use crate::support::database::Database;
use crate::support::server::Server;

on_both_engines!(
    each_acceptable_value_is_accepted_at_its_bounds,
    an_entry_that_is_too_much_is_named_however_many_follow,
    a_network_is_refused_with_the_value_to_write,
    a_secret_in_any_field_is_refused_and_not_repeated,
);

async fn each_acceptable_value_is_accepted_at_its_bounds(server: Server) {
    server.organization("acme").await;
    let twenty: Value = (0..20)
        .map(|n| (n.to_string(), json!("x".repeat(10))))
        .collect();
    for member in [
        format!(r#""name": "{}""#, "é".repeat(100)),
        r#""name": "Ünïcödé — 名前 👩‍👩‍👧 نام""#.to_owned(),
        format!(r#""description": "{}""#, "x".repeat(1000)),
        r#""description": null, "external_id": null, "expires_at": null"#.to_owned(),
        format!(r#""external_id": "{}""#, "x".repeat(255)),
        format!(r#""scopes": ["{}"]"#, "b".repeat(200)),
        format!(
            r#""scopes": [{}]"#,
            (0..64)
                .map(|n| format!(r#""a{n}""#))
                .collect::<Vec<_>>()
                .join(",")
        ),
        format!(r#""metadata": {twenty}"#),
        format!(
            r#""metadata": {{"{}": "{}", "x": ""}}"#,
            "n".repeat(40),
            "x".repeat(500)
        ),
        r#""expires_at": "9999-12-31T23:59:59Z""#.to_owned(),
        r#""expires_at": "2099-01-31T09:00:00.999+14:00""#.to_owned(),
        r#""expires_at": null, "expires_in_days": 36500"#.to_owned(),
    ] {
        let made = send(&server, body(&member)).await;
        made.expect(StatusCode::CREATED);
    }
}

async fn an_entry_that_is_too_much_is_named_however_many_follow(server: Server) {
    server.organization("acme").await;
    let list = |count: usize, entry: fn(usize) -> String| -> String {
        let entries: Vec<_> = (0..count).map(|n| format!("\"{}\"", entry(n))).collect();
        format!("[{}]", entries.join(","))
    };
    let network = |n: usize| format!("10.{}.{}.0", n / 256, n % 256);
    for (member, pointer) in [
        (
            format!(r#""scopes": {}"#, list(65, |n| format!("a{n}"))),
            "/scopes/64",
        ),
        (
            format!(r#""scopes": {}"#, list(10_000, |_| "a".into())),
            "/scopes/64",
        ),
        (
            format!(r#""allowed_ip_cidrs": {}"#, list(101, network)),
            "/allowed_ip_cidrs/100",
        ),
        (
            format!(r#""allowed_ip_cidrs": {}"#, list(5_000, |_| "::1".into())),
            "/allowed_ip_cidrs/100",
        ),
        (
            format!(
                r#""metadata": {{{}}}"#,
                (0..21)
                    .map(|n| format!(r#""m{n}": """#))
                    .collect::<Vec<_>>()
                    .join(",")
            ),
            "/metadata/m20",
        ),
    ] {
        let refused = send(&server, body(&member)).await;
        refused.refuses(422, "invalid_field");
        assert_eq!(refused.body["pointer"], pointer, "{}", refused.text);
    }
    // A token that carries all of it would not fit into a header.
    let scopes = list(64, |n| format!("a{n}:{}", "x".repeat(150)));
    let refused = send(&server, body(&format!(r#""scopes": {scopes}"#))).await;
    refused.refuses(422, "invalid_field");
}

async fn a_network_is_refused_with_the_value_to_write(server: Server) {
    server.organization("acme").await;
    for (given, corrected) in [
        ("203.0.113.7/24", "203.0.113.0/24"),
        ("2001:db8::1/64", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::1/128"),
        ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
    ] {
        let member = format!(r#""allowed_ip_cidrs": ["::/0", "10.0.0.0/8", "1.1.1.1", "{given}"]"#);
        let refused = send(&server, body(&member)).await;
        refused.refuses(422, "invalid_field");
        assert_eq!(refused.body["pointer"], "/allowed_ip_cidrs/3");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("write `{corrected}`")), "{detail}");
        let made = send(&server, body(&member.replace(given, corrected))).await;
        made.expect(StatusCode::CREATED);
    }
}

async fn a_secret_in_any_field_is_refused_and_not_repeated(server: Server) {
    let acme = server.organization("acme").await;
    let secret = acme.secret;
    let hidden = &secret[secret.len() - 60..secret.len() - 20];
    let database = Database::of(&server).await;
    for member in [
        format!(r#""name": "my key {secret}""#),
        format!(r#""description": "{secret}""#),
        format!(r#""external_id": "{secret}""#),
        format!(r#""scopes": ["{secret}"]"#),
        format!(r#""scopes": [{{"action": "a", "resource": "x/{secret}"}}]"#),
        format!(r#""scopes": [{{"action": "a", "{secret}": 1}}]"#),
        format!(r#""scopes": "{secret}""#),
        format!(r#""allowed_ip_cidrs": ["{secret}"]"#),
        format!(r#""allowed_ip_cidrs": "{secret}""#),
        format!(r#""expires_at": "{secret}""#),
        format!(r#""expires_in_days": "{secret}""#),
        format!(r#""metadata": {{"{secret}": "x"}}"#),
        format!(r#""metadata": {{"x": "{secret}"}}"#),
        format!(r#""metadata": "{secret}""#),
        format!(r#""{secret}": 1"#),
    ] {
        let refused = send(&server, body(&member)).await;
        refused.refuses(422, "invalid_field");
        assert!(!refused.text.contains(hidden), "{}", refused.text);
    }
    let rows = database.contents().await;
    assert!(!rows.iter().any(|row| row.contains(hidden)));
}
