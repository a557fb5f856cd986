//! Tests that this machine cannot run: counted, said aloud once, and refused in CI.
//!
//! libtest hides what a passing test prints, and no code runs when a test process ends. So a small
//! shell counts: it reads a line for each test left out, and says the number when its input closes,
//! which the kernel does however the process ends.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses its own part of the support"
)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// `found`, or else the calling test is left out. To be asked once per test:
///
/// ```ignore
/// let Some(python) = or_left_out(python(), "Python", "run .ci/run once") else { return };
/// ```
#[track_caller]
pub fn or_left_out<T>(found: Option<T>, missing: &str, remedy: &str) -> Option<T> {
    if found.is_none() {
        left_out(missing, remedy);
    }
    found
}

/// Counts the calling test as left out for want of `missing`; `remedy` says what would bring it in.
///
/// At the end of the process one line on the real standard error tells how many there were.
///
/// # Panics
///
/// With `TENMINT_REQUIRE_ALL=1`, under which nothing may be left out.
#[track_caller]
pub fn left_out(missing: &str, remedy: &str) {
    assert!(
        !all_required(),
        "{missing} not found, and TENMINT_REQUIRE_ALL lets no test be left out: {remedy}"
    );
    let mut counters = COUNTERS.lock().unwrap_or_else(PoisonError::into_inner);
    let counter = counters
        .entry(missing.to_owned())
        .or_insert_with(|| counter(missing, remedy));
    let mut lines = counter.stdin.as_ref().expect("the counter reads a pipe");
    lines
        .write_all(b"one\n")
        .expect("the counter reads as long as this process lives");
}

/// Says something that was measured, also where libtest hides what a passing test prints.
pub fn say(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

fn all_required() -> bool {
    std::env::var_os("TENMINT_REQUIRE_ALL").is_some_and(|value| !value.is_empty() && value != "0")
}

/// One shell for each missing thing.
static COUNTERS: Mutex<BTreeMap<String, Child>> = Mutex::new(BTreeMap::new());

const COUNT: &str = r#"
count=0
while read -r _; do count=$((count + 1)); done
if [ "$count" -eq 1 ]; then tests=test; else tests=tests; fi
printf 'tenmint: %s not found: %s %s left out (%s)\n' "$1" "$count" "$tests" "$2" >&2
"#;

#[expect(
    clippy::disallowed_methods,
    reason = "a test process holds no root key"
)]
fn counter(missing: &str, remedy: &str) -> Child {
    Command::new("sh")
        .args(["-c", COUNT, "sh", missing, remedy])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("sh is on every Unix")
}
