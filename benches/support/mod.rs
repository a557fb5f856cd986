//! What the benches share: servers in processes of their own, a load generator, measuring.

#![allow(dead_code, reason = "each bench uses its own part of the support")]

pub mod bare;
pub mod child;
pub mod contest;
pub mod instructions;
#[path = "../../tests/support/key_rows.rs"]
pub mod key_rows;
#[path = "../../tests/support/left_out.rs"]
mod left_out;
pub mod load;
#[path = "../../tests/support/postgres.rs"]
#[allow(
    clippy::panic,
    reason = "a PostgreSQL that is there and fails is an error"
)]
pub mod postgres;
pub mod process;
pub mod requests;
pub mod tenmint;

/// Why a bench came to nothing. Numbers are never a reason.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
