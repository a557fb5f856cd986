//! Imports that are refused: whoever is not the operator, what is no key, what is here already; and
//! nowhere is anything of a private key repeated.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::canary::{contains, stored};
use crate::on_both_engines;
use crate::signing_key_imports::import;
use crate::signing_keys::{LEAD, RETENTION, signs, until};
use crate::support::database::Database;
use crate::support::private_keys::{
    ED25519, ENCRYPTED, P256, P384, PKCS1, RSA_1024, RSA_2048, SEC1, body,
};
use crate::support::process::{Process, run};
use crate::support::server::{Key, Place, Server};

on_both_engines!(
    only_the_operator_imports,
    a_key_signs_for_one_organization_once,
    of_imports_of_one_key_at_one_moment_one_is_done,
    a_kid_names_one_key_of_the_deployment,
    what_is_no_key_is_told_what_makes_one_of_it,
    there_is_nothing_to_follow_before_bootstrap,
);

async fn only_the_operator_imports(server: Server) {
    let acme = server.organization("acme").await;
    let before = Database::of(&server).await.contents().await;
    let body = json!({ "private_key_pem": P256, "already_published": true });
    for organization in ["acme", "operator", "nobody"] {
        let path = format!("/v1/organizations/{organization}/signing-keys/import");
        let refused = server.call(&acme.secret, Method::POST, &path, body.clone());
        refused.await.refuses(403, "operator_only");
    }
    // Nor by a way that leads to one's own.
    let path = "/v1/signing-keys/import";
    let refused = server.call(&acme.secret, Method::POST, path, body.clone());
    assert_eq!(refused.await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(Database::of(&server).await.contents().await, before);

    let new = json!({ "name": "x", "scopes": ["signing_keys.*", "organizations.read"] });
    let made = server.operate(Method::POST, "/v1/api-keys", new).await;
    let weak = Key::of(&made.expect(StatusCode::CREATED).body);
    let path = "/v1/organizations/acme/signing-keys/import";
    let refused = server.call(&weak.secret, Method::POST, path, body).await;
    refused.refuses(403, "insufficient_scope");
}

async fn a_key_signs_for_one_organization_once(server: Server) {
    let acme = server.organization("acme").await;
    server.organization("beta").await;
    let taken =
        |kid: &str| json!({ "private_key_pem": ED25519, "already_published": true, "kid": kid });
    import(&server, "acme", taken("one"))
        .await
        .expect(StatusCode::CREATED);
    let before = Database::of(&server).await.contents().await;
    let mut answers = Vec::new();
    for organization in ["acme", "beta", "operator"] {
        let refused = import(&server, organization, taken("two")).await;
        refused.refuses(409, "signing_key_known");
        answers.push(refused.text.split("req_").next().unwrap().to_owned());
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "whose it is is not told"
    );
    assert_eq!(Database::of(&server).await.contents().await, before);

    // Not even when it was withdrawn, or has retired: what it signed is not to count again.
    let path = "/v1/signing-keys/one/revoke";
    let revoked = server.call(&acme.secret, Method::POST, path, json!({}));
    revoked.await.expect(StatusCode::OK);
    for organization in ["acme", "beta"] {
        let refused = import(&server, organization, taken("three")).await;
        refused.refuses(409, "signing_key_known");
    }
    let second = json!({ "private_key_pem": P256, "already_published": true });
    import(&server, "acme", second.clone())
        .await
        .expect(StatusCode::CREATED);
    let third = json!({ "private_key_pem": RSA_2048 });
    import(&server, "acme", third)
        .await
        .expect(StatusCode::CREATED);
    server.advance(LEAD);
    until(&server, &acme, "retiring").await;
    server.advance(RETENTION);
    until(&server, &acme, "retired").await;
    let refused = import(&server, "acme", second).await;
    refused.refuses(409, "signing_key_known");
}

/// Each looks before the others have committed, under an id of its own.
async fn of_imports_of_one_key_at_one_moment_one_is_done(server: Server) {
    let organizations: Vec<_> = (0..6).map(|n| format!("org{n}")).collect();
    for id in &organizations {
        server.organization(id).await;
    }
    let imports = organizations.iter().map(|id| {
        let body = json!({ "private_key_pem": P256, "already_published": true, "kid": id });
        import(&server, id, body)
    });
    let replies = futures_util::future::join_all(imports).await;
    let done = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(done, 1);
    for refused in replies.iter().filter(|reply| reply.status != 201) {
        refused.refuses(409, "signing_key_known");
    }
    let active = "SELECT COUNT(*) FROM signing_keys
                  WHERE activated_at IS NOT NULL AND retiring_at IS NULL";
    assert_eq!(Database::of(&server).await.count(active).await, 7);
}

async fn a_kid_names_one_key_of_the_deployment(server: Server) {
    let acme = server.organization("acme").await;
    let beta = server.organization("beta").await;
    let taken = |pem: &str, kid: &str| json!({ "private_key_pem": pem, "already_published": true, "kid": kid });
    import(&server, "acme", taken(P256, "1"))
        .await
        .expect(StatusCode::CREATED);
    for organization in ["acme", "beta"] {
        let refused = import(&server, organization, taken(ED25519, "1")).await;
        refused.refuses(409, "kid_taken");
    }
    assert_eq!(signs(&server, &acme).await, "1");
    server
        .exchange_at("/orgs/beta", &beta, &[])
        .await
        .expect(StatusCode::OK);
    // Nobody can pose as a key that tenmint made.
    let own = server.get("/.well-known/jwks.json").await.body["keys"][0]["kid"].clone();
    let refused = import(&server, "acme", taken(ED25519, own.as_str().unwrap())).await;
    refused.refuses(409, "kid_taken");
}

async fn what_is_no_key_is_told_what_makes_one_of_it(server: Server) {
    server.organization("acme").await;
    let before = Database::of(&server).await.contents().await;
    for (pem, said) in [
        (ENCRYPTED, "openssl pkey"),
        (PKCS1, "openssl pkey"),
        (SEC1, "openssl pkey"),
        (P384, "P-384"),
        (RSA_1024, "1024 bits"),
        (&format!("{P256}{ED25519}"), "2 PEM blocks"),
        (&body(P256), "not PEM"),
        ("", "not PEM"),
    ] {
        let refused = import(&server, "acme", json!({ "private_key_pem": pem })).await;
        refused.refuses(422, "invalid_field");
        assert_eq!(refused.body["pointer"], "/private_key_pem");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains(said), "{detail}");
    }
    for (member, value) in [
        ("kid", json!("")),
        ("kid", json!(null)),
        ("kid", json!("a b")),
        ("kid", json!("..")),
        ("kid", json!("k".repeat(129))),
        ("kid", json!("a\",\"alg\":\"none")),
        ("already_published", json!("yes")),
        ("private_key_pem", json!(null)),
        ("password", json!("x")),
    ] {
        let mut body = json!({ "private_key_pem": P256 });
        body[member] = value;
        let refused = import(&server, "acme", body).await;
        refused.refuses(422, "invalid_field");
        assert_eq!(refused.body["pointer"], format!("/{member}"));
    }
    import(&server, "acme", json!({}))
        .await
        .refuses(422, "invalid_field");
    assert_eq!(Database::of(&server).await.contents().await, before);
}

