//! The files in deploy/ fit the program and each other: settings, the unit, who stands where in
//! compose.yaml, what an image is built from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::gateways::{command, found};
use crate::support::process::Process;
use crate::support::server::Place;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Settings of where things are, which are elsewhere in a test.
const PLACES: [&str; 4] = [
    "TENMINT_DATABASE_URL",
    "TENMINT_ROOT_KEY_FILE",
    "TENMINT_LISTEN",
    "TENMINT_METRICS_LISTEN",
];

#[test]
fn what_is_deployed_is_configured_by_settings_that_there_are() {
    let known = names_in(&read("docs/configuration.md"));
    let mut seen = 0;
    for file in fs::read_dir(Path::new(ROOT).join("deploy")).unwrap() {
        let path = file.unwrap().path();
        let used = names_in(&fs::read_to_string(&path).unwrap());
        seen += used.len();
        let unknown: Vec<_> = used.difference(&known).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", path.display());
    }
    assert!(seen > 8, "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_starts_with_the_settings_that_are_deployed() {
    for name in ["tenmint.env", "Containerfile", "compose.yaml"] {
        let file = read(&format!("deploy/{name}"));
        let mut set = values_in(&file);
        set.retain(|name, _| !PLACES.contains(name));
        // The image has none of its own.
        set.entry("TENMINT_ISSUER")
            .or_insert("https://auth.example.com");
        let environment: Vec<_> = set.into_iter().collect();
        let place = Place::sqlite();
        let process =
            tokio::task::block_in_place(|| Process::serve(&place, &["serve"], &environment));
        assert!(process.stop(), "{name}");
    }
}

#[test]
fn systemd_understands_the_unit_and_finds_it_confined() {
    let Some(analyze) = found("systemd-analyze") else {
        return;
    };
    let program = "ExecStart=/usr/local/bin/tenmint ";
    let unit = read("deploy/tenmint.service");
    assert!(unit.contains(program));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tenmint.service");
    let here = format!("ExecStart={} ", env!("CARGO_BIN_EXE_tenmint"));
    fs::write(&path, unit.replace(program, &here)).unwrap();
    let ask = |arguments: &[&str]| {
        let done = command(&analyze).args(arguments).arg(&path).output();
        let done = done.unwrap();
        let said = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
        assert!(done.status.success(), "{arguments:?}: {said}");
        said
    };
    // It looks at what the unit names too, which is not ours.
    let said = ask(&["verify"]);
    let of_it: Vec<_> = said
        .lines()
        .filter(|line| line.contains("tenmint"))
        .collect();
    assert!(of_it.is_empty(), "{of_it:#?}");
    // In tenths; what is above it is an error.
    ask(&["security", "--offline=true", "--threshold=15"]);
}

/// What it makes of nginx.conf has every node and no place of this machine, and what it trusts is
/// nginx.
#[test]
fn compose_puts_everybody_where_others_look_for_them() {
    let compose = read("deploy/compose.yaml");
    let mut made = read("deploy/nginx.conf");
    let edits: Vec<_> = compose.split("-e 's/").skip(1).collect();
    for edit in &edits {
        let mut parts = edit.split('/');
        let (from, to) = (parts.next().unwrap(), parts.next().unwrap());
        assert!(made.contains(from), "nginx.conf has no {from}");
        // As sed does it: the first of each line.
        let lines = made.lines().map(|line| line.replacen(from, to, 1));
        made = lines.collect::<Vec<_>>().join("\n");
    }
    assert_eq!(edits.len(), 3);
    assert!(!made.contains("127.0.0.1"), "{made}");
    let address = |service: &str| {
        let from = compose.split(&format!("\n  {service}:\n")).nth(1).unwrap();
        let from = from.split("ipv4_address: ").nth(1).unwrap();
        from.split('}').next().unwrap()
    };
    for node in ["node1", "node2"] {
        let server = format!("server {}:8080 ", address(node));
        assert_eq!(made.matches(&server).count(), 2, "{server}");
    }
    let trusted = format!("TENMINT_TRUSTED_PROXIES: {}\n", address("nginx"));
    assert!(compose.contains(&trusted));
}

/// What cargo looks for, and what sources include, is let through; what is secret is not.
#[test]
fn an_image_is_built_from_the_sources_and_nothing_else() {
    let ignored = read(".dockerignore");
    let mut lines = ignored.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"));
    let let_in: BTreeSet<_> = lines.filter_map(|line| line.strip_prefix('!')).collect();
    for name in ["keys", "data", "target", ".git", "deploy"] {
        assert!(!let_in.contains(name), "{name}");
    }
    let mut wanted: BTreeSet<String> = ["Cargo.toml", "Cargo.lock", "migrations", "src"]
        .map(str::to_owned)
        .into();
    let manifest = read("Cargo.toml");
    for (kind, folder) in [
        ("[[test]]", "tests"),
        ("[[bench]]", "benches"),
        ("[[example]]", "examples"),
    ] {
        if manifest.contains(kind) {
            wanted.insert(folder.to_owned());
        }
    }
    for part in ["src", "migrations"] {
        wanted.extend(included_by(&Path::new(ROOT).join(part)));
    }
    let missing: Vec<_> = wanted
        .iter()
        .filter(|name| !let_in.contains(name.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    let container = read("deploy/Containerfile");
    // Of one Debian: what is built against a newer C library does not run on an older one.
    let stages: Vec<_> = container
        .lines()
        .filter_map(|line| line.strip_prefix("FROM "))
        .collect();
    assert_eq!(stages.len(), 2);
    assert!(stages.iter().all(|stage| stage.contains("bookworm")));
    assert!(container.contains("\nUSER 65532:65532\n"));
}

/// The top folders that sources take files from, leaving out what only their tests take.
fn included_by(folder: &Path) -> BTreeSet<String> {
    let mut tops = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tops.extend(included_by(&path));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let shipped = text.split("#[cfg(test)]").next().unwrap();
        if path.file_name().is_some_and(|name| name == "tests.rs") {
            continue;
        }
        for macros in ["include_str!(\"", "include_bytes!(\"", "migrate!(\""] {
            for rest in shipped.split(macros).skip(1) {
                let named = rest.split('"').next().unwrap();
                let base = if macros.starts_with("migrate") {
                    Path::new(ROOT)
                } else {
                    path.parent().unwrap()
                };
                let file = base.join(named).canonicalize().unwrap();
                let root = Path::new(ROOT).canonicalize().unwrap();
                let inside = file.strip_prefix(root).unwrap();
                let top = inside.iter().next().unwrap();
                tops.insert(top.to_str().unwrap().to_owned());
            }
        }
    }
    tops
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

fn names_in(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c| !word(c));
    let names = words.filter(|word| word.starts_with("TENMINT_"));
    names.map(str::to_owned).collect()
}

/// What each setting is set to: `NAME=value` or `NAME: value`, outside comments.
fn values_in(text: &str) -> BTreeMap<&str, &str> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.starts_with('#'));
    let set = lines.filter_map(|line| {
        let from = &line[line.find("TENMINT_")?..];
        let (name, value) = from.split_once('=').or_else(|| from.split_once(": "))?;
        Some((name, value.trim_end_matches(" \\")))
    });
    set.filter(|(name, _)| !name.contains([':', ' '])).collect()
}
