//! Signing keys from a shell: an emergency is one command, and what it means is said.

use reqwest::StatusCode;
use serde_json::json;

use super::signing_keys::{LEAD, jwks, kid_in, outdated_until, signs, until};
use crate::on_both_engines;
use crate::support::server::Server;
use crate::support::shell::{Shell, rows};

on_both_engines!(
    a_rotation_is_followed_from_a_shell,
    an_emergency_is_one_command,
    a_leaked_key_is_withdrawn_by_one_command,
    the_operator_rotates_for_an_organization,
    what_went_wrong_with_a_signing_key_is_in_the_exit_code,
);

async fn a_rotation_is_followed_from_a_shell(server: Server) {
    let manager = server.organization("acme").await;
    let acme = Shell::new(&server.base, &manager.secret);
    let first = kid_in(&server, &manager, "active").await.unwrap();
    let told = acme.does(&["signing-keys", "rotate", "--alg", "EdDSA"]);
    let next = kid_in(&server, &manager, "next").await.unwrap();
    let from = server
        .clock
        .now()
        .plus(std::time::Duration::from_secs(LEAD));
    assert_eq!(
        told,
        format!("{next} is published, and signs from {from} on\n")
    );
    let table = acme.does(&["signing-keys", "list"]);
    let seen: Vec<_> = rows(&table).iter().map(|row| row[..3].join(" ")).collect();
    let mut expected = [
        format!("{next} next EdDSA"),
        format!("{first} active ES256"),
    ];
    // Of the same second, the greater comes first.
    if first > next {
        expected.reverse();
    }
    assert_eq!(seen, expected, "{table}");
    acme.refuses(
        &["signing-keys", "rotate"],
        5,
        "signing_key_under_way (409)",
    );

    server.advance(LEAD);
    until(&server, &manager, "retiring").await;
    let shown = acme.json(&["signing-keys", "show", &next]);
    assert_eq!(
        (&shown["status"], &shown["alg"]),
        (&json!("active"), &json!("EdDSA"))
    );
    let shown = acme.does(&["signing-keys", "show", &first]);
    assert!(shown.contains("retires_at"), "{shown}");
    let all = acme.json(&["signing-keys", "list", "--all", "--limit", "1"]);
    assert_eq!(all["data"].as_array().unwrap().len(), 2);
}

async fn an_emergency_is_one_command(server: Server) {
    let manager = server.organization("acme").await;
    let acme = Shell::new(&server.base, &manager.secret);
    let words = ["signing-keys", "rotate", "--emergency"];
    let said = acme.refuses(&words, 2, "--yes");
    assert!(!said.contains("signs from now on"), "{said}");
    assert_eq!(jwks(&server).await.len(), 1);

    let words = [&words[..], &["--yes", "--idempotency-key", "leak-7"]].concat();
    let told = acme.does(&words);
    let kid = kid_in(&server, &manager, "active").await.unwrap();
    let [known, at_most] = outdated_until(&server);
    assert_eq!(
        told,
        format!(
            "{kid} signs from now on; validators that cached the JWKS may refuse its tokens until \
             {known}, the slowest until {at_most}\n"
        )
    );
    assert_eq!(signs(&server, &manager).await, kid);
    // Sent again under the same key, it is done once.
    acme.does(&words);
    assert_eq!(signs(&server, &manager).await, kid);
    assert_eq!(jwks(&server).await.len(), 2);
    // One that was next gives way, and the list has no time from which it would sign.
    acme.does(&["signing-keys", "rotate"]);
    let next = kid_in(&server, &manager, "next").await.unwrap();
    acme.does(&["signing-keys", "rotate", "--emergency", "--yes"]);
    let now = server.clock.now().to_string();
    let table = acme.does(&["signing-keys", "list"]);
    let rows = rows(&table);
    let given_up = rows.iter().find(|row| row[0] == next).unwrap();
    let [signs_from, _, retires, stands_in_for] = &given_up[4..] else {
        panic!("{table}")
    };
    assert_eq!((&**signs_from, &**retires), ("-", &*now), "{table}");
    assert_eq!(*stands_in_for, "-", "{table}");
    let words = ["signing-keys", "revoke", &next, "--yes"];
    let said = acme.refuses(&words, 5, "signing_key_retired (409)");
    assert!(said.contains("may hold it until"), "{said}");
}

