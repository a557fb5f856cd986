//! One string, one imported key: whatever forms a platform kept of it, and whatever ended before.

use reqwest::StatusCode;
use serde_json::Value;

use crate::imports::{REFUSED_LINES, exchange, id_of, imported, revoke};
use crate::on_both_engines;
use crate::support::imports::{file, import, line, old_string, rejects};
use crate::support::process::Run;
use crate::support::root_keys::{done, followed, until};
use crate::support::server::Server;

on_both_engines!(
    no_string_is_imported_twice,
    a_string_is_imported_once_in_whatever_form_that_tells_it,
    a_string_in_two_forms_that_nobody_can_compare_counts_for_neither,
    a_revoked_key_stands_in_the_way_of_no_slow_one,
);

/// Imports these lines, and says why each was refused that was.
fn take(server: &Server, org: &str, name: &str, lines: &[Value]) -> (Run, Vec<(u64, String)>) {
    let path = file(server.place(), name, lines);
    let run = import(server.place(), org, &path);
    (run, rejects(&path))
}

async fn counts(server: &Server, text: &str) {
    until("the string counts", async || {
        exchange(server, text).await.status == StatusCode::OK
    })
    .await;
}

async fn no_string_is_imported_twice(server: Server) {
    for id in ["acme", "other"] {
        server.organization(id).await;
    }
    let keys = imported(&server, "acme", 0).await;
    let [raw, sha256, sha512, bcrypt, argon2] = &keys[..] else {
        panic!("five kinds");
    };
    for org in ["acme", "other"] {
        let lines = [
            line("raw", &raw.secret),
            line("sha256", &raw.secret),
            line("raw", &sha256.secret),
            line("sha512", &sha512.secret),
            line("bcrypt", &bcrypt.secret),
            line("argon2", &argon2.secret),
        ];
        let name = format!("{org}-again.jsonl");
        let (run, told) = take(&server, org, &name, &lines);
        let all = "0 keys imported, 6 lines refused of 6";
        assert!(run.err.contains(all), "{}", run.err);
        assert_eq!((run.code, told.len()), (Some(REFUSED_LINES), 6));
        // The same file once more changes nothing, and tells the same.
        let (run, told) = take(&server, org, &name, &lines);
        assert!(run.err.contains(all), "{}", run.err);
        assert_eq!((run.code, told.len()), (Some(REFUSED_LINES), 6));
    }
}

async fn a_string_is_imported_once_in_whatever_form_that_tells_it(server: Server) {
    for id in ["acme", "other"] {
        server.organization(id).await;
    }
    let text = old_string;
    // Of a string itself both digests are known: before it, behind it, and in one file.
    let first = [
        line("raw", &text(0)),
        line("sha512", &text(1)),
        line("sha256", &text(2)),
        line("raw", &text(3)),
        line("sha512", &text(3)),
        line("sha512", &text(4)),
        line("raw", &text(4)),
    ];
    let (_, told) = take(&server, "acme", "first.jsonl", &first);
    // By the field that the line has.
    let refused = |told: &[(u64, String)]| -> Vec<_> {
        let why = ": this string, or hash, is imported already";
        let one = |(line, said): &(u64, String)| {
            let (field, _) = said.split_once(why).expect(said);
            (*line, field.to_owned())
        };
        told.iter().map(one).collect()
    };
    let by = |all: &[(u64, &str)]| -> Vec<_> {
        let one = |(line, field): &(u64, &str)| (*line, (*field).to_owned());
        all.iter().map(one).collect()
    };
    assert_eq!(refused(&told), by(&[(5, "hash"), (7, "secret")]));
    let again = [
        line("sha512", &text(0)),
        line("raw", &text(1)),
        line("raw", &text(2)),
        line("sha512", &text(3)),
    ];
    let (_, told) = take(&server, "other", "again.jsonl", &again);
    let four = [(1, "hash"), (2, "secret"), (3, "secret"), (4, "hash")];
    assert_eq!(refused(&told), by(&four));
    for n in 0..5 {
        counts(&server, &text(n)).await;
    }
    // Nor under the next root key.
    tokio::task::block_in_place(|| done(server.place(), &["rotate"]));
    followed(&server).await;
    // Not the same file: that one was imported to its end.
    let (_, told) = take(&server, "other", "later.jsonl", &again[..3]);
    assert_eq!(refused(&told), by(&four[..3]));
    for n in 0..5 {
        counts(&server, &text(n)).await;
    }
}

/// Neither digest tells the other.
async fn a_string_in_two_forms_that_nobody_can_compare_counts_for_neither(server: Server) {
    for id in ["acme", "other"] {
        server.organization(id).await;
    }
    let text = old_string(0);
    take(&server, "acme", "one.jsonl", &[line("sha256", &text)]);
    counts(&server, &text).await;
    take(&server, "other", "two.jsonl", &[line("sha512", &text)]);
    until("the string counts for neither", async || {
        exchange(&server, &text).await.status == StatusCode::UNAUTHORIZED
    })
    .await;
    let id = id_of(&server, "acme", "ext-sha256").await;
    revoke(&server, "acme", &id).await;
    // One that was revoked does not stand in the other's way.
    counts(&server, &text).await;
}

async fn a_revoked_key_stands_in_the_way_of_no_slow_one(server: Server) {
    for id in ["acme", "other"] {
        server.organization(id).await;
    }
    for (n, (kind, slow)) in [("raw", "bcrypt"), ("sha512", "argon2")].iter().enumerate() {
        let text = old_string(n);
        take(
            &server,
            "other",
            &format!("{slow}.jsonl"),
            &[line(slow, &text)],
        );
        take(
            &server,
            "acme",
            &format!("{kind}.jsonl"),
            &[line(kind, &text)],
        );
        let whose = async || {
            let issuer = ["acme", "other"];
            let mut counts = Vec::new();
            for org in issuer {
                let path = format!("/orgs/{org}/oauth/token");
                let request = server.request(reqwest::Method::POST, &path);
                let form = [("grant_type", "client_credentials")];
                let reply = request.bearer_auth(&text).form(&form).send().await.unwrap();
                counts.push(reply.status() == StatusCode::OK);
            }
            counts
        };
        until("the form counts that can be found whole", async || {
            whose().await == [true, false]
        })
        .await;
        let id = id_of(&server, "acme", &format!("ext-{kind}")).await;
        revoke(&server, "acme", &id).await;
        until("the other form counts", async || {
            whose().await == [false, true]
        })
        .await;
        // Also when a MAC has taken the place of the slow hash.
        let of_slow = id_of(&server, "other", &format!("ext-{slow}")).await;
        let begun = format!(
            "SELECT CAST(COUNT(*) AS TEXT) FROM imported_lookups
             WHERE one = 0 AND api_key_id = '{of_slow}'"
        );
        until("the slow hash is replaced", async || {
            whose().await == [false, true] && server.place().query(&begun).await == ["0"]
        })
        .await;
        for _ in 0..3 {
            assert_eq!(whose().await, [false, true]);
        }
    }
    let place = server.stop().await;
    let server = place.start().await;
    for n in 0..2 {
        exchange(&server, &old_string(n))
            .await
            .expect(StatusCode::OK);
    }
    // It was the one's, and is the other's: no third is given it.
    let lines = [line("raw", &old_string(0)), line("sha512", &old_string(1))];
    let (_, told) = take(&server, "acme", "third.jsonl", &lines);
    assert_eq!(told.len(), 2);
}
