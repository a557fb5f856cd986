//! The program as a person meets it: quickstart, token, inspect, operator-key, help.

use std::process::Stdio;

use reqwest::StatusCode;
use serde_json::Value;

use crate::support::process::{Process, program, run, run_with_input};
use crate::support::server::Place;

#[tokio::test(flavor = "multi_thread")]
async fn quickstart_prints_commands_that_fetch_and_validate_a_token() {
    let place = Place::sqlite();
    let process = Process::serve(&place, &["quickstart"], &[]);
    let fetch = command_with(&process.out(), "export TENMINT_API_KEY");
    let answer: Value = serde_json::from_str(&shell(&fetch)).unwrap();
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["scope"], "inference read:projects/**");

    let export = fetch.split(';').next().unwrap();
    let validate = command_with(&process.out(), " token --url ");
    let explained = shell(&format!("{export}; {validate}"));
    assert!(explained.contains("The signature is valid"), "{explained}");
    assert!(process.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn quickstart_again_reuses_what_it_made_and_shows_no_secret() {
    let place = Place::sqlite();
    let first = Process::serve(&place, &["quickstart"], &[]);
    let secret = secret_in(&first.out()).expect("the first run shows the secret");
    assert_eq!(first.out().matches(&secret).count(), 1);
    assert!(!first.log().contains(&secret));
    assert!(first.stop());

    let second = Process::serve(&place, &["quickstart"], &[]);
    assert_eq!(secret_in(&second.out()), None, "{}", second.out());
    let environment = [
        ("TENMINT_API_KEY", &*secret),
        ("TENMINT_URL", &*second.base),
    ];
    assert!(run(&["token"], &environment).success);
    assert!(second.stop());

    let third = Process::serve(&place, &["quickstart", "--new-key"], &[]);
    let another = secret_in(&third.out()).expect("--new-key shows a new secret");
    assert_ne!(another, secret);
}

#[tokio::test(flavor = "multi_thread")]
async fn token_prints_a_token_alone_or_says_what_was_refused() {
    let place = Place::sqlite();
    let process = Process::serve(&place, &["quickstart"], &[]);
    let secret = secret_in(&process.out()).unwrap();
    let environment = [
        ("TENMINT_API_KEY", &*secret),
        ("TENMINT_URL", &*process.base),
    ];

    let issued = run(&["token", "--scope", "read:projects/42"], &environment);
    assert!(issued.success, "{}", issued.err);
    assert_eq!(
        (issued.out.lines().count(), issued.out.matches('.').count()),
        (1, 2)
    );
    let management = run(&["token", "--resource", &process.base], &environment);
    assert!(management.success, "{}", management.err);
    let organization = run(&["token", "--org", "acme"], &environment);
    assert!(organization.success, "{}", organization.err);

    let refused = run(&["token", "--scope", "delete"], &environment);
    assert!(!refused.success && refused.out.is_empty());
    assert!(refused.err.contains("invalid_scope"), "{}", refused.err);
    let missing = run(&["token"], &[]);
    assert!(missing.err.contains("TENMINT_API_KEY"), "{}", missing.err);
    let clear = run(&["token", "--url", "http://198.51.100.1"], &environment);
    assert!(clear.err.contains("use https"), "{}", clear.err);
    for output in [&refused.err, &missing.err, &clear.err] {
        assert!(!output.contains(&secret[32..]), "{output}");
    }
}

#[test]
fn inspect_explains_and_never_echoes() {
    let key = "tmsk_01M801KDKZA337YGD9T8JZR0M2_\
               eiknW4WlqrjpGC5EQpjhHSUiUrCrAriEmT9T4CwklqDA9Kg9ci0Nh43V1gOu";
    for explained in [
        run(&["inspect", key], &[]),
        run_with_input(&["inspect"], key),
    ] {
        assert!(explained.success, "{}", explained.err);
        assert!(
            explained
                .out
                .contains("client_id    key_01M801KDKZA337YGD9T8JZR0M2")
        );
        assert!(
            explained
                .out
                .contains("fingerprint  sha256:b3d3e8b92fef125c")
        );
        assert!(!explained.out.contains(&key[32..48]));
    }
    let mistyped = key.replace("eikn", "eikm");
    for bad in [&*mistyped, &key[..80], "", "x", "a.b.c", "\u{202e}"] {
        let refused = run_with_input(&["inspect"], bad);
        assert!(!refused.success, "{bad}");
        let said = format!("{}{}", refused.out, refused.err);
        assert!(!said.contains("W4WlqrjpGC5EQ"), "{said}");
    }
}

#[test]
fn a_password_on_the_command_line_is_refused_unrepeated() {
    let refused = run(
        &["serve", "--database-url", "postgres://u:hunter2@h/d"],
        &[],
    );
    assert!(!refused.success);
    assert!(
        refused.err.contains("TENMINT_DATABASE_URL"),
        "{}",
        refused.err
    );
    let help = run(
        &["serve", "--help"],
        &[("TENMINT_DATABASE_URL", "postgres://u:hunter2@h/d")],
    );
    let bad = run(
        &["migrate"],
        &[("TENMINT_DATABASE_URL", "pg://u:hunter2@h/d")],
    );
    assert!(!bad.success);
    for said in [refused, help, bad] {
        assert!(!format!("{}{}", said.out, said.err).contains("hunter2"));
    }
}

#[test]
fn bad_settings_are_named_with_what_to_write() {
    for (flags, word) in [
        (["--issuer", "http://auth.example"], "https"),
        (["--listen", "0.0.0.0:0"], "ISSUER"),
        (["--token-lifetime", "5s"], "60s"),
        (["--key-prefix", "A-b"], "lower-case"),
        (["--trusted-proxies", "10.0.0.1/8"], "10.0.0.0/8"),
        (["--client-ip-header", "X-Real-IP"], "X-Forwarded-For"),
        (["--argon2-memory", "1"], "ARGON2_MEMORY"),
        (["--audience", "api"], "absolute URI"),
        (["--database-url", "sqlite::memory:"], "memory"),
        (["--log", "a=b=c"], "LOG"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = program(&["serve", flags[0], flags[1]], &[]);
        let output = command.current_dir(folder.path()).output().unwrap();
        assert!(!output.status.success(), "{flags:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(word), "{flags:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_structured_off_a_terminal() {
    let place = Place::sqlite();
    let process = Process::serve(&place, &["serve"], &[]);
    let form = [("grant_type", "client_credentials")];
    let refused = reqwest::Client::new()
        .post(format!("{}/oauth/token", process.base))
        .form(&form)
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let id = refused.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let line = loop {
        let log = process.log();
        if let Some(line) = log.lines().find(|line| line.contains(&id)) {
            break serde_json::from_str::<Value>(line).unwrap();
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(line["cause"], "forged or foreign key string");
    for line in process.log().lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
    assert!(process.stop());
}

/// The line of a quickstart transcript that holds a command.
fn command_with(transcript: &str, part: &str) -> String {
    let line = transcript.lines().find(|line| line.contains(part));
    line.unwrap_or_else(|| panic!("{transcript}"))
        .trim()
        .to_owned()
}

fn secret_in(transcript: &str) -> Option<String> {
    let from = transcript.find("tmsk_")?;
    let secret = transcript[from..].split(';').next()?;
    Some(secret.to_owned())
}

/// What a person's shell prints for a pasted line.
fn shell(line: &str) -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test process holds no root key"
    )]
    let output = std::process::Command::new("sh")
        .args(["-c", line])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    assert!(output.status.success(), "{}", text(output.stderr));
    text(output.stdout)
}
