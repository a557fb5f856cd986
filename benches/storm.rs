//! Storms: what keys in use notice when very many others are used for the first time, how fast those
//! are served, and what a restart costs. And the wait at half of what a server can do, against the
//! least a server can do.
//!
//! `cargo bench --bench storm`; with `-- --quick` a try of some seconds. `docs/performance.md`
//! explains the numbers.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench prints what it found"
)]

mod support;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use support::child::{Child, Place};
use support::contest::millis;
use support::load::{Connection, Load, Outcome, Until, unexpected};
use support::pace::{Pace, Stop, may_come_first};
use support::process::{resident, used_by_name};
use support::requests::{Key, Operator, TOKEN, exchange, forged, samples};
use support::seed::{Seeder, State};
use support::{Failure, bench, postgres};
use tenmint::crypto::secret_hash::HashCost;
use tokio::task::JoinSet;

/// How many keys are in use all the time.
const WARM_KEYS: usize = 256;

/// How many different strings of each kind a flood repeats.
const STRANGERS: usize = 100;

/// How long a client that was put off waits before it comes again, as it is told.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How much of everything is done.
struct Plan {
    /// Of calm, storm, and storm with flood in turn.
    rounds: usize,
    /// How long before each calm nothing is asked, until what was counted is written down.
    rest: Duration,
    /// How long each calm lasts.
    calm: Duration,
    /// How long Argon2 is measured alone, in each round: machines have their moods.
    alone: Duration,
    /// How many exchanges of warm keys in a second, all the time.
    gentle: f64,
    /// How many keys each storm uses for the first time, and over how many connections.
    cold: (usize, usize),
    /// How many wrong, revoked and forged secrets a second a flood brings.
    flood: f64,
    /// How many keys renew at once after a restart, and over how many connections.
    renewing: (usize, usize),
    /// How long each turn lasts at half of what a server can do.
    half: Duration,
}

const WHOLE: Plan = Plan {
    rounds: 9,
    rest: Duration::from_secs(11),
    calm: Duration::from_secs(4),
    alone: Duration::from_millis(500),
    gentle: 250.0,
    cold: (9_000, 500),
    flood: 1_000.0,
    renewing: (20_000, 4_000),
    half: Duration::from_secs(3),
};

const QUICK: Plan = Plan {
    rounds: 3,
    rest: Duration::from_millis(100),
    calm: Duration::from_secs(1),
    alone: Duration::from_millis(100),
    gentle: 250.0,
    cold: (300, 100),
    flood: 200.0,
    renewing: (1_000, 400),
    half: Duration::from_millis(500),
};

fn main() -> ExitCode {
    bench(async |asked| match () {
        () if asked.is_quick() => measure(&QUICK).await,
        () => measure(&WHOLE).await,
    })
}

async fn measure(plan: &Plan) -> Result<(), Failure> {
    if !may_come_first() {
        println!("clients of warm keys share processors with all else: waits are theirs as well");
    }
    on("SQLite", None, plan).await?;
    if let Some(database) = postgres::fresh_database() {
        on("PostgreSQL", Some(database.url()), plan).await?;
    }
    half_load(plan).await
}

/// Everything that needs a database, on one engine.
async fn on(engine: &str, url: Option<&str>, plan: &Plan) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let place = Place {
        folder: folder.path(),
        database_url: url,
        settings: &[],
    };
    let mut server = Child::start(SERVER, &place, &[])?;
    Operator::of(&mut server).await?;
    server.stop()?;
    let mut seeder = Seeder::of(&place, HashCost::default())?;
    let active = State::Active;
    let warm = seeder.keys(&place, WARM_KEYS, active).await?;
    let storms = 2 * plan.rounds * plan.cold.0;
    let others = seeder.keys(&place, storms.max(plan.renewing.0), active);
    let others = others.await?;
    let revoked = seeder.keys(&place, STRANGERS, State::Revoked).await?;

    let server = Child::start(SERVER, &place, &[])?;
    let strangers = strangers(&seeder, &warm, &revoked)?;
    storms_on(engine, &server, plan, &seeder, [&warm, &others], strangers).await?;
    drop(server);

    let argon2 = seeder.rate(plan.alone);
    let server = Child::start(SERVER, &place, &[])?;
    renew(engine, &server, plan, argon2, &others[..plan.renewing.0]).await
}

