//! `tenmint import`: how many keys a second, of whatever a platform kept of their strings, into either
//! engine; what bounds it; how much memory it takes; what it costs to be killed half way.
//!
//! `cargo bench --bench import`; with `-- --quick` a try of some seconds, with `-- --million` a million
//! keys into each engine and nothing else. `docs/performance.md` explains the numbers.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench prints what it found"
)]

// For this bench alone: others are built without the program that it runs.
#[path = "support/imports.rs"]
mod imports;
mod support;

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use imports::{Imported, KINDS, file};
use support::child::{Child, Place};
use support::requests::Operator;
use support::spread::millis;
use support::{Failure, bench, postgres};

/// In how many parts a large table is imported, so that it shows whether later ones take longer.
const PARTS: u64 = 10;

/// How much of everything is done.
struct Plan {
    /// Keys of each kind.
    each: u64,
    /// Keys of a large table.
    many: u64,
}

const WHOLE: Plan = Plan {
    each: 40_000,
    many: 200_000,
};

const QUICK: Plan = Plan {
    each: 500,
    many: 2_000,
};

fn main() -> ExitCode {
    bench(async |asked| match () {
        () if asked.has("--million") => on_both(None, 1_000_000).await,
        () if asked.is_quick() => on_both(Some(QUICK.each), QUICK.many).await,
        () => on_both(Some(WHOLE.each), WHOLE.many).await,
    })
}

async fn on_both(each: Option<u64>, many: u64) -> Result<(), Failure> {
    measure("SQLite", None, each, many).await?;
    if let Some(database) = postgres::fresh_database() {
        measure("PostgreSQL", Some(database.url()), each, many).await?;
    }
    Ok(())
}

async fn measure(
    engine: &str,
    url: Option<&str>,
    each: Option<u64>,
    many: u64,
) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let place = Place {
        folder: folder.path(),
        database_url: url,
        settings: &[],
    };
    // A deployment, and an organization in it; then nothing runs beside the import.
    let mut server = Child::start("tenmint", &place, &[])?;
    drop(Operator::of(&mut server).await?);
    server.stop()?;
    if let Some(each) = each {
        kinds(engine, &place, each)?;
        killed(engine, &place, each)?;
    }
    large(engine, &place, many)
}

/// The same number of each kind, one after the other into the same database.
fn kinds(engine: &str, place: &Place<'_>, count: u64) -> Result<(), Failure> {
    println!("\n{count} keys of each kind, {engine}");
    header();
    for kind in KINDS {
        let path = file(place.folder, kind, 0, count)?;
        let imported = Imported::of(place, &path, None)?.require(count)?;
        show(kind, count, &imported);
        fs::remove_file(path)?;
    }
    Ok(())
}

/// An import that is killed half way, and the one that goes on where it was.
fn killed(engine: &str, place: &Place<'_>, count: u64) -> Result<(), Failure> {
    let whole = file(place.folder, "sha256", 1_000_000_000, count)?;
    let undisturbed = Imported::of(place, &whole, None)?.require(count)?;
    let path = file(place.folder, "sha256", 2_000_000_000, count)?;
    let first = Imported::of(place, &path, Some(undisturbed.took / 2))?;
    let second = Imported::of(place, &path, None)?.require(count)?;
    println!("\n{count} keys, killed half way and begun again, {engine}");
    println!("undisturbed                  {}", millis(undisturbed.took));
    println!("killed after                 {}", millis(first.took));
    println!("begun again                  {}", millis(second.took));
    println!(
        "went on behind line          {:>8}",
        second.went_on_behind().unwrap_or_default()
    );
    // To its end: nothing is imported any more.
    let again = Imported::of(place, &path, None)?;
    println!("and once more, in vain       {}", millis(again.took));
    for path in [whole, path] {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// A large table in parts, one after the other.
fn large(engine: &str, place: &Place<'_>, count: u64) -> Result<(), Failure> {
    let part = count / PARTS;
    println!("\n{count} keys by SHA-256 in {PARTS} parts, {engine}");
    header();
    let mut took = Duration::ZERO;
    for number in 0..PARTS {
        let path = file(place.folder, "sha256", 3_000_000_000 + number * part, part)?;
        let imported = Imported::of(place, &path, None)?.require(part)?;
        took += imported.took;
        show(&format!("part {}", number + 1), part, &imported);
        fs::remove_file(path)?;
    }
    println!(
        "all of them in {:.1} s: {:.0} rows a second; a million at that rate in {:.0} s",
        took.as_secs_f64(),
        rate(count, took),
        1_000_000.0 / rate(count, took)
    );
    Ok(())
}

fn header() {
    println!(
        "{:12} {:>10} {:>10} {:>12} {:>10}",
        "", "rows/s", "CPU us/row", "CPU of time", "peak MiB"
    );
}

/// Where the process used all of the time, it bounds; where it used little, it waited for disks or for
/// the server of the database.
fn show(name: &str, count: u64, imported: &Imported) {
    let each = |used: Duration| used.as_secs_f64() * 1e6 / rows(count);
    let share = |used: Duration| used.as_secs_f64() / imported.took.as_secs_f64();
    let (each, share) = (imported.used.map(each), imported.used.map(share));
    let mebibytes = imported.peak.map(|peak| peak / 1024);
    println!(
        "{name:12} {:>10.0} {:>10} {:>12} {:>10}",
        rate(count, imported.took),
        each.map_or_else(|| "?".to_owned(), |each| format!("{each:.1}")),
        share.map_or_else(|| "?".to_owned(), |share| format!("{share:.2}")),
        mebibytes.map_or_else(|| "?".to_owned(), |peak| peak.to_string()),
    );
}

fn rate(count: u64, took: Duration) -> f64 {
    rows(count) / took.as_secs_f64()
}

fn rows(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