async fn there_is_nothing_to_follow_before_bootstrap(server: Server) {
    let body = json!({ "private_key_pem": P256, "already_published": true });
    import(&server, "bare", body.clone())
        .await
        .refuses(404, "not_found");
    let new = json!({ "id": "bare" });
    let made = server.operate(Method::POST, "/v1/organizations", new).await;
    made.expect(StatusCode::CREATED);
    let refused = import(&server, "bare", body.clone()).await;
    refused.refuses(409, "not_bootstrapped");
    let path = "/v1/organizations/bare/bootstrap";
    let done = server.operate(Method::POST, path, json!({})).await;
    done.expect(StatusCode::CREATED);
    import(&server, "bare", body)
        .await
        .expect(StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_private_key_is_logged_answered_or_stored_on_sqlite() {
    watch(Place::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_private_key_is_logged_answered_or_stored_on_postgres() {
    if let Some(place) = Place::postgres().await {
        watch(place).await;
    }
}

/// Sends private keys where they belong and where they do not, with everything logged that can be.
async fn watch(place: Place) {
    let process = Process::serve(&place, &["serve"], &[("TENMINT_LOG", "trace")]);
    let (url, root) = (place.database_url(), place.root_key_file());
    let environment = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
    ];
    let operator = run(&["operator-key", "--quiet"], &environment).out;
    let (http, operator) = (Client::new(), operator.trim());
    let path = "/v1/organizations/operator/signing-keys/import";
    let send = async |path: &str, body: Value| {
        let request = http
            .post(format!("{}{path}", process.base))
            .bearer_auth(operator)
            .header("Idempotency-Key", "one")
            .json(&body);
        let response = request.send().await.unwrap();
        format!("{} {}\n", response.status(), response.text().await.unwrap())
    };
    let keys = [P256, ED25519, RSA_2048];
    let mut answers = String::new();
    for pem in keys {
        let spoilt = pem.replace("END", "DNE");
        for body in [
            json!({ "private_key_pem": pem, "already_published": pem }),
            json!({ "private_key_pem": pem, "kid": pem }),
            json!({ "private_key_pem": pem, pem: true }),
            json!({ "private_key_pem": { pem: pem } }),
            json!({ "private_key_pem": [pem] }),
            json!({ "private_key_pem": spoilt }),
            json!({ "private_key_pem": format!("{pem}{pem}") }),
            json!(pem),
            json!({ "private_key_pem": pem, "already_published": true }),
            json!({ "private_key_pem": pem, "already_published": true }),
        ] {
            let _ = write!(answers, "{}", send(path, body).await);
        }
        let rotate = "/v1/organizations/operator/signing-keys/rotate";
        answers.push_str(&send(rotate, json!({ "alg": pem })).await);
        answers.push_str(&send("/v1/organizations", json!({ pem: pem })).await);
    }
    assert_eq!(answers.matches("201 Created").count(), 3, "{answers}");
    let stored = stored(&place).await;
    let log = format!("{}{}", process.log(), process.out());
    assert!(log.contains("refused a request"), "the log is seen");
    assert!(
        contains(&stored, b"signing_key.import"),
        "the database is seen"
    );
    for pem in keys {
        let body = body(pem);
        let der = STANDARD.decode(&body).unwrap();
        // The middle of it: what comes before is alike in all keys of a kind, and in an RSA key
        // what comes first is public.
        let secret = if der.len() > 500 {
            620..640
        } else {
            der.len() - 32..der.len() - 12
        };
        let secret = if pem == P256 { 40..60 } else { secret };
        let raw = &der[secret.clone()];
        let hex: String = raw
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(|digit| char::from_digit(digit.into(), 16).unwrap())
            .collect();
        let text = &body[secret.start * 4 / 3 + 4..secret.end * 4 / 3 - 4];
        for part in [raw, hex.as_bytes(), text.as_bytes()] {
            assert!(!contains(log.as_bytes(), part), "in the log");
            assert!(!contains(answers.as_bytes(), part), "in an answer");
            assert!(!contains(&stored, part), "in the database");
        }
    }
    assert!(process.stop());
}
