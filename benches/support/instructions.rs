//! What one request more costs, counted by valgrind: instructions and allocations. Repeatable to
//! a fraction of a percent, however busy the machine is.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::Failure;
use super::child::{Child, Place};
use super::load::{Load, Until};
use super::requests::{Key, Operator, samples};

/// Requests in the shorter and in the longer run. What starting and stopping cost is in both, and
/// so not in their difference.
const RUNS: [usize; 2] = [1_000, 5_000];

/// Settings of a server, beyond the defaults.
type Settings<'a> = &'a [(&'static str, &'static str)];

/// What one request costs.
pub struct Count {
    instructions: u64,
    allocations: u64,
    bytes: u64,
}

/// The line over counts.
pub fn header() {
    println!("\none request more");
    println!(
        "{:34} {:>12} {:>11} {:>8}",
        "", "instructions", "allocations", "bytes"
    );
}

/// A key, and what a server answered it, for the bare handler to answer likes of.
pub async fn sampled() -> Result<(Key, String), Failure> {
    let folder = tempfile::tempdir()?;
    let mut server = Child::start("tenmint", &Place::of(folder.path()), &[])?;
    let keys = Operator::of(&mut server).await?.keys(1).await?;
    let key = keys.into_iter().next().ok_or("one key was made")?;
    let samples = samples(&server, &key).await?;
    server.stop()?;
    Ok((key, samples))
}

/// Runs a server under callgrind and under DHAT, each twice, to be asked by `prepare` and then by
/// the load that it gives. The longer run's profile is left for `callgrind_annotate`, as `name`
/// in cargo's folder for such things.
pub async fn each(
    name: &str,
    (which, settings): (&str, Settings<'_>),
    prepare: impl AsyncFn(&mut Child) -> Result<Arc<Load>, Failure>,
) -> Result<Count, Failure> {
    let profile = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.callgrind"));
    let out = format!("--callgrind-out-file={}", profile.display());
    let callgrind = ["valgrind", "--tool=callgrind", &out].map(str::to_owned);
    let dhat = ["valgrind", "--tool=dhat", "--dhat-out-file=/dev/null"].map(str::to_owned);
    let [mut instructions, mut heap] = [[[0; 2]; 2]; 2];
    for (run, requests) in RUNS.into_iter().enumerate() {
        run_under(&callgrind, which, settings, &prepare, requests).await?;
        instructions[run][0] = total(&fs::read_to_string(&profile)?).ok_or("callgrind counts")?;
        let log = run_under(&dhat, which, settings, &prepare, requests).await?;
        heap[run] = blocks(&log).ok_or("DHAT counts")?;
    }
    let more = u64::try_from(RUNS[1] - RUNS[0])?;
    let each = |runs: [[u64; 2]; 2], at: usize| runs[1][at].saturating_sub(runs[0][at]) / more;
    Ok(Count {
        instructions: each(instructions, 0),
        allocations: each(heap, 0),
        bytes: each(heap, 1),
    })
}

/// Gives what valgrind said in the end.
async fn run_under(
    valgrind: &[String],
    which: &str,
    settings: Settings<'_>,
    prepare: impl AsyncFn(&mut Child) -> Result<Arc<Load>, Failure>,
    requests: usize,
) -> Result<String, Failure> {
    let folder = tempfile::tempdir()?;
    let place = Place {
        folder: folder.path(),
        database_url: None,
        settings,
    };
    let mut server = Child::start(which, &place, valgrind)?;
    let load = prepare(&mut server).await?;
    load.run(1, Until::Count(requests)).await?;
    server.stop()?;
    Ok(server.log()?)
}

/// The sum in a profile of callgrind's.
fn total(profile: &str) -> Option<u64> {
    let total = |line: &str| line.strip_prefix("totals: ")?.trim().parse().ok();
    profile.lines().rev().find_map(total)
}

/// Allocations and their bytes, from DHAT's `==1== Total:     1,234 bytes in 56 blocks`.
fn blocks(log: &str) -> Option<[u64; 2]> {
    let total = |line: &str| {
        let (_, sums) = line.split_once("Total:")?;
        let (bytes, blocks) = sums.split_once(" bytes in ")?;
        let number = |text: &str| text.trim().replace(',', "").parse().ok();
        Some([number(blocks.strip_suffix(" blocks")?)?, number(bytes)?])
    };
    log.lines().rev().find_map(total)
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            instructions,
            allocations,
            bytes,
        } = self;
        write!(f, "{instructions:>12} {allocations:>11} {bytes:>8}")
    }
}
