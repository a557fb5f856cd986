//! The programs of `docs/resource-servers` that are compiled first, against the mint's tokens.

use std::path::Path;

use serde_json::{Value, json};

use crate::resource_servers::{AUDIENCE, DOCS, Mint, answering, free_port, holds};
use crate::runtime::{Runtime, go, go_places, java, program};

#[tokio::test(flavor = "multi_thread")]
async fn the_program_for_go_lets_through_what_it_should() {
    let Some(go) = go() else { return };
    let built = tempfile::tempdir().unwrap();
    let server = built.path().join("server");
    in_go(&go, &["build", "-o", server.to_str().unwrap(), "."]).await;
    let (mint, port) = (Mint::start().await, free_port().await);
    let inputs = [
        ("ISSUER", &*mint.server.base),
        ("AUDIENCE", AUDIENCE),
        ("PORT", &port),
    ];
    let _running = program(server).start(&[], &inputs, built.path());
    holds(&mint, &answering(&port).await).await;
}

#[tokio::test]
async fn the_helper_for_go_holds_the_shared_vectors() {
    let Some(go) = go() else { return };
    let report = in_go(&go, &["test", "-count=1", "-v", "./..."]).await;
    for name in ["Scopes", "Networks", "Feeds"] {
        let passed = format!("--- PASS: Test{name}AreAsTheVectorsSay");
        assert!(report.contains(&passed), "{report}");
    }
}

/// One build for both: it is slow.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_and_the_helper_for_java_do_what_they_should() {
    let folder = tempfile::tempdir().unwrap();
    let drivers = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/java");
    let Some(java) = java(Path::new(drivers), folder.path()) else {
        return;
    };
    let jar = folder.path().join("target/resource-server.jar");
    let jar = jar.to_str().unwrap();

    let inputs = [
        ("SCOPE_VECTORS", format!("{DOCS}/scope-vectors.json")),
        ("NETWORK_VECTORS", format!("{DOCS}/network-vectors.json")),
        (
            "REVOCATION_VECTORS",
            format!("{DOCS}/revocation-vectors.json"),
        ),
    ];
    let inputs = inputs.each_ref().map(|(name, value)| (*name, &**value));
    let launcher = "org.springframework.boot.loader.launch.PropertiesLauncher";
    let driver = "-Dloader.main=example.CheckVectors";
    let arguments = ["-cp", jar, driver, launcher];
    let (done, report) = java.judge(&arguments, &inputs, folder.path()).await;
    assert!(done, "{report}");
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["wrong"], json!([]));
    assert!(report["count"].as_u64() > Some(250));

    let (mint, port) = (Mint::start().await, free_port().await);
    let inputs = [
        ("ISSUER", &*mint.server.base),
        ("AUDIENCE", AUDIENCE),
        ("PORT", &port),
    ];
    let _running = java.start(
        &["-XX:TieredStopAtLevel=1", "-jar", jar],
        &inputs,
        folder.path(),
    );
    holds(&mint, &answering(&port).await).await;
}

/// Runs Go in the program's folder; gives what it says.
async fn in_go(go: &Runtime, arguments: &[&str]) -> String {
    let places = go_places();
    let places = places.each_ref().map(|(name, value)| (*name, &**value));
    let folder = Path::new(DOCS).join("resource-servers/go");
    let (done, report) = go.judge(arguments, &places, &folder).await;
    assert!(done, "{report}");
    report
}
