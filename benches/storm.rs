//! Storms: what keys in use notice when very many others are used for the first time, how fast those
//! are served, and what a restart costs.
//!
//! `cargo bench --bench storm`; with `-- --quick` a try of some seconds. `docs/performance.md`
//! explains the numbers.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench prints what it found"
)]

mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::child::{Child, Place};
use support::load::Until;
use support::pace::{Clients, Kept, Pace, Stop, may_come_first, soon};
use support::process::{resident, used_by_name};
use support::renewal::{Renewal, Renewed};
use support::requests::{Key, Operator, TOKEN, exchange, exchange_load, exchanges, forged};
use support::seed::{Seeder, State};
use support::storms::{Row, Storm, permits, print};
use support::{Failure, bench, postgres};
use tenmint::crypto::secret_hash::HashCost;

/// How many keys are in use all the time.
const WARM_KEYS: usize = 256;

/// How many different strings of each kind a flood repeats.
const STRANGERS: usize = 100;

/// How much of everything is done.
struct Plan {
    /// Of calm, storm, and storm with flood in turn.
    rounds: usize,
    /// How long before each calm nothing is asked, until what was counted is written down.
    rest: Duration,
    /// How long each calm lasts: about as long as a storm, or its slowest hundredth is too few.
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
}

const WHOLE: Plan = Plan {
    rounds: 9,
    rest: Duration::from_secs(15),
    calm: Duration::from_secs(12),
    alone: Duration::from_millis(500),
    gentle: 250.0,
    cold: (20_000, 500),
    flood: 1_000.0,
    renewing: (20_000, 4_000),
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
    Ok(())
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
        requests: Arc::new(exchanges(warm)),
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
    exchange_load(server, warm)
        .run(8, Until::Count(warm.len()))
        .await?;
    let mut storms = cold.chunks_exact(plan.cold.0);
    let mut rows: [Vec<Row>; 3] = Default::default();
    // The first round warms up.
    for round in 0..=plan.rounds {
        tokio::time::sleep(plan.rest).await;
        let alone = seeder.rate(plan.alone);
        let calm = gentle.keep(Stop::After(plan.calm)).await?;
        if round == 0 {
            continue;
        }
        let calm = Row::of(&calm, None);
        let calm_late = calm.late;
        rows[0].push(calm);
        for (row, flood) in [(1, None), (2, Some(&flood))] {
            let keys = storms.next().ok_or("too few keys were made")?;
            let (warm, cold) = storm(server, &gentle, flood, keys, plan.cold.1).await?;
            let storm = Storm {
                calm_late,
                rate: cold.rate,
                alone,
                put_off: cold.put_off,
            };
            rows[row].push(Row::of(&warm, Some(storm)));
        }
    }
    print(engine, &rows);
    Ok(())
}

/// First uses of all these keys, while others are used gently, and a flood goes on if there is one.
async fn storm(
    server: &Child,
    gentle: &Pace,
    flood: Option<&Pace>,
    keys: &[Key],
    connections: usize,
) -> Result<(Kept, Renewed), Failure> {
    let renewal = Renewal::of(server, keys, connections).await?;
    let mut paced = Vec::new();
    for pace in [gentle].into_iter().chain(flood) {
        paced.push(pace.clients().await?);
    }
    let (begin, over) = (soon(), Arc::new(AtomicBool::new(false)));
    let begun = |clients: Clients| {
        let stop = Stop::When(Arc::clone(&over));
        tokio::spawn(clients.keep(begin, stop))
    };
    let kept: Vec<_> = paced.into_iter().map(begun).collect();
    let cold = renewal.run(begin).await;
    over.store(true, Ordering::Relaxed);
    let mut waits = Vec::new();
    for kept in kept {
        waits.push(kept.await??);
    }
    Ok((waits.swap_remove(0), cold?))
}

/// All keys at once, on a server that has just started.
async fn renew(
    engine: &str,
    server: &Child,
    plan: &Plan,
    argon2: f64,
    keys: &[Key],
) -> Result<(), Failure> {
    let renewal = Renewal::of(server, keys, plan.renewing.1).await?;
    let Renewed { took, put_off, .. } = renewal.run(soon()).await?;
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
