//! The house keeps its rooms: who may use whom, read from every path in `src/`.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what fails here fails a test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const BELOW: &[&str] = &["domain", "clock", "crypto", "store", "telemetry"];

/// Each room, and the rooms it may use beside itself.
fn rules() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let with = |more: &[&'static str]| [BELOW, more].concat().into_iter().collect();
    let only = |rooms: &[&'static str]| rooms.iter().copied().collect();
    BTreeMap::from([
        ("domain", only(&[])),
        ("telemetry", only(&[])),
        ("clock", only(&["domain"])),
        ("crypto", only(&["domain", "telemetry"])),
        ("store", only(&["domain", "telemetry"])),
        ("settings", only(&["domain", "crypto", "store"])),
        ("usage", only(&["domain", "clock", "store", "telemetry"])),
        ("credentials", with(&["usage"])),
        ("issue", with(&["usage", "credentials"])),
        ("check", with(&["usage", "credentials"])),
        ("gateway", with(&["usage", "credentials", "issue", "check"])),
        ("feed", with(&["usage", "credentials"])),
        ("manage", with(&["usage", "credentials"])),
        ("jobs", with(&["usage", "credentials", "manage"])),
        (
            "app",
            with(&[
                "usage",
                "credentials",
                "issue",
                "check",
                "gateway",
                "feed",
                "manage",
                "jobs",
                "settings",
            ]),
        ),
        (
            "http",
            only(&[
                "app",
                "issue",
                "check",
                "gateway",
                "feed",
                "manage",
                "credentials",
                "domain",
                "clock",
                "telemetry",
            ]),
        ),
        (
            "serve",
            only(&["http", "app", "settings", "domain", "clock"]),
        ),
        (
            "cli",
            with(&[
                "usage",
                "credentials",
                "issue",
                "check",
                "gateway",
                "feed",
                "manage",
                "jobs",
                "app",
                "settings",
                "http",
                "serve",
            ]),
        ),
        ("verifier", only(&["domain", "clock", "crypto"])),
    ])
}

#[test]
fn every_room_uses_only_the_rooms_it_may() {
    let rules = rules();
    let mut faults = Vec::new();
    for (room, file) in files() {
        let Some(allowed) = rules.get(room.as_str()) else {
            assert!(
                matches!(room.as_str(), "lib" | "main"),
                "no rule for the room {room}"
            );
            continue;
        };
        for used in rooms_used(&fs::read_to_string(&file).unwrap()) {
            if used != room && !allowed.contains(used.as_str()) {
                faults.push(format!("{} uses {used}", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What it takes of `crypto` is what it has when it is built alone.
#[test]
fn the_verifier_uses_of_crypto_the_jose_part_alone() {
    let files = files().into_iter().filter(|(room, _)| room == "verifier");
    for (_, file) in files {
        let text = fs::read_to_string(&file).unwrap();
        let used = text.matches("crate::crypto").count();
        let of_jose = text.matches("crate::crypto::jose::").count();
        assert_eq!(used, of_jose, "{}", file.display());
    }
}

#[test]
fn every_file_says_its_job_in_its_first_line() {
    for (_, file) in files() {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{}", file.display());
    }
}

#[test]
fn the_reader_of_paths_sees_through_every_form() {
    let seen = |text: &str| rooms_used(text).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(seen("use crate::store::Store;"), "store");
    assert_eq!(seen("let x = crate :: app :: App::open();"), "app");
    assert_eq!(
        seen("use crate::{\n  domain::{scope::Scope, secret},\n  http as h, self,\n};"),
        "domain http"
    );
    assert_eq!(seen("$crate::store::engine::sql!()"), "store");
    assert_eq!(seen("mycrate::store::x; crate_::store"), "");
    assert_eq!(seen("pub(in crate::store) fn x()"), "store");
}

/// Every source file, with its room: the first part of its module path.
fn files() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let inside = path.strip_prefix(&root).unwrap().with_extension("");
                let room = inside.iter().next().unwrap().to_str().unwrap().to_owned();
                // From a room's own file, `super` is the crate itself.
                let text = fs::read_to_string(&path).unwrap();
                let at_top = inside.iter().count() == 1;
                assert!(
                    !at_top || !text_has_super(&text),
                    "{} reaches by super",
                    path.display()
                );
                found.push((room, path));
            }
        }
    }
    assert!(found.len() > 50, "the sources were found");
    found
}

/// `super::` outside an inner module such as `mod tests`, which is indented.
fn text_has_super(text: &str) -> bool {
    text.lines()
        .any(|line| line.contains("super::") && !line.starts_with([' ', '\t']))
}

/// The rooms named behind `crate::`, in plain paths and in nested lists.
fn rooms_used(text: &str) -> BTreeSet<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let squeezed = code.replace(" :: ", "::");
    let mut rooms = BTreeSet::new();
    for (at, _) in squeezed.match_indices("crate::") {
        let before = squeezed[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &squeezed[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => rooms.extend(heads(list)),
            None => rooms.extend(word(rest)),
        }
    }
    rooms.remove("self");
    rooms
}

/// The first word of each item of a braced list, however deep the items nest.
fn heads(list: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let (mut depth, mut at_head) = (0, true);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_head = true,
            _ if at_head && !c.is_whitespace() => {
                heads.extend(word(&list[at..]));
                at_head = false;
            }
            _ => {}
        }
    }
    heads
}

fn word(text: &str) -> Option<String> {
    let word: String = text
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    (!word.is_empty()).then_some(word)
}
