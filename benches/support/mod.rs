//! What the benches share: servers in processes of their own, a load generator, measuring.

#![allow(dead_code, reason = "each bench uses its own part of the support")]

pub mod asked;
pub mod bare;
pub mod child;
pub mod contest;
pub mod instructions;
#[path = "../../tests/support/key_rows.rs"]
pub mod key_rows;
#[path = "../../tests/support/left_out.rs"]
mod left_out;
pub mod load;
pub mod pace;
#[path = "../../tests/support/postgres.rs"]
#[allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a PostgreSQL that is there and fails is an error"
)]
pub mod postgres;
pub mod process;
pub mod renewal;
pub mod requests;
pub mod seed;
pub mod spread;
pub mod storms;
pub mod tenmint;

use std::process::ExitCode;

use asked::Asked;
use tokio::runtime::{Builder, Runtime};

/// Why a bench came to nothing. Numbers are never a reason.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What every bench's `main` does: `work` on the thread that it is called on, or, as the child of
/// a bench, serve.
pub fn bench<W>(work: impl FnOnce(Asked) -> W) -> ExitCode
where
    W: Future<Output = Result<(), Failure>>,
{
    bench_in(Builder::new_current_thread().enable_all().build(), work)
}

/// The same in another runtime.
pub fn bench_in<W>(runtime: std::io::Result<Runtime>, work: impl FnOnce(Asked) -> W) -> ExitCode
where
    W: Future<Output = Result<(), Failure>>,
{
    let asked = Asked::of_process();
    asked::exit(match asked.all() {
        [serve, which] if serve == child::SERVE => child::serve(which),
        _ => runtime.map_or_else(
            |why| Err(why.into()),
            |runtime| runtime.block_on(work(asked)),
        ),
    })
}