/// As `tenmint serve` runs.
const SERVER: &str = "tenmint-whole";

/// As many first uses as run at once.
fn permits() -> u32 {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    u32::try_from(cores.saturating_sub(1).max(1)).unwrap_or(u32::MAX)
}

/// Secrets that open nothing: rotated out, revoked, made up.
fn strangers(seeder: &Seeder, warm: &[Key], revoked: &[Key]) -> Result<Vec<Vec<u8>>, Failure> {
    let mut requests = Vec::new();
    for (key, revoked) in warm.iter().zip(revoked) {
        for stranger in [&seeder.former(key)?, revoked, &forged(key)?] {
            requests.push(exchange(TOKEN, stranger));
        }
    }
    Ok(requests)
}

async fn storms_on(
    engine: &str,
    server: &Child,
    plan: &Plan,
    seeder: &Seeder,
    [warm, cold]: [&[Key]; 2],
    strangers: Vec<Vec<u8>>,
) -> Result<(), Failure> {
    let gentle = Pace {
        address: server.address,
        requests: requests(warm),
        statuses: &[200],
        per_second: plan.gentle,
        connections: 8,
        foremost: true,
    };
    let flood = Pace {
        requests: Arc::new(strangers),
        statuses: &[401],
        per_second: plan.flood,
        foremost: false,
        ..gentle.clone()
    };
    load(server, warm).run(8, Until::Count(warm.len())).await?;
    let mut storms = cold.chunks_exact(plan.cold.0);
    let mut rows: [Vec<Row>; 3] = Default::default();
    let mut put_off = [0; 3];
    // The first round warms up.
    for round in 0..=plan.rounds {
        tokio::time::sleep(plan.rest).await;
        let alone = seeder.rate(plan.alone);
        let calm = gentle.keep(Stop::After(plan.calm)).await?;
        let calm = Row::of(calm, None);
        let late = calm.late;
        if round == 0 {
            continue;
        }
        rows[0].push(calm);
        for (row, flood) in [(1, None), (2, Some(&flood))] {
            let keys = storms.next().ok_or("too few keys were made")?;
            let (warm, cold) = storm(server, &gentle, flood, keys, plan.cold.1).await?;
            put_off[row] += cold.put_off;
            rows[row].push(Row {
                cold: Some((cold.rate, alone)),
                ..Row::of(warm, Some(late))
            });
        }
    }
    let permits = permits();
    let alone = rows[1..].iter().flatten().filter_map(|row| row.cold);
    let alone = middle(alone.map(|(_, alone)| alone).collect());
    println!(
        "\nstorms, {engine}: {permits} first uses at a time, {alone:.0} Argon2 runs per s on a core"
    );
    println!(
        "{:34} {:>9} {:>9} {:>22} {:>22} {:>22} {:>8}",
        "",
        "warm p50",
        "warm p99",
        "p99 against calm",
        "cold per s",
        "of permits x Argon2",
        "put off"
    );
    let names = [
        "calm",
        "first uses all the time",
        "  and a flood of refusals",
    ];
    for ((name, rows), put_off) in names.into_iter().zip(&rows).zip(put_off) {
        let middle = |each: fn(&Row) -> Duration| {
            let mut each: Vec<_> = rows.iter().map(each).collect();
            each.sort_unstable();
            millis(each[each.len() / 2])
        };
        println!(
            "{name:34} {:>9} {:>9} {:>22} {:>22} {:>22} {put_off:>8}",
            middle(|row| row.median),
            middle(|row| row.late),
            spread(rows.iter().filter_map(|row| row.against_calm)),
            spread(rows.iter().filter_map(|row| row.cold).map(|(rate, _)| rate)),
            spread(
                rows.iter()
                    .filter_map(|row| row.cold)
                    .map(|(rate, alone)| rate / alone / f64::from(permits))
            ),
        );
    }
    Ok(())
}

