//! `/metrics`: a listener of its own, numbers that are true, and no word of whose they are.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::on_both_engines;
use crate::support::process::{Process, run};
use crate::support::server::{Place, Server};

on_both_engines!(
    what_is_told_is_what_happened,
    nobody_is_named,
    the_public_listener_does_not_tell,
    a_database_that_is_gone_is_told,
);

/// The value of one series.
fn value(told: &str, series: &str) -> i64 {
    let line = told
        .lines()
        .find(|line| {
            line.strip_prefix(series)
                .is_some_and(|rest| rest.starts_with(' '))
        })
        .unwrap_or_else(|| panic!("no {series} in\n{told}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

async fn what_is_told_is_what_happened(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let body = json!({ "name": "short", "scopes": ["read"], "expires_in_days": 1 });
    let made = server
        .call(&acme.secret, Method::POST, "/v1/api-keys", body)
        .await;
    made.expect(StatusCode::CREATED);
    for _ in 0..3 {
        server.exchange(&key, &[]).await.expect(StatusCode::OK);
    }
    let forged = crate::support::server::Key {
        id: key.id.clone(),
        secret: format!("{}x", key.secret),
    };
    server
        .exchange(&forged, &[])
        .await
        .expect(StatusCode::UNAUTHORIZED);
    let told = server.app.measurements().await;
    let issued = "tenmint_api_key_uses_total{outcome=\"issued\"}";
    assert_eq!(value(&told, issued), 3);
    assert_eq!(
        value(&told, "tenmint_api_key_uses_total{outcome=\"forged\"}"),
        1
    );
    let took = "tenmint_request_duration_seconds_count{endpoint=\"token\"}";
    assert_eq!(value(&told, took), 4);
    assert!(value(&told, "tenmint_credential_lookups_total{result=\"hit\"}") >= 2);
    assert_eq!(value(&told, "tenmint_database_up"), 1);
    // The operator's organization, and acme.
    assert_eq!(value(&told, "tenmint_organizations"), 2);
    assert_eq!(value(&told, "tenmint_signing_keys{state=\"active\"}"), 2);
    // The operator's key, acme's management key, and two of its own, of which one ends soon.
    assert_eq!(value(&told, "tenmint_api_keys"), 4);
    let soon = "tenmint_api_keys_expiring{within=\"1d\"}";
    assert_eq!(value(&told, soon), 1);
    assert!(value(&told, "tenmint_signing_key_rotation_due_seconds") > 0);
    assert!(told.ends_with("# EOF\n"));
}

async fn nobody_is_named(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    let told = server.app.measurements().await;
    for secret in ["acme", &*key.id, &*key.secret, "127.0.0.1"] {
        assert!(!told.contains(secret), "{secret}");
    }
    let series = told.lines().filter(|line| !line.starts_with('#')).count();
    assert!(series < 200, "{series}");
}

async fn the_public_listener_does_not_tell(server: Server) {
    server.get("/metrics").await.expect(StatusCode::NOT_FOUND);
}

async fn a_database_that_is_gone_is_told(server: Server) {
    server.app.close().await;
    let told = server.app.measurements().await;
    assert_eq!(value(&told, "tenmint_database_up"), 0);
    assert!(!told.contains("tenmint_api_keys "));
}

#[test]
fn a_server_tells_on_a_listener_of_its_own() {
    let place = Place::sqlite();
    let listen = [("TENMINT_METRICS_LISTEN", "127.0.0.1:0")];
    let process = Process::serve(&place, &["serve"], &listen);
    let log = process.log();
    let line = log.lines().find(|line| line.contains("metrics are told"));
    let line: serde_json::Value = serde_json::from_str(line.unwrap()).unwrap();
    let address = line["address"].as_str().unwrap();
    let answer = ureq::get(format!("http://{address}/metrics"))
        .call()
        .unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let told = answer.into_body().read_to_string().unwrap();
    assert_eq!(value(&told, "tenmint_database_up"), 1);
    assert!(process.stop());
}

#[test]
fn a_port_that_is_taken_is_said_and_makes_nothing() {
    let place = Place::sqlite();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (url, root) = (place.database_url(), place.root_key_file());
    let refused = run(
        &["serve", "--metrics-listen", &address],
        &[
            ("TENMINT_DATABASE_URL", &url),
            ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
            ("TENMINT_LISTEN", "127.0.0.1:0"),
        ],
    );
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.err.contains("--metrics-listen, or off"),
        "{}",
        refused.err
    );
    assert!(!root.exists());
}
