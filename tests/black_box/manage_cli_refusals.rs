//! The management command line when it fails: exit codes, questions, and servers that are none.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::json;

use crate::support::forged::{NOBODY, of_another_deployment};
use crate::support::process::run;
use crate::support::server::Server;
use crate::support::shell::Shell;

#[tokio::test(flavor = "multi_thread")]
async fn what_went_wrong_is_in_the_exit_code_and_in_words() {
    let server = Server::on_sqlite().await;
    let manager = server.organization("acme").await;
    let acme = Shell::new(&server.base, &manager.secret);
    let weak = server.key_with(&manager, &["read"]).await;
    let weak = Shell::new(&server.base, &weak.secret);

    let bad = [
        "keys", "create", "--name", "x", "--scope", "ok", "--scope", "no scope",
    ];
    let said = acme.refuses(&bad, 1, "at       /scopes/1");
    assert!(said.contains("code     invalid_field (422)"), "{said}");
    assert!(said.contains("request  "), "{said}");
    acme.refuses(&["keys", "show", "ci"], 2, "key_");
    acme.refuses(&["keys", "revoke"], 2, "<ID>");
    weak.refuses(&["keys", "list"], 3, "insufficient_scope (403)");
    acme.refuses(&["orgs", "list"], 3, "(403)");
    acme.refuses(&["keys", "list", "--org", "beta"], 3, "operator_only");
    acme.refuses(&["keys", "show", NOBODY], 4, "not_found (404)");
    let operator = Shell::operator(&server);
    operator.refuses(&["orgs", "create", "acme"], 5, "organization_exists (409)");
    let reserved = ["orgs", "suspend", "operator"];
    operator.refuses(&reserved, 5, "operator_not_suspendable");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_undone_is_not_done_where_nobody_can_be_asked() {
    let server = Server::on_sqlite().await;
    let manager = server.organization("acme").await;
    let acme = Shell::new(&server.base, &manager.secret);
    let operator = Shell::operator(&server);
    let key = server.key_with(&manager, &["read"]).await;
    for words in [
        &["keys", "revoke", &key.id][..],
        &["keys", "revoke-all", "--all"],
        &["keys", "rotate", &key.id, "--overlap", "0s"],
        &["keys", "finish", &key.id],
        &["roles", "delete", "reader"],
    ] {
        acme.refuses(words, 2, "--yes");
    }
    operator.refuses(&["orgs", "bootstrap", "acme", "--reissue"], 2, "--yes");
    operator.refuses(&["orgs", "delete", "acme", "--force"], 2, "--yes");
    assert_eq!(acme.json(&["keys", "show", &key.id])["status"], "active");
    assert!(acme.run(&["keys", "list"]).success);
}

#[test]
fn a_credential_goes_to_no_stranger_and_comes_out_nowhere() {
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", nowhere.local_addr().unwrap());
    drop(nowhere);
    let secret = whole_key();
    let shell = |url: &str| Shell::new(url, &secret);
    shell(&url).refuses(&["keys", "list"], 6, "cannot be reached");
    shell("http://198.51.100.1").refuses(&["keys", "list"], 2, "use https");
    let said = shell("http://u:hunter2@x").refuses(&["keys", "list"], 2, "https");
    assert!(!said.contains("hunter2"), "{said}");

    let missing = run(&["keys", "list"], &[]);
    assert_eq!(missing.code, Some(3));
    assert!(missing.err.contains("TENMINT_API_KEY"), "{}", missing.err);
    let mistyped = Shell::new(&url, &secret.replace("tmsk_", "tmsl_"));
    mistyped.refuses(&["keys", "list"], 3, "TENMINT_API_KEY");
    let other = Shell::new(&url, "a password of another thing");
    other.refuses(&["keys", "list"], 3, "TENMINT_API_KEY");

    // In the wrong place it is not repeated, and whoever put it there learns what that means.
    for words in [
        &["keys", "show", &secret][..],
        &["keys", "list", "--status"],
    ] {
        let words = [words, &[&*secret]].concat();
        let done = run(&words, &[("TENMINT_URL", &*url)]);
        assert!(!done.err.contains(&secret), "{}", done.err);
    }
    let done = run(&["keys", "show", &secret], &[]);
    assert_eq!(done.code, Some(2));
    assert!(done.err.contains("revoke that key"), "{}", done.err);
}

#[test]
fn a_server_that_is_none_is_not_followed_and_steers_no_terminal() {
    let secret = whole_key();
    let asked = |answer: String| {
        let url = serve_once(answer);
        Shell::new(&url, &secret).run(&["keys", "show", NOBODY])
    };
    let moved = asked(http("302 Found\r\nlocation: http://127.0.0.1:1/", ""));
    assert_eq!(moved.code, Some(1));
    assert!(moved.err.contains("redirect"), "{}", moved.err);
    let page = asked(http("200 OK", "<html>"));
    assert_eq!((page.code, &*page.out), (Some(1), ""));

    let later = json!({ "detail": "try \u{1b}[2Jagain\u{202e}", "code": "unavailable" });
    let later = asked(http("503 Busy\r\nretry-after: 7", &later.to_string()));
    assert_eq!(later.code, Some(6));
    assert!(later.err.contains("try [2Jagain\n"), "{:?}", later.err);
    assert!(later.err.contains("in 7 s"), "{}", later.err);
    let busy = json!({ "detail": "slower", "code": "rate_limited" });
    let busy = asked(http("429 Too Many", &busy.to_string()));
    assert_eq!(busy.code, Some(6));

    let hostile = json!({ "id": NOBODY, "name": "a\u{9b}2J\u{1b}]0;x\u{7}" });
    let shown = asked(http("200 OK", &hostile.to_string()));
    assert_eq!(shown.code, Some(0), "{}", shown.err);
    assert!(!shown.out.chars().any(|c| c.is_control() && c != '\n'));
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let done = run(&["completions", shell], &[]);
        assert!(done.success, "{}", done.err);
        assert!(done.out.contains("revoke-all"), "{shell}");
    }
    assert_eq!(run(&["completions", "csh"], &[]).code, Some(2));
}

#[test]
fn help_documents_the_exit_codes() {
    for words in [
        &["--help"][..],
        &["keys", "--help"],
        &["usage", "--help"],
        &["import", "--help"],
    ] {
        let help = run(words, &[]).out;
        for code in 0..=7 {
            assert!(help.contains(&format!("\n  {code}  ")), "{words:?}: {code}");
        }
    }
}

/// A key that is whole and well-formed, of another deployment.
fn whole_key() -> String {
    of_another_deployment(NOBODY).secret
}

fn http(head: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// Answers one request, whatever it is.
fn serve_once(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut request = [0; 8192];
        let read = socket.read(&mut request).unwrap();
        assert!(read > 0);
        socket.write_all(answer.as_bytes()).unwrap();
    });
    url
}
