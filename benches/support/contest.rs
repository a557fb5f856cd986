//! Servers side by side: alternating rounds under the same load, and what they come to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Failure;
use super::asked::Asked;
use super::child::Child;
use super::load::{Load, Until};
use super::process::used;
use super::spread::{Spread, middle, millis};

/// How much is done: a machine's moods last for longer than a turn, and so weigh on all contenders
/// alike where turns are short and many.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Alternating rounds.
    pub rounds: usize,
    /// How much each contender does in each.
    pub turn: Until,
    /// Connections at once.
    pub connections: usize,
}

impl Effort {
    /// What the command line asks for.
    pub fn asked(asked: &Asked) -> Self {
        if asked.is_quick() {
            Self::QUICK
        } else {
            Self::WHOLE
        }
    }

    /// For numbers to write down.
    pub const WHOLE: Self = Self {
        rounds: 61,
        turn: Until::Time(Duration::from_millis(200)),
        connections: 32,
    };

    /// For a try.
    pub const QUICK: Self = Self {
        rounds: 3,
        ..Self::WHOLE
    };
}

/// A server under a load.
pub struct Contender<'a> {
    /// What it is called in the table.
    pub name: &'a str,
    /// The server.
    pub server: &'a Child,
    /// What it is asked.
    pub load: Arc<Load>,
}

/// What all rounds came to.
pub struct Table {
    title: String,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    rate: f64,
    micros: Option<f64>,
    busy: Option<f64>,
    median_wait: Duration,
    late_wait: Duration,
    by_rate: Spread,
    by_time: Option<Spread>,
}

struct Turn {
    rate: f64,
    micros: Option<f64>,
    busy: Option<f64>,
    median_wait: Duration,
    late_wait: Duration,
}

impl Table {
    /// How many times as long as the first contender one of them takes for an answer, by the
    /// clock and by processor time: medians over all rounds.
    pub fn times_as_long(&self, contender: usize) -> (f64, Option<f64>) {
        let row = &self.rows[contender];
        let by_time = row.by_time.as_ref().map(|spread| spread.middle().recip());
        (row.by_rate.middle().recip(), by_time)
    }
}

/// Lets the contenders take turns. The first is the measure of the others: it has the first and
/// the last turn of each round, so that what the machine does meanwhile weighs on both sides, and
/// its last turn against its first tells how much of every number is noise.
pub async fn contest(
    title: &str,
    contenders: &[Contender<'_>],
    effort: Effort,
) -> Result<Table, Failure> {
    let order: Vec<_> = (0..contenders.len()).chain([0]).collect();
    let mut turns: Vec<Vec<Turn>> = order.iter().map(|_| Vec::new()).collect();
    for round in 0..=effort.rounds {
        for (turns, at) in turns.iter_mut().zip(&order) {
            let turn = take(&contenders[*at], effort).await?;
            // The first round warms up: pages, branch predictors, the clock of the processor.
            if round > 0 {
                turns.push(turn);
            }
        }
    }
    let again = turns.len() - 1;
    let rows = order.iter().enumerate().map(|(at, contender)| {
        let name = match at {
            _ if at == again => "  again, against its first turn",
            _ => contenders[*contender].name,
        };
        let last = if at == again { 0 } else { again };
        Row::of(name, &turns[at], [&turns[0], &turns[last]])
    });
    Ok(Table {
        title: title.to_owned(),
        rows: rows.collect(),
    })
}

async fn take(contender: &Contender<'_>, effort: Effort) -> Result<Turn, Failure> {
    let process = contender.server.id();
    let before = used(process);
    let mut outcome = contender.load.run(effort.connections, effort.turn).await?;
    let busy = used(process).since(&before);
    let answers = f64::from(u32::try_from(outcome.waits.len())?);
    Ok(Turn {
        rate: outcome.rate(),
        micros: busy.map(|busy| busy.as_secs_f64() * 1e6 / answers),
        busy: busy.map(|busy| busy.as_secs_f64() / outcome.took.as_secs_f64()),
        median_wait: outcome.percentile(50),
        late_wait: outcome.percentile(99),
    })
}

impl Row {
    /// Of the turns of one contender and the two turns beside each of which it is held.
    fn of(name: &str, turns: &[Turn], measure: [&[Turn]; 2]) -> Self {
        let known = |each: fn(&Turn) -> Option<f64>| {
            let values: Option<Vec<f64>> = turns.iter().map(each).collect();
            values.map(|values| Spread::of(values).middle())
        };
        let beside = |each: fn(&Turn) -> Option<f64>| {
            let [first, last] = measure;
            let ratios = turns.iter().zip(first).zip(last);
            let ratios: Option<Vec<f64>> = ratios
                .map(|((turn, first), last)| {
                    Some(each(turn)? / f64::midpoint(each(first)?, each(last)?))
                })
                .collect();
            ratios.map(Spread::of)
        };
        Self {
            name: name.to_owned(),
            rate: known(|turn| Some(turn.rate)).unwrap_or_default(),
            micros: known(|turn| turn.micros),
            busy: known(|turn| turn.busy),
            median_wait: middle(turns.iter().map(|turn| turn.median_wait)),
            late_wait: middle(turns.iter().map(|turn| turn.late_wait)),
            by_rate: beside(|turn| Some(turn.rate)).unwrap_or_else(|| Spread::of([])),
            by_time: beside(|turn| turn.micros.map(f64::recip)),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}", self.title)?;
        writeln!(
            f,
            "{:34} {:>7} {:>6} {:>8} {:>8} {:>8}   {:20}   by CPU time",
            "", "per s", "busy", "CPU each", "p50", "p99", "ratio by rate"
        )?;
        for row in &self.rows {
            let busy = shown(row.busy, |busy| format!("{:.0} %", busy * 100.0));
            let micros = shown(row.micros, |micros| format!("{micros:.1} µs"));
            let by_time = shown(row.by_time.as_ref(), Spread::to_string);
            writeln!(
                f,
                "{:34} {:>7.0} {busy:>6} {micros:>8} {:>8} {:>8}   {:20}   {by_time}",
                row.name,
                row.rate,
                millis(row.median_wait),
                millis(row.late_wait),
                row.by_rate.to_string(),
            )?;
        }
        Ok(())
    }
}

fn shown<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "?".to_owned(), show)
}