/// What one turn came to.
struct Row {
    median: Duration,
    late: Duration,
    against_calm: Option<f64>,
    /// How many first uses in a second, and how many runs Argon2 made alone before.
    cold: Option<(f64, f64)>,
}

impl Row {
    fn of(mut warm: Outcome, calm: Option<Duration>) -> Self {
        let late = warm.percentile(99);
        Self {
            median: warm.percentile(50),
            late,
            against_calm: calm.map(|calm| late.as_secs_f64() / calm.as_secs_f64()),
            cold: None,
        }
    }
}

/// First uses of all these keys, while others are used gently, and a flood goes on if there is one.
async fn storm(
    server: &Child,
    gentle: &Pace,
    flood: Option<&Pace>,
    keys: &[Key],
    connections: usize,
) -> Result<(Outcome, Renewed), Failure> {
    let clients = Renewed::clients(server, keys, connections).await?;
    let over = Arc::new(AtomicBool::new(false));
    let kept = async |pace: &Pace| {
        let stop = Stop::When(Arc::clone(&over));
        let kept = pace.clients().await?.keep(stop);
        Ok::<_, Failure>(tokio::spawn(kept))
    };
    let warm = kept(gentle).await?;
    let flood = match flood {
        Some(flood) => Some(kept(flood).await?),
        None => None,
    };
    let cold = Renewed::all(clients, keys).await;
    over.store(true, Ordering::Relaxed);
    if let Some(flood) = flood {
        flood.await??;
    }
    Ok((warm.await??, cold?))
}

/// First uses of keys, each until it succeeded.
struct Renewed {
    /// Seconds until all had.
    took: f64,
    /// How many in a second.
    rate: f64,
    /// How often a client was told to come again, and did.
    put_off: usize,
}

impl Renewed {
    /// The connections over which these keys will renew.
    async fn clients(
        server: &Child,
        keys: &[Key],
        connections: usize,
    ) -> Result<Vec<Connection>, Failure> {
        let mut open = Vec::new();
        for _ in 0..connections.min(keys.len()) {
            open.push(Connection::open(server.address).await?);
        }
        Ok(open)
    }

    /// All these keys at once, over connections that are open.
    async fn all(open: Vec<Connection>, keys: &[Key]) -> Result<Self, Failure> {
        let requests = requests(keys);
        let (next, put_off) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let began = Instant::now();
        let mut clients = JoinSet::new();
        for mut connection in open {
            let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
            let put_off = Arc::clone(&put_off);
            clients.spawn(async move {
                while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    loop {
                        let answer = connection.ask(request).await?;
                        match answer.status {
                            200 => break,
                            503 => put_off.fetch_add(1, Ordering::Relaxed),
                            _ => return Err(unexpected(&answer)),
                        };
                        tokio::time::sleep(RETRY_AFTER).await;
                    }
                }
                Ok(())
            });
        }
        while let Some(client) = clients.join_next().await {
            client??;
        }
        let took = began.elapsed().as_secs_f64();
        Ok(Self {
            took,
            rate: f64::from(u32::try_from(keys.len())?) / took,
            put_off: put_off.load(Ordering::Relaxed),
        })
    }
}

