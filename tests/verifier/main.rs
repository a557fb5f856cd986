//! The verifier for resource servers, over real ports: against issuers whose keys the tests hold, and
//! against the mint itself.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what fails here fails a test"
)]

#[path = "../support/mod.rs"]
mod support;

mod agreement;
mod answers;
mod claims;
mod feed;
mod feed_bounds;
mod feed_of_mint;
mod feed_vectors;
mod forged;
mod issuer;
mod mint;
mod networks;
mod revocations;
mod rotation;
mod scopes;
mod sources;
mod three_agree;
