//! The files of certificate and key: renewed while connections live, and refused when they are no
//! pair.

use std::fs;

use crate::support::process::{Process, run};
use crate::support::server::Place;
use crate::support::tls::{Authority, Files, write_key};

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_presented_and_connections_live_on() {
    let (place, authority) = (Place::sqlite(), Authority::new());
    let files = Files::new(place.folder(), &authority, &authority.issue(30));
    let (process, address) = files.serve(&place, &[]);
    let mut old = authority.connect(&address).await;
    let mut presented = vec![old.presented()];
    // At SIGHUP, then by itself.
    for (times, asked) in [(1, true), (2, false)] {
        files.hold(&authority.issue(60));
        if asked {
            process.hang_up();
        }
        process.says("another certificate is presented from now on", times);
        let mut new = authority.connect(&address).await;
        assert!(!presented.contains(&new.presented()));
        presented.push(new.presented());
        for channel in [&mut new, &mut old] {
            let answer = channel.get("/healthz").await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
    }
    assert_eq!(old.presented(), presented[0]);
    assert!(!process.log().contains("PRIVATE KEY"));
    assert!(process.stop());
}

/// Elsewhere it would end the process, and nobody would start it again: systemd takes it for an end
/// in good order.
#[test]
fn sighup_ends_no_server_that_has_no_certificate() {
    let process = Process::serve(&Place::sqlite(), &["serve"], &[]);
    process.hang_up();
    process.says("there is no certificate to read anew", 1);
    let url = format!("{}/healthz", process.base);
    assert_eq!(ureq::get(url).call().unwrap().status(), 200);
    assert!(process.stop());
}

/// What `/metrics` says of one series.
fn told(address: &str, series: &str) -> i64 {
    let url = format!("http://{address}/metrics");
    let text = ureq::get(url).call().unwrap().into_body();
    let text = text.into_reader();
    let text = std::io::read_to_string(text).unwrap();
    let line = text.lines().find(|line| {
        line.strip_prefix(series)
            .is_some_and(|rest| rest.starts_with(' '))
    });
    let line = line.unwrap_or_else(|| panic!("no {series} in\n{text}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_pair_changes_nothing_and_is_said_once() {
    const SAID: &str = "the certificate before is presented on";
    let (place, authority) = (Place::sqlite(), Authority::new());
    let first = authority.issue(30);
    let files = Files::new(place.folder(), &authority, &first);
    let metrics = [("TENMINT_METRICS_LISTEN", "127.0.0.1:0")];
    let (process, address) = files.serve(&place, &metrics);
    let log = process.log();
    let line = log.lines().find(|line| line.contains("metrics are told"));
    let line: serde_json::Value = serde_json::from_str(line.unwrap()).unwrap();
    let metrics = line["address"].as_str().unwrap().to_owned();
    let presented = authority.connect(&address).await.presented();
    assert_eq!(told(&metrics, "tenmint_tls_files_refused"), 0);
    let left = told(&metrics, "tenmint_tls_certificate_ends_seconds");
    assert!((29 * 86_400..=30 * 86_400).contains(&left), "{left}");

    let hour = time::Duration::hours(1);
    let ended = authority.issue_for("127.0.0.1", -hour * 48, -1);
    let not_yet = authority.issue_for("127.0.0.1", hour, 30);
    let other = authority.issue(30);
    let spoil: [(&str, &dyn Fn()); 6] = [
        ("does not belong to", &|| {
            fs::write(&files.certificate, &other.certificate).unwrap();
        }),
        ("holds no private key", &|| write_key(&files.key, "")),
        ("is damaged", &|| {
            write_key(&files.key, &other.key.replace('M', "?"));
        }),
        ("cannot be read", &|| {
            fs::remove_file(&files.certificate).unwrap();
        }),
        ("ended at", &|| files.hold(&ended)),
        ("begins only at", &|| files.hold(&not_yet)),
    ];
    for (count, (why, spoil)) in spoil.iter().enumerate() {
        spoil();
        process.hang_up();
        process.says(SAID, count + 1);
        assert!(process.log().contains(why), "{why}: {}", process.log());
        assert_eq!(authority.connect(&address).await.presented(), presented);
        assert_eq!(told(&metrics, "tenmint_tls_files_refused"), 1);
    }
    // Looked at again and again, the same is not said again.
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    assert_eq!(process.log().matches(SAID).count(), spoil.len());

    files.hold(&other);
    process.says("another certificate is presented from now on", 1);
    assert_ne!(authority.connect(&address).await.presented(), presented);
    assert_eq!(told(&metrics, "tenmint_tls_files_refused"), 0);
    let completed = told(
        &metrics,
        "tenmint_tls_handshakes_total{outcome=\"completed\"}",
    );
    assert!(completed >= 8, "{completed}");
    for pair in [&first, &other, &ended] {
        let body = pair.key.lines().nth(1).unwrap();
        assert!(!process.log().contains(body));
    }
    assert!(process.stop());
}

#[test]
fn what_cannot_be_presented_is_refused_at_the_start_and_makes_nothing() {
    let (place, authority) = (Place::sqlite(), Authority::new());
    let folder = place.folder();
    let pair = authority.issue(30);
    let files = Files::new(folder, &authority, &pair);
    let (certificate, key) = (
        files.certificate.to_str().unwrap(),
        files.key.to_str().unwrap(),
    );
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        write_key(&path, text);
        path.to_str().unwrap().to_owned()
    };
    let other = write("other.key", &authority.issue(30).key);
    let empty = write("empty.pem", "");
    let body = pair.key.lines().nth(1).unwrap();
    let encrypted = |label: &str, header: &str| {
        format!("-----BEGIN {label}-----\n{header}{body}\n-----END {label}-----\n")
    };
    let pkcs8 = write("8.key", &encrypted("ENCRYPTED PRIVATE KEY", ""));
    let old = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n";
    let old = write("old.key", &encrypted("EC PRIVATE KEY", old));
    let junk = write("junk.key", &encrypted("PRIVATE KEY", ""));
    let no_certificate = write("no.crt", &encrypted("CERTIFICATE", ""));
    let root = folder.to_str().unwrap();
    let (url, root_key) = (place.database_url(), place.root_key_file());
    for (certificate, key, more, why) in [
        (Some(certificate), None, None, "TLS_KEY_FILE is missing"),
        (None, Some(key), None, "TLS_CERT_FILE is missing"),
        (
            Some("nowhere.crt"),
            Some(key),
            None,
            "nowhere.crt cannot be read",
        ),
        (
            Some(certificate),
            Some("nowhere.key"),
            None,
            "nowhere.key cannot be read",
        ),
        (Some(root), Some(key), None, "cannot be read"),
        (Some(&*empty), Some(key), None, "holds no certificate"),
        (Some(key), Some(key), None, "holds no certificate"),
        (Some(&*no_certificate), Some(key), None, "cannot be used"),
        (
            Some(certificate),
            Some(&*empty),
            None,
            "holds no private key",
        ),
        (
            Some(certificate),
            Some(certificate),
            None,
            "holds no private key",
        ),
        (Some(certificate), Some(&*pkcs8), None, "is encrypted"),
        (Some(certificate), Some(&*old), None, "is encrypted"),
        (Some(certificate), Some(&*junk), None, "cannot be used"),
        (Some(certificate), Some(&*other), None, "does not belong to"),
        (
            Some(certificate),
            Some(key),
            Some("http://127.0.0.1:1"),
            "ISSUER is plain http",
        ),
    ] {
        let mut environment = vec![
            ("TENMINT_DATABASE_URL", &*url),
            ("TENMINT_ROOT_KEY_FILE", root_key.to_str().unwrap()),
            ("TENMINT_LISTEN", "127.0.0.1:0"),
        ];
        environment.extend(certificate.map(|path| ("TENMINT_TLS_CERT_FILE", path)));
        environment.extend(key.map(|path| ("TENMINT_TLS_KEY_FILE", path)));
        environment.extend(more.map(|issuer| ("TENMINT_ISSUER", issuer)));
        let refused = run(&["serve"], &environment);
        assert_eq!(refused.code, Some(1), "{why}: {}", refused.err);
        assert!(refused.err.contains(why), "{why}: {}", refused.err);
        assert!(!refused.err.contains(body), "{why}");
        assert!(!root_key.exists(), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_sees_the_end_the_name_and_who_can_read_the_key() {
    let (place, authority) = (Place::sqlite(), Authority::new());
    let files = Files::new(place.folder(), &authority, &authority.issue(90));
    let (process, address) = files.serve(&place, &[]);
    let (url, root) = (place.database_url(), place.root_key_file());
    let base = format!("https://{address}");
    let doctor = || {
        let environment = [
            ("TENMINT_DATABASE_URL", &*url),
            ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
            ("TENMINT_ISSUER", &*base),
            ("TENMINT_TLS_CERT_FILE", files.certificate.to_str().unwrap()),
            ("TENMINT_TLS_KEY_FILE", files.key.to_str().unwrap()),
            ("TENMINT_CA_FILE", files.authority.to_str().unwrap()),
        ];
        run(&["doctor"], &environment)
    };
    // Looked for in lines, whose blanks depend on what else there is.
    let finds = |verdict: &str, text: &str| {
        let out = doctor().out;
        let found = out
            .lines()
            .any(|line| line.starts_with(verdict) && line.contains(text));
        assert!(found, "{verdict} {text}:\n{out}");
    };
    finds("ok", "it ends at");
    finds("ok", "tls.key is not for everybody");
    finds("ok", &format!("the server at {base} says that it is"));
    finds("ok", "networks are trusted");
    let all = doctor();
    assert!(!all.out.contains("certificate name"), "{}", all.out);

    // Five days are many for one that lives for so long, and few for another.
    files.hold(&authority.issue(5));
    finds("ok", "it ends at");
    let hour = time::Duration::hours(1);
    files.hold(&authority.issue_for("127.0.0.1", -hour * 24 * 85, 5));
    finds("warning", "renew it");
    files.hold(&authority.issue_for("127.0.0.1", -hour * 48, -1));
    finds("problem", "renew it");
    files.hold(&authority.issue_for("127.0.0.1", hour, 30));
    finds("problem", "begins only at");
    files.hold(&authority.issue_for("other.example", -hour, 30));
    finds("warning", "it is not for 127.0.0.1");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).unwrap();
        finds("problem", "open to every account (mode 644)");
    }
    assert!(process.stop());
}
