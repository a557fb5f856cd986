//! Unmodified client libraries against the running server: what must work, and what must be refused.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what fails here fails a test"
)]

#[path = "../support/mod.rs"]
mod support;

mod obtain;
mod runtime;
mod validate;

mod compiled_servers;
mod curl;
mod deployed_files;
mod deployment;
mod feeds;
mod gateways;
mod guards;
mod guide;
mod hangs;
mod node;
mod python;
mod readme;
mod resource_servers;
mod rotations;
mod rust_clients;
mod schemathesis;
mod signed_by_hand;
mod smuggling;
