//! Memory and start: what a cached credential and an idle connection take, what a cache that is
//! smaller than the database is worth under a skewed load, and how long a start takes when there
//! are very many keys.
//!
//! `cargo bench --bench memory`; with `-- --quick` a try of some seconds. `docs/performance.md`
//! explains the numbers.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench prints what it found"
)]

mod support;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use support::child::{Child, Place};
use support::load::{Connection, Until};
use support::process::resident;
use support::requests::{Key, ORGANIZATION, Operator, TOKEN, ask, exchange, exchange_load};
use support::seed::{Seeder, State, execute};
use support::spread::{middle, millis};
use support::{Failure, bench, key_rows};
use tenmint::crypto::secret_hash::HashCost;

/// As `tenmint serve` runs.
const SERVER: &str = "tenmint-whole";

/// The cheapest hash there is: a credential takes as much memory with it, and very many are made in
/// a minute.
const CHEAP: HashCost = HashCost {
    memory_kib: 8,
    passes: 1,
    lanes: 1,
};

/// How many keys have hashes of the default cost, so that what Argon2 needs is counted in.
const DEAR: usize = 50;

/// How many rows one statement inserts of keys that nobody holds.
const ROWS: u32 = 100_000;

/// Usage is written down so often, that what is counted is not what is measured.
const SETTINGS: &[(&str, &str)] = &[
    ("TENMINT_USAGE_FLUSH_INTERVAL", "1s"),
    ("TENMINT_MAX_CONNECTIONS", "16000"),
];

/// How long is waited before memory is looked at, until all of that is written down at most.
const SETTLED: Duration = Duration::from_mins(2);

/// How much of everything is done.
struct Plan {
    /// Keys in the database.
    keys: u32,
    /// How many are held at most.
    held: u32,
    /// Exchanges of the skewed load.
    exchanges: usize,
    /// Idle connections.
    idle: usize,
    /// Keys of the deployments whose starts are compared.
    starts: [u32; 2],
    /// Rounds of that.
    rounds: usize,
}

const WHOLE: Plan = Plan {
    keys: 1_000_000,
    held: 100_000,
    exchanges: 600_000,
    idle: 10_000,
    starts: [100, 100_000],
    rounds: 11,
};

const QUICK: Plan = Plan {
    keys: 20_000,
    held: 2_000,
    exchanges: 10_000,
    idle: 1_000,
    starts: [100, 5_000],
    rounds: 3,
};

fn main() -> ExitCode {
    bench(async |asked| match () {
        () if asked.is_quick() => measure(&QUICK).await,
        () => measure(&WHOLE).await,
    })
}

async fn measure(plan: &Plan) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let held = plan.held.to_string();
    let settings = [SETTINGS, &[("TENMINT_CREDENTIAL_CACHE", &held)]].concat();
    let place = Place {
        folder: folder.path(),
        database_url: None,
        settings: &settings,
    };
    let draws = draws(plan);
    let keys = deployment(&place, plan, &draws).await?;
    println!(
        "\n{} keys in the database, of which {} are held at most",
        plan.keys, plan.held
    );
    println!(
        "{:44} {:>9} {:>14} {:>10}",
        "", "resident", "per credential", "found"
    );
    filled(&place, plan, &keys).await?;
    skewed(&place, plan, &keys, &draws).await?;
    idle(&place, plan.idle).await?;
    starts(plan).await
}

/// Keys of which somebody holds the secrets.
struct Keys {
    dear: Vec<Key>,
    cheap: Vec<Key>,
    /// Which of the latter is the one of each rank that is drawn.
    ranks: BTreeMap<u32, usize>,
}

