//! The wait at half of what a server can do, against the least a server can do.
//!
//! `cargo bench --bench half_load`; with `-- --quick` a try of some seconds. `docs/performance.md`
//! explains the numbers.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench prints what it found"
)]

mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use support::asked::Asked;
use support::child::{Child, Place};
use support::load::Until;
use support::pace::{Pace, Stop};
use support::requests::{Operator, exchange_load, exchanges, samples};
use support::spread::{Spread, middle, millis};
use support::{Failure, bench};

/// How many keys are in use all the time.
const KEYS: usize = 256;

/// Over how many connections.
const CONNECTIONS: u32 = 32;

fn main() -> ExitCode {
    bench(measure)
}

/// Each server is asked half of what it can do, and the bare handler half of what tenmint can as
/// well.
async fn measure(asked: Asked) -> Result<(), Failure> {
    let (rounds, turn) = if asked.is_quick() {
        (3, Duration::from_millis(500))
    } else {
        (9, Duration::from_secs(3))
    };
    let folder = tempfile::tempdir()?;
    let place = Place::of(folder.path());
    let mut tenmint = Child::start("tenmint-whole", &place, &[])?;
    let keys = Operator::of(&mut tenmint).await?.keys(KEYS).await?;
    let mut bare = Child::start("bare-whole", &place, &[])?;
    bare.tell(&samples(&tenmint, &keys[0]).await?)?;
    let mut most = Vec::new();
    for server in [&bare, &tenmint] {
        let load = exchange_load(server, &keys);
        let run = || load.run(CONNECTIONS as usize, Until::Time(turn));
        run().await?;
        most.push(run().await?.rate());
    }
    let turns = [
        ("bare axum and ring, half of its most", &bare, most[0] / 2.0),
        ("  the same, half of tenmint's most", &bare, most[1] / 2.0),
        ("tenmint, half of its most", &tenmint, most[1] / 2.0),
    ];
    let mut rows: [Vec<Row>; 3] = Default::default();
    for round in 0..=rounds {
        let mut first: Option<Duration> = None;
        for (rows, (_, server, per_second)) in rows.iter_mut().zip(turns) {
            let pace = Pace {
                address: server.address,
                requests: Arc::new(exchanges(&keys)),
                statuses: &[200],
                per_second,
                connections: CONNECTIONS,
                foremost: false,
            };
            let kept = pace.keep(Stop::After(turn)).await?;
            let late = kept.percentile(99);
            let against_first = first.map(|first| late.div_duration_f64(first));
            first = first.or(Some(late));
            // The first round warms up.
            if round > 0 {
                rows.push(Row {
                    median: kept.percentile(50),
                    late,
                    against_first,
                });
            }
        }
    }
    println!("\nthe wait at half of what a server can do, from when a request was to be sent");
    println!(
        "{:38} {:>7} {:>9} {:>9} {:>22}",
        "", "per s", "p50", "p99", "p99 against the first"
    );
    for ((name, _, per_second), rows) in turns.into_iter().zip(&rows) {
        println!(
            "{name:38} {per_second:>7.0} {:>9} {:>9} {:>22}",
            millis(middle(rows.iter().map(|row| row.median))),
            millis(middle(rows.iter().map(|row| row.late))),
            Spread::of(rows.iter().filter_map(|row| row.against_first)),
        );
    }
    Ok(())
}

/// What one turn came to.
struct Row {
    median: Duration,
    late: Duration,
    against_first: Option<f64>,
}
