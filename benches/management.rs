//! The management plane where an organization holds very many keys, and the exchange with all that
//! management adds to it, each against the least of its kind.
//!
//! `cargo bench --bench management`; with `-- --quick` a try of some seconds, with
//! `-- --counted` only the exchange, with `-- --instructions` a count of it under valgrind.
//! `docs/performance.md` explains the numbers.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench prints what it found"
)]

mod support;

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};
use support::child::{Child, Place};
use support::contest::{Contender, Effort, contest};
use support::instructions;
use support::load::{Load, Until};
use support::requests::{Operator, exchanges};
use support::{Failure, bench, key_rows, postgres, seed};

/// Keys of the organization that the other is held against.
const FEW: u32 = 100;

/// Keys on a page.
const PAGE: u32 = 20;

/// How many keys take turns where one is asked for, and in the warm exchange.
const TURNS: u32 = 100;

/// At most so many times as long with very many keys as with few.
const MANY_TARGET: f64 = 1.5;

/// At most so many times as long with usage, exchange record and rate limit.
const COUNTED_TARGET: f64 = 1.05;

/// The warm exchange without what can be switched off, and with it: the setting.
const COUNTED: [(&str, &str); 2] = [
    ("usage alone", "off"),
    ("exchange record and rate limit", "on"),
];

/// Whether exchanges are recorded.
const RECORD: &str = "TENMINT_EXCHANGE_RECORD";

/// How much of everything is done.
struct Plan {
    /// Keys of the large organization.
    many: u32,
    /// Of what changes nothing.
    reading: Effort,
    /// Of what makes keys: few in each turn, or the small organization is soon no longer small.
    making: Effort,
}

const WHOLE: Plan = Plan {
    many: 100_000,
    reading: Effort::WHOLE,
    making: Effort {
        rounds: 11,
        turn: Until::Count(20),
        connections: 4,
    },
};

const QUICK: Plan = Plan {
    many: 2_000,
    reading: Effort::QUICK,
    making: Effort {
        rounds: 3,
        turn: Until::Count(10),
        connections: 4,
    },
};

/// How many times as long something takes as the least of its kind.
struct Ratio {
    name: String,
    by_clock: f64,
    by_processor: Option<f64>,
    target: f64,
}

fn main() -> ExitCode {
    bench(async |asked| match () {
        () if asked.has("--instructions") => count_instructions().await,
        () if asked.has("--counted") => measure_counted(&WHOLE).await,
        () if asked.is_quick() => measure(&QUICK).await,
        () => measure(&WHOLE).await,
    })
}

async fn measure(plan: &Plan) -> Result<(), Failure> {
    let mut ratios = many_keys("SQLite", None, plan).await?;
    if let Some(database) = postgres::fresh_database() {
        ratios.extend(many_keys("PostgreSQL", Some(database.url()), plan).await?);
    }
    ratios.extend(counted_on_both(plan).await?);
    summarize(&ratios);
    Ok(())
}

async fn measure_counted(plan: &Plan) -> Result<(), Failure> {
    summarize(&counted_on_both(plan).await?);
    Ok(())
}

async fn counted_on_both(plan: &Plan) -> Result<Vec<Ratio>, Failure> {
    let mut ratios = vec![counted("SQLite", [None, None], plan).await?];
    if let (Some(bare), Some(counting)) = (postgres::fresh_database(), postgres::fresh_database()) {
        let urls = [Some(bare.url()), Some(counting.url())];
        ratios.push(counted("PostgreSQL", urls, plan).await?);
    }
    Ok(ratios)
}

fn summarize(ratios: &[Ratio]) {
    println!("\ntimes as long as the least of its kind, medians");
    println!("{:46} {:>8} {:>8} {:>8}", "", "clock", "CPU", "at most");
    for ratio in ratios {
        let by_processor = ratio
            .by_processor
            .map_or_else(|| "?".to_owned(), |ratio| format!("{ratio:.2}"));
        let (name, by_clock, target) = (&ratio.name, ratio.by_clock, ratio.target);
        println!("{name:46} {by_clock:>8.2} {by_processor:>8} {target:>8.2}");
    }
}

