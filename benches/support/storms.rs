//! What keys in use notice of storms, as a table.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;
use std::time::Duration;

use super::pace::Kept;
use super::spread::{Spread, middle, millis};

/// How long a storm's begin lasts: all its clients ask in the same instant, and are answered one
/// after the other.
const BEGIN: Duration = Duration::from_millis(100);

/// What one turn came to.
pub struct Row {
    median: Duration,
    /// How long the slowest hundredth waited.
    pub late: Duration,
    /// The longest wait of those that were to be sent in the first [`BEGIN`].
    first: Duration,
    storm: Option<Storm>,
}

/// What a storm came to.
pub struct Storm {
    /// How long the slowest hundredth had waited in the calm before.
    pub calm_late: Duration,
    /// How many first uses in a second.
    pub rate: f64,
    /// How many runs of Argon2 one core made before, alone.
    pub alone: f64,
    /// How often a client was told to come again.
    pub put_off: usize,
}

impl Row {
    /// Of the waits of warm keys.
    pub fn of(warm: &Kept, storm: Option<Storm>) -> Self {
        Self {
            median: warm.percentile(50),
            late: warm.percentile(99),
            first: warm.longest_within(BEGIN),
            storm,
        }
    }
}

/// Prints the calm, the storms, and the storms with a flood.
pub fn print(engine: &str, rows: &[Vec<Row>; 3]) {
    let permits = permits();
    let storms = || rows.iter().flatten().filter_map(|row| row.storm.as_ref());
    let alone = Spread::of(storms().map(|storm| storm.alone)).middle();
    println!(
        "\nstorms, {engine}: {permits} first uses at a time, {alone:.0} Argon2 runs per s on a core"
    );
    println!(
        "{:27} {:>8} {:>9} {:>9} {:>21} {:>20} {:>20} {:>7}",
        "",
        "warm p50",
        "p99",
        "at first",
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
    for (name, rows) in names.into_iter().zip(rows) {
        let wait = |each: fn(&Row) -> Duration| millis(middle(rows.iter().map(each)));
        let storms = || {
            rows.iter()
                .filter_map(|row| Some((row.late, row.storm.as_ref()?)))
        };
        let against_calm =
            |(late, storm): (Duration, &Storm)| late.div_duration_f64(storm.calm_late);
        let spread =
            |each: &dyn Fn(&Storm) -> f64| Spread::of(storms().map(|(_, storm)| each(storm)));
        let put_off: usize = storms().map(|(_, storm)| storm.put_off).sum();
        println!(
            "{name:27} {:>8} {:>9} {:>9} {:>21} {:>20} {:>20} {put_off:>7}",
            wait(|row| row.median),
            wait(|row| row.late),
            wait(|row| row.first),
            Spread::of(storms().map(against_calm)),
            spread(&|storm| storm.rate),
            spread(&|storm| storm.rate / storm.alone / f64::from(permits)),
        );
    }
}

/// As many first uses as run at once.
pub fn permits() -> u32 {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    u32::try_from(cores.saturating_sub(1).max(1)).unwrap_or(u32::MAX)
}
