//! Instructions per request, counted by valgrind: repeatable to a fraction of a percent, however
//! busy the machine is.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::Failure;
use super::child::{Child, Place};
use super::load::{Load, Until};

/// Requests in the shorter and in the longer run. What starting and stopping cost is in both, and
/// so not in their difference.
const RUNS: [usize; 2] = [1_000, 5_000];

/// Runs a server under callgrind twice, to be asked by `prepare` and then by the load that it
/// gives, and tells what one request more costs. The longer run's profile is left for
/// `callgrind_annotate`, as `name` in cargo's folder for such things.
pub async fn each(
    name: &str,
    which: &str,
    prepare: impl AsyncFn(&mut Child) -> Result<Arc<Load>, Failure>,
) -> Result<u64, Failure> {
    let profile = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.callgrind"));
    let out = format!("--callgrind-out-file={}", profile.display());
    let valgrind = ["valgrind".to_owned(), "--tool=callgrind".to_owned(), out];
    let mut totals = [0, 0];
    for (total, count) in totals.iter_mut().zip(RUNS) {
        let folder = tempfile::tempdir()?;
        let place = Place {
            folder: folder.path(),
            database_url: None,
            settings: &[],
        };
        let mut server = Child::start(which, &place, &valgrind)?;
        let load = prepare(&mut server).await?;
        load.run(1, Until::Count(count)).await?;
        server.stop()?;
        *total = total_of(&fs::read_to_string(&profile)?).ok_or("callgrind counts")?;
    }
    let [shorter, longer] = totals;
    let more = u64::try_from(RUNS[1] - RUNS[0])?;
    Ok(longer.saturating_sub(shorter) / more)
}

fn total_of(profile: &str) -> Option<u64> {
    let totals = |line: &str| line.strip_prefix("totals: ")?.trim().parse().ok();
    profile.lines().rev().find_map(totals)
}