/// What is asked of an organization of very many keys, against the same of one that has few, both
/// of one server.
async fn many_keys(engine: &str, url: Option<&str>, plan: &Plan) -> Result<Vec<Ratio>, Failure> {
    let folder = tempfile::tempdir()?;
    let place = Place {
        folder: folder.path(),
        database_url: url,
        settings: &[],
    };
    let mut server = Child::start("tenmint", &place, &[])?;
    let mut operator = Operator::of(&mut server).await?;
    let organizations = [("few", 0, FEW), ("many", FEW, plan.many)];
    for (organization, from, count) in organizations {
        operator.organization(organization).await?;
        seed(&place, organization, from, count).await?;
    }

    let mut tasks: [Vec<Vec<Vec<u8>>>; 5] = Default::default();
    for (organization, from, count) in organizations {
        let newest = "-created_at";
        tasks[0].push(vec![operator.page(organization, newest, PAGE, 0).await?]);
        // In the middle: from either end it is far.
        let behind = count / PAGE / 2;
        for (task, sort) in [(1, newest), (2, "name")] {
            let page = operator.page(organization, sort, PAGE, behind).await?;
            tasks[task].push(vec![page]);
        }
        let numbers = (0..TURNS).map(|turn| from + 1 + turn * (count / TURNS));
        let show = |number| operator.show(organization, &key_rows::id(number));
        tasks[3].push(numbers.map(show).collect());
        tasks[4].push(vec![operator.create(organization)]);
    }
    let described = [
        ("list, first page", 200, plan.reading),
        ("list, page in the middle", 200, plan.reading),
        ("list by name, page in the middle", 200, plan.reading),
        ("show", 200, plan.reading),
        ("create", 201, plan.making),
    ];
    let names = [
        format!("{FEW} keys"),
        format!("{} keys in one organization", plan.many),
    ];
    let mut ratios = Vec::new();
    for ((name, status, effort), requests) in described.into_iter().zip(tasks) {
        let contenders: Vec<_> = requests
            .into_iter()
            .zip(&names)
            .map(|(requests, name)| contender(name, &server, requests, status))
            .collect();
        let title = format!("{name}, {engine}");
        let ratio = compare(title, &contenders, effort, MANY_TARGET).await?;
        ratios.push(ratio);
    }
    Ok(ratios)
}

/// The warm exchange with everything that is counted, recorded and limited, against the same
/// without what can be switched off: usage cannot.
async fn counted(engine: &str, urls: [Option<&str>; 2], plan: &Plan) -> Result<Ratio, Failure> {
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
    let mut servers = Vec::new();
    let described = COUNTED.into_iter().zip(limits());
    for ((folder, url), ((_, record), limit)) in folders.iter().zip(urls).zip(described) {
        let place = Place {
            folder: folder.path(),
            database_url: url,
            settings: &[(RECORD, record)],
        };
        let mut server = Child::start("tenmint", &place, &[])?;
        let mut operator = Operator::of(&mut server).await?;
        let keys = operator.keys_with(TURNS as usize, limit).await?;
        servers.push((server, keys));
    }
    let contenders: Vec<_> = servers
        .iter()
        .zip(COUNTED)
        .map(|((server, keys), (name, _))| contender(name, server, exchanges(keys), 200))
        .collect();
    let title = format!("warm exchange, {engine}");
    compare(title, &contenders, plan.reading, COUNTED_TARGET).await
}

/// The same two servers, counted under valgrind: what noise hides in their times.
async fn count_instructions() -> Result<(), Failure> {
    instructions::header();
    for ((name, record), limit) in COUNTED.into_iter().zip(limits()) {
        let settings = [(RECORD, record)];
        let count = instructions::each("counted", ("tenmint", &settings), async |server| {
            let mut operator = Operator::of(server).await?;
            let keys = operator.keys_with(8, limit.clone()).await?;
            Ok(Arc::new(Load {
                address: server.address,
                requests: exchanges(&keys),
                status: 200,
            }))
        });
        println!("{name:34} {}", count.await?);
    }
    Ok(())
}

/// Of the first of the two, and of the second: so much that none is refused.
fn limits() -> [Value; 2] {
    [
        json!(null),
        json!({ "limit": 1_000_000, "window_seconds": 1 }),
    ]
}

/// Prints the whole table of two contenders, and keeps what the last table needs.
async fn compare(
    title: String,
    contenders: &[Contender<'_>],
    effort: Effort,
    target: f64,
) -> Result<Ratio, Failure> {
    let table = contest(&title, contenders, effort).await?;
    print!("{table}");
    let (by_clock, by_processor) = table.times_as_long(1);
    Ok(Ratio {
        name: title,
        by_clock,
        by_processor,
        target,
    })
}

fn contender<'a>(
    name: &'a str,
    server: &'a Child,
    requests: Vec<Vec<u8>>,
    status: u16,
) -> Contender<'a> {
    let load = Arc::new(Load {
        address: server.address,
        requests,
        status,
    });
    Contender { name, server, load }
}

/// Adds keys as rows, beside the running server: through it, it would take an hour.
async fn seed(place: &Place<'_>, organization: &str, from: u32, count: u32) -> Result<(), Failure> {
    seed::execute(place, key_rows::insert(organization, from, count)).await?;
    if place.database_url.is_some() {
        // PostgreSQL counts rows by itself sooner or later; a plan made before would be another.
        seed::execute(place, "ANALYZE".to_owned()).await?;
    }
    Ok(())
}
