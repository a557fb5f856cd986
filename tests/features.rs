//! What a resource server takes in with the verifier: no server, no database, no password hashing.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what fails here fails a test"
)]

use std::process::Command;

/// Crates of the mint, by what they bring.
const OF_THE_MINT: [&str; 21] = [
    "argon2",
    "blake2",
    "clap",
    "h2",
    "hyper",
    "hyper-util",
    "indicatif",
    "libsqlite3-sys",
    "password-hash",
    "rsa",
    "serde_path_to_error",
    "sqlx",
    "sqlx-core",
    "sqlx-postgres",
    "sqlx-sqlite",
    "tokio-io-timeout",
    "tokio-macros",
    "tower-http",
    "tracing-appender",
    "tracing-subscriber",
    "utoipa",
];

#[test]
fn the_verifier_brings_nothing_of_the_mint() {
    let taken = crates(&["--no-default-features", "--features", "verifier"]);
    assert!(taken.contains(&"jsonwebtoken".to_owned()), "{taken:?}");
    let much: Vec<_> = OF_THE_MINT
        .iter()
        .filter(|name| taken.iter().any(|taken| taken == *name))
        .collect();
    assert!(much.is_empty(), "{much:?}");
    // Not a number that means anything: it grows when somebody adds what they did not mean to.
    assert!(taken.len() < 110, "{} crates: {taken:?}", taken.len());
}

#[test]
fn the_mint_brings_them_all() {
    // Or the test above would look for names that nothing has.
    let taken = crates(&[]);
    for name in [
        "argon2",
        "clap",
        "hyper",
        "rsa",
        "sqlx",
        "utoipa",
        "tracing-subscriber",
    ] {
        assert!(taken.iter().any(|taken| taken == name), "{name}");
    }
}

/// The names of all crates that are built for these features.
#[expect(
    clippy::disallowed_methods,
    reason = "a test process holds no root key"
)]
fn crates(features: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "normal"])
        .args(["--prefix", "none", "--format", "{p}"])
        .args(features)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let listed = String::from_utf8(output.stdout).unwrap();
    let names = listed.lines().filter_map(|line| line.split(' ').next());
    let mut names: Vec<_> = names.map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names
}