/// A deployment of as many keys as the plan says. Those that are exchanged have secrets.
async fn deployment(place: &Place<'_>, plan: &Plan, draws: &[u32]) -> Result<Keys, Failure> {
    let mut server = Child::start(SERVER, place, &[])?;
    Operator::of(&mut server).await?;
    server.stop()?;
    let dear = Seeder::of(place, HashCost::default())?
        .keys(place, DEAR, State::Active)
        .await?;
    let mut ranks = BTreeMap::new();
    for rank in draws {
        let next = ranks.len();
        ranks.entry(*rank).or_insert(next);
    }
    let wanted = ranks.len().max(plan.held as usize);
    let mut seeder = Seeder::behind(place, CHEAP, DEAR)?;
    let cheap = seeder.keys(place, wanted, State::Active).await?;
    let there = u32::try_from(DEAR + wanted)?;
    let mut from = 0;
    while there + from < plan.keys {
        let rows = (plan.keys - there - from).min(ROWS);
        execute(place, key_rows::insert(ORGANIZATION, from, rows)).await?;
        from += rows;
    }
    Ok(Keys { dear, cheap, ranks })
}

/// As many credentials as are held, each loaded once.
async fn filled(place: &Place<'_>, plan: &Plan, keys: &Keys) -> Result<(), Failure> {
    let mut started = started(place, keys).await?;
    let all = &keys.cheap[..plan.held as usize];
    exchange_load(&started.server, all.iter())
        .run(32, Until::Count(all.len()))
        .await?;
    started.tell("each held key exchanged once").await
}

/// Some keys very often, most of them hardly ever.
async fn skewed(place: &Place<'_>, plan: &Plan, keys: &Keys, draws: &[u32]) -> Result<(), Failure> {
    let mut started = started(place, keys).await?;
    for some in draws.chunks(50_000) {
        let drawn = some.iter().map(|rank| &keys.cheap[keys.ranks[rank]]);
        exchange_load(&started.server, drawn)
            .run(32, Until::Count(some.len()))
            .await?;
    }
    let name = format!("{} exchanges, skewed", plan.exchanges);
    started.tell(&name).await
}

/// A server before what is measured, and what was told of it by then.
struct Started {
    server: Child,
    resident: Option<u64>,
    lookups: Lookups,
}

/// What is held, and how often keys were found there and not.
struct Lookups {
    held: f64,
    hits: f64,
    misses: f64,
}

/// A fresh server on which Argon2 has run as it does for real.
async fn started(place: &Place<'_>, keys: &Keys) -> Result<Started, Failure> {
    let mut server = Child::start(SERVER, place, &[])?;
    let dear = exchange_load(&server, keys.dear.iter());
    dear.run(32, Until::Count(20 * keys.dear.len())).await?;
    Ok(Started {
        resident: settled(&server).await,
        lookups: lookups(&mut server)?,
        server,
    })
}

fn lookups(server: &mut Child) -> Result<Lookups, Failure> {
    let told = server.tell("lookups")?;
    let numbers: Vec<f64> = told.split(' ').filter_map(|n| n.parse().ok()).collect();
    match numbers[..] {
        [held, hits, misses] => Ok(Lookups { held, hits, misses }),
        _ => Err(format!("not three numbers: {told}").into()),
    }
}

impl Started {
    async fn tell(&mut self, name: &str) -> Result<(), Failure> {
        let after = settled(&self.server).await;
        let (before, now) = (&self.lookups, lookups(&mut self.server)?);
        let each = self.resident.zip(after).map(|(before, after)| {
            let more = u32::try_from(after.saturating_sub(before)).unwrap_or(u32::MAX);
            format!(
                "{:.0} bytes",
                f64::from(more) * 1024.0 / (now.held - self.lookups.held).max(1.0)
            )
        });
        let (hits, misses) = (now.hits - before.hits, now.misses - before.misses);
        println!(
            "{name:44} {:>9} {:>14} {:>8.1} %",
            mebibytes(after),
            each.unwrap_or_default(),
            hits * 100.0 / (hits + misses)
        );
        Ok(())
    }
}

/// Resident memory in KiB once it changes no more: what was counted has been written down then.
async fn settled(server: &Child) -> Option<u64> {
    let until = Instant::now() + SETTLED;
    let mut last = resident(server.id())?;
    loop {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let now = resident(server.id())?;
        if now.abs_diff(last) < 64 || Instant::now() > until {
            return Some(now);
        }
        last = now;
    }
}

