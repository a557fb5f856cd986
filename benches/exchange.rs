//! The exchange against the least a server can do, and what it takes: time, memory, first uses.
//!
//! `cargo bench --bench exchange`; with `-- --quick` a try of some seconds, with
//! `-- --instructions` a count under valgrind, of what is named after it or of everything.
//! `docs/performance.md` explains the numbers.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench prints what it found"
)]

mod support;

use std::process::ExitCode;
use std::sync::Arc;

use support::child::{Child, Place};
use support::contest::{Contender, Effort, contest};
use support::instructions::{self, Count};
use support::load::{Load, Until};
use support::process::resident;
use support::requests::{Key, Operator, TOKEN, exchange, exchange_load, forged, former, samples};
use support::spread::millis;
use support::{Failure, bench, postgres};

/// How many keys take turns in the warm exchange.
const WARM_KEYS: usize = 256;

/// How much of everything is done.
#[derive(Clone, Copy)]
struct Plan {
    effort: Effort,
    /// Keys whose first exchange is timed.
    fresh_keys: usize,
    /// Exchanges between two looks at memory.
    exchanges: usize,
}

const WHOLE: Plan = Plan {
    effort: Effort::WHOLE,
    fresh_keys: 1_000,
    exchanges: 100_000,
};

const QUICK: Plan = Plan {
    effort: Effort::QUICK,
    fresh_keys: 60,
    exchanges: 5_000,
};

fn main() -> ExitCode {
    bench(async |asked| match () {
        () if asked.has("--instructions") => count_instructions(&asked.words()).await,
        () if asked.is_quick() => measure(QUICK).await,
        () => measure(WHOLE).await,
    })
}

async fn measure(plan: Plan) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let sqlite = Place::of(folder.path());
    let mut tenmint = Child::start("tenmint", &sqlite, &[])?;
    let mut operator = Operator::of(&mut tenmint).await?;
    let idle = resident(tenmint.id());
    let keys = operator.keys(WARM_KEYS + plan.fresh_keys).await?;
    let (keys, fresh) = keys.split_at(WARM_KEYS);

    let exchanges = exchange_load(&tenmint, keys);
    first_uses(&tenmint, fresh, plan.effort.connections).await?;
    let before = resident(tenmint.id());
    let until = Until::Count(plan.exchanges);
    exchanges.run(plan.effort.connections, until).await?;
    println!("\nresident memory");
    println!("{:34} {:>9}", "started, idle", mebibytes(idle));
    println!(
        "{:34} {:>9}",
        format!("{} keys made", WARM_KEYS + plan.fresh_keys),
        mebibytes(before)
    );
    println!(
        "{:34} {:>9}",
        format!("and {} exchanges later", plan.exchanges),
        mebibytes(resident(tenmint.id()))
    );

    let bare = bare(&sqlite, &samples(&tenmint, &keys[0]).await?)?;
    let elsewhere = tempfile::tempdir()?;
    let database = postgres::fresh_database();
    let postgres = Place {
        database_url: database.as_ref().map(postgres::FreshDatabase::url),
        ..Place::of(elsewhere.path())
    };
    let mut on_postgres = None;
    if database.is_some() {
        let mut server = Child::start("tenmint", &postgres, &[])?;
        let keys = Operator::of(&mut server).await?.keys(WARM_KEYS).await?;
        let load = exchange_load(&server, &keys);
        on_postgres = Some((server, load));
    }
    let mut contenders = vec![
        contender("bare axum and ring", &bare, &likes(&bare, TOKEN, 200)),
        contender("tenmint, SQLite", &tenmint, &exchanges),
    ];
    if let Some((server, load)) = &on_postgres {
        contenders.push(contender("tenmint, PostgreSQL", server, load));
    }
    let title = "warm exchange, against the bare handler that signs";
    print!("{}", contest(title, &contenders, plan.effort).await?);

    let [forged, wrong, unknown] = strangers(&mut tenmint, &keys[0])?;
    let contenders = [
        contender("bare axum", &bare, &likes(&bare, "/refusal", 401)),
        contender("forged tag", &tenmint, &forged),
        contender("wrong secret, remembered", &tenmint, &wrong),
        contender("unknown key, remembered", &tenmint, &unknown),
    ];
    let title = "refusal, against the bare handler that does not sign";
    print!("{}", contest(title, &contenders, plan.effort).await?);
    Ok(())
}

