//! A restore that is killed at any instant leaves the old database or the new one, never half.

use std::fs;

use reqwest::StatusCode;

use crate::support::operations::{at, backup, database, does, files, lose, tells};
use crate::support::process::{Process, program};
use crate::support::server::{Key, Place, Server};

/// How a server at the place answers these keys.
async fn answers(place: &Place, keys: &[&Key]) -> Vec<StatusCode> {
    let server = Process::serve(place, &["serve"], &[]);
    let client = reqwest::Client::new();
    let mut answers = Vec::new();
    for key in keys {
        let request = client.post(format!("{}/oauth/token", server.base));
        let request = request.basic_auth(&key.id, Some(&key.secret));
        let form = [("grant_type", "client_credentials")];
        answers.push(request.form(&form).send().await.unwrap().status());
    }
    assert!(server.stop());
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_killed_at_any_instant_leaves_the_old_or_the_new() {
    let server = Server::on_sqlite().await;
    let acme = server.organization("acme").await;
    let kept = server.key_with(&acme, &["read"]).await;
    let file = tokio::task::block_in_place(|| backup(server.place(), "b.db"));
    // In the old database alone: after the restore, this key is lost.
    let newer = server.key_with(&acme, &["read"]).await;
    let place = server.stop().await;
    let old: Vec<_> = ["tenmint.db", "tenmint.db.mark"]
        .map(|name| (name, fs::read(place.folder().join(name)).unwrap()))
        .into();
    let put_back = || {
        for name in files(place.folder()) {
            if name.starts_with("tenmint.db") {
                fs::remove_file(place.folder().join(name)).unwrap();
            }
        }
        for (name, content) in &old {
            fs::write(place.folder().join(name), content).unwrap();
        }
    };
    let arguments = ["restore", &file, "--replace"];
    // How long it takes when nobody kills it.
    let began = std::time::Instant::now();
    does(&place, &arguments);
    let whole = began.elapsed();
    put_back();

    let (url, root) = (place.database_url(), place.root_key_file());
    let environment = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
    ];
    let (mut olds, mut news) = (0, 0);
    let rounds: u32 = 24;
    for round in 0..rounds {
        let mut child = program(&arguments, &environment).spawn().unwrap();
        // Most of the instants lie where files change their names, near the end.
        let part = f64::from(round) / f64::from(rounds);
        std::thread::sleep(whole.mul_f64(0.5 + part * 0.6));
        child.kill().unwrap();
        child.wait().unwrap();
        let found = answers(&place, &[&kept, &newer]).await;
        match found[..] {
            [StatusCode::OK, StatusCode::OK] => olds += 1,
            [StatusCode::OK, StatusCode::UNAUTHORIZED] => news += 1,
            _ => panic!("round {round}: {found:?}"),
        }
        assert!(does(&place, &["audit", "verify"]).contains("acme: verified"));
        put_back();
    }
    assert!(olds > 0, "{olds} old, {news} new");

    // What a killed one left behind is in nobody's way.
    for leftover in [
        "tenmint.db.restoring",
        "tenmint.db.restoring-wal",
        "tenmint.db.reading",
    ] {
        fs::write(at(&place, leftover), "half").unwrap();
    }
    let told = tells(&place, &arguments);
    assert_eq!(told["organizations"][0]["lost_keys"][0]["id"], newer.id);
    let left = files(place.folder());
    assert!(
        !left.iter().any(|name| name.contains("restoring")),
        "{left:?}"
    );
    let found = answers(&place, &[&kept, &newer]).await;
    assert_eq!(found, [StatusCode::OK, StatusCode::UNAUTHORIZED]);
    assert!(database(&place).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_files_is_restored_with_what_its_log_holds() {
    let place = Place::sqlite();
    let server = Process::serve(&place, &["serve"], &[]);
    let made = does(&place, &["operator-key", "--quiet", "--name", "late"]);
    // Killed, it leaves the key in the write-ahead log.
    server.kill();
    let copy = place.folder().join("copy");
    fs::create_dir(&copy).unwrap();
    for name in ["tenmint.db", "tenmint.db-wal"] {
        fs::copy(place.folder().join(name), copy.join(name)).unwrap();
    }
    lose(&place);
    let file = copy.join("tenmint.db");
    let all = ["restore", file.to_str().unwrap(), "--accept-resurrected"];
    does(&place, &all);
    let server = Process::serve(&place, &["serve"], &[]);
    let request = reqwest::Client::new().get(format!("{}/v1/organizations", server.base));
    let reply = request.bearer_auth(made.trim()).send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::OK);
    assert!(server.stop());
}