/// All keys at once, on a server that has just started.
async fn renew(
    engine: &str,
    server: &Child,
    plan: &Plan,
    argon2: f64,
    keys: &[Key],
) -> Result<(), Failure> {
    let clients = Renewed::clients(server, keys, plan.renewing.1).await?;
    let Renewed { took, put_off, .. } = Renewed::all(clients, keys).await?;
    let count = f64::from(u32::try_from(keys.len())?);
    let bound = count / argon2 / f64::from(permits());
    println!(
        "\n{} keys renewing at once after a restart, {engine}, over {} connections",
        keys.len(),
        plan.renewing.1.min(keys.len())
    );
    println!("{took:>9.1} s until all are warm; Argon2 alone would take {bound:.1} s");
    println!("{put_off:>9} times a client was told to come again");
    if let Some(resident) = resident(server.id()) {
        println!("{:>5} MiB resident in the end", resident.div_ceil(1024));
    }
    for (threads, used) in used_by_name(server.id()) {
        let used = used.as_secs_f64();
        if used >= took / 100.0 {
            println!("{used:>9.1} s of processor time: {threads}");
        }
    }
    Ok(())
}

/// The wait at half of what each server can do at most, and of tenmint's half with the bare handler.
async fn half_load(plan: &Plan) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let place = Place::of(folder.path());
    let mut tenmint = Child::start(SERVER, &place, &[])?;
    let keys = Operator::of(&mut tenmint).await?.keys(WARM_KEYS).await?;
    let mut bare = Child::start("bare-whole", &place, &[])?;
    bare.tell(&samples(&tenmint, &keys[0]).await?)?;
    let pace = |server: &Child, per_second: f64| Pace {
        address: server.address,
        requests: requests(&keys),
        statuses: &[200],
        per_second,
        connections: 32,
        foremost: false,
    };
    let mut most = Vec::new();
    for server in [&bare, &tenmint] {
        let load = load(server, &keys);
        load.run(32, Until::Time(plan.half)).await?;
        most.push(load.run(32, Until::Time(plan.half)).await?.rate());
    }
    let turns = [
        ("bare axum and ring, half of its most", &bare, most[0] / 2.0),
        ("  the same, half of tenmint's most", &bare, most[1] / 2.0),
        ("tenmint, half of its most", &tenmint, most[1] / 2.0),
    ];
    let mut rows: [Vec<Row>; 3] = Default::default();
    for round in 0..=plan.rounds {
        let mut calm = None;
        for (rows, (_, server, per_second)) in rows.iter_mut().zip(turns) {
            let kept = pace(server, per_second)
                .keep(Stop::After(plan.half))
                .await?;
            let row = Row::of(kept, calm);
            calm = calm.or(Some(row.late));
            if round > 0 {
                rows.push(row);
            }
        }
    }
    println!("\nthe wait at half of what a server can do, from when a request was to be sent");
    println!(
        "{:38} {:>7} {:>9} {:>9} {:>22}",
        "", "per s", "p50", "p99", "p99 against the first"
    );
    for ((name, _, per_second), rows) in turns.into_iter().zip(&rows) {
        let of = |each: fn(&Row) -> Duration| {
            let each = rows.iter().map(|row| each(row).as_secs_f64() * 1e3);
            format!("{:.2} ms", middle(each.collect()))
        };
        println!(
            "{name:38} {per_second:>7.0} {:>9} {:>9} {:>22}",
            of(|row| row.median),
            of(|row| row.late),
            spread(rows.iter().filter_map(|row| row.against_calm)),
        );
    }
    Ok(())
}

fn requests(keys: &[Key]) -> Arc<Vec<Vec<u8>>> {
    Arc::new(keys.iter().map(|key| exchange(TOKEN, key)).collect())
}

fn load(server: &Child, keys: &[Key]) -> Arc<Load> {
    Arc::new(Load {
        address: server.address,
        requests: keys.iter().map(|key| exchange(TOKEN, key)).collect(),
        status: 200,
    })
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median, in parentheses the quartiles; nothing of nothing.
fn spread(values: impl Iterator<Item = f64>) -> String {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else {
        return String::new();
    };
    let [low, middle, high] = [1, 2, 3].map(|quarter| values[last * quarter / 4]);
    let digits = if high >= 100.0 { 0 } else { 2 };
    format!("{middle:.digits$} ({low:.digits$} to {high:.digits$})")
}