/// Connections that were used once and are kept.
async fn idle(place: &Place<'_>, count: usize) -> Result<(), Failure> {
    let server = Child::start(SERVER, place, &[])?;
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    // The first ones tell what all of them have in common.
    let mut open = Vec::new();
    let mut before = None;
    for number in 0..=count {
        if number == count.min(100) / 2 {
            before = settled(&server).await;
        }
        let Ok(mut connection) = Connection::open(server.address).await else {
            break;
        };
        connection.ask(request).await?;
        open.push(connection);
    }
    let counted = open.len() - count.min(100) / 2;
    let after = settled(&server).await;
    println!("\n{:44} {:>9} {:>14}", "", "resident", "each");
    let each = before.zip(after).map(|(before, after)| {
        let more = u32::try_from(after.saturating_sub(before)).unwrap_or(u32::MAX);
        let counted = u32::try_from(counted).unwrap_or(u32::MAX);
        format!("{:.1} kB", f64::from(more) * 1.024 / f64::from(counted))
    });
    let name = format!("{} idle connections", open.len());
    println!(
        "{name:44} {:>9} {:>14}",
        mebibytes(after),
        each.unwrap_or_default()
    );
    Ok(())
}

/// From the start of the process to the first token of a key that was never used.
async fn starts(plan: &Plan) -> Result<(), Failure> {
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
    let mut fresh = Vec::new();
    for (folder, count) in folders.iter().zip(plan.starts) {
        let place = at(folder);
        let mut server = Child::start(SERVER, &place, &[])?;
        Operator::of(&mut server).await?;
        server.stop()?;
        let mut seeder = Seeder::of(&place, HashCost::default())?;
        fresh.push(seeder.keys(&place, plan.rounds + 1, State::Active).await?);
        execute(&place, key_rows::insert(ORGANIZATION, 0, count)).await?;
    }
    let mut times = [Vec::new(), Vec::new()];
    let mut ratios = Vec::new();
    for round in 0..=plan.rounds {
        let mut pair = Vec::new();
        for (folder, keys) in folders.iter().zip(&fresh) {
            let began = Instant::now();
            let server = Child::start(SERVER, &at(folder), &[])?;
            let (status, _) = ask(server.address, &exchange(TOKEN, &keys[round])).await?;
            if status != 200 {
                return Err(format!("the first token was refused: {status}").into());
            }
            pair.push(began.elapsed());
        }
        // The first round warms up.
        if round > 0 {
            ratios.push(pair[1].as_secs_f64() / pair[0].as_secs_f64());
            for (times, took) in times.iter_mut().zip(pair) {
                times.push(took);
            }
        }
    }
    println!("\nfrom the start of the process to the first token");
    for (times, count) in times.into_iter().zip(plan.starts) {
        let middle = millis(middle(times));
        println!("{:34} {middle:>10}", format!("{count} keys"));
    }
    ratios.sort_unstable_by(f64::total_cmp);
    if let [least, .., greatest] = ratios[..] {
        let middle = ratios[ratios.len() / 2];
        println!(
            "{:34} {middle:>10.2} ({least:.2} to {greatest:.2})",
            "times as long"
        );
    }
    Ok(())
}

fn at(folder: &tempfile::TempDir) -> Place<'_> {
    Place::of(folder.path())
}

/// Which key each exchange is of, by rank: the second is drawn half as often as the first, the
/// third a third as often, and so on to the last (Zipf's law).
fn draws(plan: &Plan) -> Vec<u32> {
    let mut state = 42_u64;
    let draw = || {
        // SplitMix64: the same in every run.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let uniform = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(u32::MAX);
        let uniform = f64::from(uniform) / f64::from(u32::MAX);
        rank(f64::from(plan.keys).powf(uniform))
    };
    std::iter::repeat_with(draw).take(plan.exchanges).collect()
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is between 1 and the number of keys"
)]
fn rank(drawn: f64) -> u32 {
    drawn as u32
}

fn mebibytes(kibibytes: Option<u64>) -> String {
    kibibytes.map_or_else(
        || "not measured".to_owned(),
        |kibibytes| format!("{} MiB", kibibytes.div_ceil(1024)),
    )
}