/// First exchanges of keys: a query and an Argon2 run each. One key after the other, then many
/// at once.
async fn first_uses(server: &Child, fresh: &[Key], together: usize) -> Result<(), Failure> {
    println!("\nfirst exchange of a fresh key, Argon2 included");
    println!(
        "{:34} {:>9} {:>8} {:>8} {:>8} {:>8}",
        "", "per s", "p50", "p90", "p99", "longest"
    );
    let (alone, at_once) = fresh.split_at(fresh.len() / 2);
    for (keys, connections) in [(alone, 1), (at_once, together)] {
        let load = exchange_load(server, keys);
        let mut outcome = load.run(connections, Until::Count(keys.len())).await?;
        let [half, most, late, longest] =
            [50, 90, 99, 100].map(|percent| millis(outcome.percentile(percent)));
        let name = format!("{} keys, {connections} at a time", keys.len());
        let rate = outcome.rate();
        println!("{name:34} {rate:>9.0} {half:>8} {most:>8} {late:>8} {longest:>8}");
    }
    Ok(())
}

async fn count_instructions(named: &[&str]) -> Result<(), Failure> {
    let wanted = |name: &str| named.is_empty() || named.contains(&name);
    let (_, samples) = instructions::sampled().await?;

    instructions::header();
    let say = |name: &str, count: Count| println!("{name:34} {count}");
    for (name, path, status) in [("bare-signing", TOKEN, 200), ("bare", "/refusal", 401)] {
        if !wanted(name) {
            continue;
        }
        let count = instructions::each(name, ("bare", &[]), async |server| {
            server.tell(&samples)?;
            Ok(likes(server, path, status))
        });
        say(name, count.await?);
    }
    if wanted("tenmint") {
        let count = instructions::each("tenmint", ("tenmint", &[]), async |server| {
            let keys = Operator::of(server).await?.keys(8).await?;
            Ok(exchange_load(server, &keys))
        });
        say("tenmint", count.await?);
    }
    let strange = ["forged-tag", "wrong-secret", "unknown-key"];
    for (at, name) in strange.into_iter().enumerate() {
        if !wanted(name) {
            continue;
        }
        let count = instructions::each(name, ("tenmint", &[]), async |server| {
            let keys = Operator::of(server).await?.keys(1).await?;
            Ok(Arc::clone(&strangers(server, &keys[0])?[at]))
        });
        say(name, count.await?);
    }
    Ok(())
}

/// A bare server that answers likes of `samples`.
fn bare(place: &Place<'_>, samples: &str) -> Result<Child, Failure> {
    let mut bare = Child::start("bare", place, &[])?;
    bare.tell(samples)?;
    Ok(bare)
}

/// Requests to the bare handler, no different from those to tenmint.
fn likes(bare: &Child, path: &str, status: u16) -> Arc<Load> {
    let key = Key {
        id: format!("key_{}", "0".repeat(26)),
        secret: format!("tmsk_{}_{}", "0".repeat(26), "0".repeat(60)),
    };
    load(bare, vec![exchange(path, &key)], status)
}

/// Those who hold no key in force: with a forged tag, a wrong secret, the id of no key.
fn strangers(server: &mut Child, key: &Key) -> Result<[Arc<Load>; 3], Failure> {
    let nobody = Key {
        id: format!("key_{}", "0".repeat(26)),
        secret: String::new(),
    };
    let forged = forged(key)?;
    let wrong = former(server, key)?;
    let unknown = former(server, &nobody)?;
    Ok([forged, wrong, unknown].map(|key| load(server, vec![exchange(TOKEN, &key)], 401)))
}

fn load(server: &Child, requests: Vec<Vec<u8>>, status: u16) -> Arc<Load> {
    Arc::new(Load {
        address: server.address,
        requests,
        status,
    })
}

fn contender<'a>(name: &'a str, server: &'a Child, load: &Arc<Load>) -> Contender<'a> {
    Contender {
        name,
        server,
        load: Arc::clone(load),
    }
}

fn mebibytes(kibibytes: Option<u64>) -> String {
    kibibytes.map_or_else(
        || "not measured".to_owned(),
        |kibibytes| format!("{} MiB", kibibytes.div_ceil(1024)),
    )
}
