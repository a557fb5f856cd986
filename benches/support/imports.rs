//! Files of API keys that another system gave out, and `tenmint import` of them in a process of its
//! own, watched until it ends.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::alphabet::BCRYPT;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{NO_PAD, STANDARD_NO_PAD};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::support::Failure;
use crate::support::child::Place;
use crate::support::process::{Used, peak, used};
use crate::support::requests::ORGANIZATION;

/// What a platform may have kept of the strings that it gave out.
pub const KINDS: [&str; 5] = ["secret", "sha256", "sha512", "bcrypt", "argon2"];

/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// What came of an import.
pub struct Imported {
    /// How long it ran, its start included.
    pub took: Duration,
    /// What of a processor it used, if the system tells.
    pub used: Option<Duration>,
    /// The most memory it had, in KiB, if the system tells.
    pub peak: Option<u64>,
    /// What it said last.
    said: String,
}

/// Writes a file of `count` keys, whose numbers begin with `first`.
pub fn file(folder: &Path, kind: &str, first: u64, count: u64) -> Result<PathBuf, Failure> {
    let path = folder.join(format!("{kind}-{first}.jsonl"));
    let mut file = BufWriter::new(File::create(&path)?);
    for number in first..first + count {
        writeln!(file, "{}", line(kind, number))?;
    }
    file.flush()?;
    Ok(path)
}

/// A key as a platform exports it: no hash is of any string that somebody could know.
fn line(kind: &str, number: u64) -> Value {
    let bytes = digest(&SHA256, format!("{kind} {number}").as_bytes());
    let bytes = bytes.as_ref();
    let begin = format!("sk_live_{number:010}");
    let (field, value) = match kind {
        "secret" => {
            let rest = u128::from_be_bytes(*bytes.first_chunk().expect("16 of 32 bytes"));
            ("secret", json!(format!("{begin}{rest:032x}")))
        }
        "sha256" => {
            let text = STANDARD_NO_PAD.encode(bytes);
            ("hash", json!({ "sha256": format!("{text}=") }))
        }
        "sha512" => {
            let text = STANDARD_NO_PAD.encode([bytes, bytes].concat());
            ("hash", json!({ "sha512": format!("{text}==") }))
        }
        "bcrypt" => {
            let radix = GeneralPurpose::new(&BCRYPT, NO_PAD);
            let (salt, hash) = (radix.encode(&bytes[..16]), radix.encode(&bytes[..23]));
            ("hash", json!({ "bcrypt": format!("$2b$10${salt}{hash}") }))
        }
        _ => {
            let salt = STANDARD_NO_PAD.encode(&bytes[..16]);
            let hash = STANDARD_NO_PAD.encode(bytes);
            let text = format!("$argon2id$v=19$m=19456,t=2,p=1${salt}${hash}");
            ("hash", json!({ "argon2": text }))
        }
    };
    let mut line = json!({
        "name": "billing", "scopes": ["read:invoices/**", "write:invoices/*"],
        "external_id": format!("cust-{number}"), "metadata": { "plan": "pro" },
    });
    line[field] = value;
    if matches!(kind, "bcrypt" | "argon2") {
        line["prefix"] = json!(begin);
    }
    line
}

impl Imported {
    /// Imports a file at a place where nothing else runs; kills it after `at_most`, if that is given.
    #[expect(
        clippy::disallowed_methods,
        reason = "the child inherits no variable at all"
    )]
    pub fn of(place: &Place<'_>, file: &Path, at_most: Option<Duration>) -> Result<Self, Failure> {
        let log = place.folder.join("import.log");
        let began = Instant::now();
        let mut process = Command::new(env!("CARGO_BIN_EXE_tenmint"))
            .args(["import", "--org", ORGANIZATION])
            .arg(file)
            .env_clear()
            .env("TENMINT_ROOT_KEY_FILE", place.folder.join("root.key"))
            .env("TENMINT_DATABASE_URL", place.url())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()?;
        let (mut most, mut last) = (None, Used::default());
        let status = loop {
            if let Some(status) = process.try_wait()? {
                break Some(status);
            }
            if at_most.is_some_and(|most| began.elapsed() >= most) {
                process.kill()?;
                process.wait()?;
                break None;
            }
            most = peak(process.id()).or(most);
            let now = used(process.id());
            if now.since(&Used::default()) > last.since(&Used::default()) {
                last = now;
            }
            thread::sleep(LOOK);
        };
        let took = began.elapsed();
        let said = fs::read_to_string(&log)?;
        if status.is_some_and(|status| !status.success()) {
            return Err(format!("an import failed:\n{said}").into());
        }
        Ok(Self {
            took,
            used: last.since(&Used::default()),
            peak: most,
            said,
        })
    }

    /// Requires that so many keys are imported by now, and nothing was refused.
    pub fn require(self, count: u64) -> Result<Self, Failure> {
        let expected = format!("{count} keys imported, 0 lines refused");
        if self.said.contains(&expected) {
            return Ok(self);
        }
        Err(format!("not {expected}:\n{}", self.said).into())
    }

    /// Behind which line it went on, if it was begun before.
    pub fn went_on_behind(&self) -> Option<u64> {
        let said = self.said.lines();
        let mut lines = said.filter_map(|line| line.strip_prefix("goes on behind line "));
        lines.next()?.parse().ok()
    }
}
