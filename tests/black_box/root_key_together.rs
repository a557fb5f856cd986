//! A root key given up by two commands at once, and beside a server that says so in its log.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::on_both_engines;
use crate::support::many_keys;
use crate::support::operations::does;
use crate::support::process::{Process, Run, program};
use crate::support::root_keys::{current, described, done, followed, in_file, until, use_up};
use crate::support::server::{Key, Place, Server};

on_both_engines!(two_who_give_a_root_key_up_at_once_each_say_what_they_did);

const ORGANIZATIONS: [&str; 3] = ["acme", "umbrella", "initech"];

/// In each organization; of ten, one was revoked before.
const KEYS: u32 = 400;

fn block<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// How many API keys a command says that it ended itself, of all that ended.
fn own_share(run: &Run, all: u64) -> u64 {
    let said = format!("{all} API keys ended with it, and are revoked (root_key_dropped)");
    let (_, rest) = run.err.split_once(&said).unwrap_or_else(|| {
        panic!("{said}: {}", run.err);
    });
    if rest.starts_with(':') {
        return all;
    }
    let share = rest.strip_prefix(", ").unwrap();
    let (share, _) = share.split_once(" of them by this command:").unwrap();
    share.parse().unwrap_or(0)
}

async fn two_who_give_a_root_key_up_at_once_each_say_what_they_did(server: Server) {
    let place = server.place();
    let mut used = vec![server.operator_key()];
    for (n, id) in (0..).zip(ORGANIZATIONS) {
        used.push(server.organization(id).await);
        many_keys::add(place, id, n * KEYS, KEYS).await;
    }
    // One that lives on with the newer of its two secrets.
    let lasting = server.key_with(&used[1], &["read"]).await;
    let path = format!("/v1/api-keys/{}/rotate", lasting.id);
    let body = json!({ "overlap_seconds": 3600 });
    let rotated = server
        .call(&used[1].secret, Method::POST, &path, body)
        .await;
    used.push(Key::of(&rotated.expect(StatusCode::OK).body));
    let old = block(|| current(place));
    block(|| done(place, &["rotate"]));
    followed(&server).await;
    for key in &used {
        server.exchange(key, &[]).await.expect(StatusCode::OK);
    }
    use_up(&server, &[&used[0], &used[1], &used[2], &used[3]]).await;
    let two_secrets = format!(
        "SELECT CAST(COUNT(*) AS TEXT) FROM api_key_secrets
         WHERE api_key_id = '{}' AND root_key = '{old}'",
        lasting.id
    );
    until("its newer secret is freed", async || {
        place.query(&two_secrets).await == ["1"]
    })
    .await;
    let adopt = format!("UPDATE api_key_secrets SET root_key = '{old}' WHERE root_key = 'r'");
    place.execute(&adopt).await;
    let ending = u64::from(KEYS / 10 * 9) * ORGANIZATIONS.len() as u64;

    let runs = block(|| two_at_once(place, &["root-key", "drop", &old, "--yes", "--force"]));
    for run in &runs {
        assert!(run.success, "{}", run.err);
        assert!(!run.err.contains("became current"), "{}", run.err);
    }
    let shares = runs.iter().map(|run| own_share(run, ending));
    assert_eq!(shares.sum::<u64>(), ending, "each is told of by one");
    let told = |what: &str| runs.iter().filter(|run| run.err.contains(what)).count();
    assert_eq!(told("was given up before"), 1);
    assert_eq!(told(&format!("{} of acme: the secret", lasting.id)), 1);
    let count = async |what: &str| {
        let counted = format!("SELECT CAST(COUNT(*) AS TEXT) FROM audit_events WHERE {what}");
        place.query(&counted).await[0].clone()
    };
    let revoked = count("action = 'api_key.revoke'").await;
    assert_eq!(revoked, ending.to_string());
    assert_eq!(count("action = 'root_key.drop'").await, "1");
    assert_eq!(block(|| described(place, &old))["state"], "dropped");
    assert_eq!(in_file(place).len(), 1);
    followed(&server).await;
    for key in &used {
        server.exchange(key, &[]).await.expect(StatusCode::OK);
    }
}

fn two_at_once(place: &Place, command: &[&str]) -> [Run; 2] {
    let (url, root) = (place.database_url(), place.root_key_file());
    let environment = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
    ];
    let begun = [(), ()].map(|()| program(command, &environment).spawn().unwrap());
    begun.map(|child| child.wait_with_output().unwrap().into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_says_which_root_key_was_given_up_and_how_many_keys_ended_with_it() {
    let place = Place::sqlite();
    let environment = [("TENMINT_LOG_FORMAT", "text")];
    let server = block(|| Process::serve(&place, &["serve"], &environment));
    block(|| does(&place, &["operator-key", "--quiet"]));
    let first = block(|| current(&place));
    block(|| done(&place, &["rotate"]));
    block(|| done(&place, &["drop", &first, "--yes", "--force"]));
    // Nothing needs the next, since no key is left.
    let second = block(|| current(&place));
    block(|| done(&place, &["rotate"]));
    block(|| done(&place, &["drop", &second, "--yes"]));
    block(|| server.says(&second, 2));
    let log = server.log();
    let line = |root_key: &str| -> String {
        let mut lines = log.lines();
        let found = lines.find(|line| line.contains("given up") && line.contains(root_key));
        found.unwrap_or_else(|| panic!("{log}")).to_owned()
    };
    let forced = line(&first);
    assert!(
        forced.contains("WARN") && forced.contains("by force"),
        "{forced}"
    );
    assert!(forced.contains("api_keys_revoked=1"), "{forced}");
    assert!(line(&second).contains("INFO"), "{}", line(&second));
    assert_eq!(
        log.matches("given up").count(),
        2,
        "each is told once: {log}"
    );
    assert!(block(|| server.stop()));
}