async fn a_leaked_key_is_withdrawn_by_one_command(server: Server) {
    let manager = server.organization("acme").await;
    let acme = Shell::new(&server.base, &manager.secret);
    let leaked = signs(&server, &manager).await;
    acme.refuses(&["signing-keys", "revoke", &leaked], 2, "--yes");
    assert_eq!(signs(&server, &manager).await, leaked);
    let words = ["signing-keys", "revoke", &leaked, "--yes"];
    let told = acme.does(&words);
    let instead = signs(&server, &manager).await;
    assert_eq!(jwks(&server).await, std::slice::from_ref(&instead));
    let [heeding, slowest] = outdated_until(&server);
    assert_eq!(
        told,
        format!(
            "{leaked} revoked; validators that cached the JWKS may accept what it signed until \
             {heeding}, the slowest until {slowest}; {instead} signs in its place, and they may \
             refuse its tokens until {heeding}, the slowest until {slowest}\n"
        )
    );
    // Again: it stays as it is, and nothing else is made in its place.
    assert_eq!(acme.does(&words), told);
    let again = acme.json(&words);
    assert_eq!(
        (&again["status"], &again["replaced_by"]),
        (&json!("revoked"), &json!(instead))
    );
    assert_eq!(signs(&server, &manager).await, instead);
}

async fn the_operator_rotates_for_an_organization(server: Server) {
    let manager = server.organization("acme").await;
    let operator = Shell::operator(&server);
    let own = operator.json(&["signing-keys", "list"]);
    let words = ["signing-keys", "rotate", "--org", "acme", "--emergency"];
    let rotated = operator.json(&[&words[..], &["--yes", "--acting-for", "ana"]].concat());
    assert_eq!(
        rotated["kid"],
        kid_in(&server, &manager, "active").await.unwrap()
    );
    assert_eq!(operator.json(&["signing-keys", "list"]), own);
    let kid = rotated["kid"].as_str().unwrap();
    let log = operator.json(&["audit", "list", "--org", "acme", "--target", kid]);
    assert_eq!(log["data"][0]["action"], "signing_key.rotate");
    assert_eq!(log["data"][0]["acting_for"], "ana");
    operator.refuses(&["signing-keys", "show", kid], 4, "not_found (404)");
}

async fn what_went_wrong_with_a_signing_key_is_in_the_exit_code(server: Server) {
    let manager = server.organization("acme").await;
    let acme = Shell::new(&server.base, &manager.secret);
    acme.refuses(
        &["signing-keys", "rotate", "--alg", "HS256"],
        1,
        "at       /alg",
    );
    acme.refuses(&["signing-keys", "show", "nobody"], 4, "not_found (404)");
    acme.refuses(&["signing-keys", "show", "no kid"], 2, "write a kid");
    acme.refuses(&["signing-keys", "revoke", "--yes"], 2, "<KID>");
    acme.refuses(
        &["signing-keys", "list", "--org", "other"],
        3,
        "operator_only",
    );
    let reader = server.key_with(&manager, &["signing_keys.read"]).await;
    let reader = Shell::new(&server.base, &reader.secret);
    reader.does(&["signing-keys", "list"]);
    reader.refuses(&["signing-keys", "rotate"], 3, "insufficient_scope (403)");
    // Whoever may rotate and not read is asked about, and told, all the same.
    let rotator = server.key_with(&manager, &["signing_keys.rotate"]).await;
    let shell = Shell::new(&server.base, &rotator.secret);
    shell.refuses(&["signing-keys", "list"], 3, "insufficient_scope (403)");
    let kid = signs(&server, &manager).await;
    shell.does(&["signing-keys", "revoke", &kid, "--yes"]);
    server
        .exchange_at("/orgs/acme", &manager, &[])
        .await
        .expect(StatusCode::OK);
}
