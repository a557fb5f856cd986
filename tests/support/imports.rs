//! Files of API keys that another system gave out, and what becomes of them.

use std::fs;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ring::digest;
use serde_json::{Value, json};

use super::process::{Run, program};
use super::server::Place;

/// A string as platforms give them out; another for each `n`.
pub fn old_string(n: usize) -> String {
    let seed = digest::digest(&digest::SHA256, format!("old string {n}").as_bytes());
    let text = STANDARD_NO_PAD.encode(seed.as_ref());
    let random: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    // Of which the first twelve characters, and no fewer, tell it from others.
    format!("oldsk_{:06}_{}", n % 1_000_000, &random[..32])
}

/// How a string begins, where slow hashes are found by that.
pub fn prefix(text: &str) -> &str {
    &text[..12]
}

pub fn sha256(text: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, text.as_bytes())
        .as_ref()
        .to_vec()
}

pub fn hex(bytes: &[u8]) -> String {
    tenmint::domain::hex::hex(bytes)
}

pub fn bcrypt_of(text: &str) -> String {
    bcrypt::hash_with_salt(text, 4, [7; 16])
        .unwrap()
        .to_string()
}

pub fn argon2_of(text: &str) -> String {
    let params = argon2::Params::new(64, 1, 1, Some(32)).unwrap();
    let mut output = [0; 32];
    argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
        .hash_password_into(text.as_bytes(), b"somesaltsomesalt", &mut output)
        .unwrap();
    let (salt, output) = (
        STANDARD_NO_PAD.encode(b"somesaltsomesalt"),
        STANDARD_NO_PAD.encode(output),
    );
    format!("$argon2id$v=19$m=64,t=1,p=1${salt}${output}")
}

/// A line of each kind for a string, by the name of the kind.
pub fn line(kind: &str, text: &str) -> Value {
    let sha512 = digest::digest(&digest::SHA512, text.as_bytes());
    let (field, value) = match kind {
        "raw" => ("secret", json!(text)),
        "sha256" => ("hash", json!({ "sha256": hex(&sha256(text)) })),
        "sha512" => ("hash", json!({ "sha512": STANDARD.encode(sha512) })),
        "bcrypt" => ("hash", json!({ "bcrypt": bcrypt_of(text) })),
        "argon2" => ("hash", json!({ "argon2": argon2_of(text) })),
        other => panic!("no such kind: {other}"),
    };
    let mut line = json!({
        "name": format!("from {kind}"), "scopes": ["read"], "external_id": format!("ext-{kind}"),
    });
    line[field] = value;
    if matches!(kind, "bcrypt" | "argon2") {
        line["prefix"] = json!(prefix(text));
    }
    line
}

/// A file of these lines, beside the database.
pub fn file(place: &Place, name: &str, lines: &[Value]) -> PathBuf {
    let path = place.folder().join("import").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let lines: Vec<_> = lines.iter().map(Value::to_string).collect();
    fs::write(&path, lines.join("\n")).unwrap();
    path
}

/// `tenmint import` at a place, not yet begun.
pub fn command(place: &Place, organization: &str, path: &std::path::Path) -> std::process::Command {
    let (url, root) = (place.database_url(), place.root_key_file());
    let environment = [
        ("TENMINT_DATABASE_URL", &*url),
        ("TENMINT_ROOT_KEY_FILE", root.to_str().unwrap()),
    ];
    program(
        &["import", "--org", organization, path.to_str().unwrap()],
        &environment,
    )
}

/// Imports a file, to the end.
pub fn import(place: &Place, organization: &str, path: &std::path::Path) -> Run {
    tokio::task::block_in_place(|| command(place, organization, path).output().unwrap().into())
}

/// The lines of the file of refused lines: their numbers, and why.
pub fn rejects(path: &std::path::Path) -> Vec<(u64, String)> {
    let text = fs::read_to_string(format!("{}.rejects.jsonl", path.display()));
    let text = text.unwrap_or_default();
    let told = text.lines().map(|line| {
        let told: Value = serde_json::from_str(line).unwrap();
        let reason = told["reason"].as_str().unwrap().to_owned();
        (told["line"].as_u64().unwrap(), reason)
    });
    told.collect()
}
