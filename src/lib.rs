//! tenmint: a token mint. It exchanges a long-lived API key for a short-lived signed token.
//!
//! A token request goes one way through the house:
//!
//! ```text
//! serve ─► http::token ─► issue ─► credentials ─► store        who is this?
//!            parse          │        cache, Argon2 gate
//!                           ├─────► domain                     may it?
//!                           └─────► crypto                     sign
//!          http::token ◄─── Issued or Refusal
//! ```
//!
//! A management request goes `http` → `manage` → `store`, and its commit raises the
//! generations by which `credentials` knows that what it holds is old.
//!
//! | room | what it is for | may use |
//! |---|---|---|
//! | [`domain`] | facts and rules, no I/O | no other room |
//! | [`clock`] | the only reader of the wall clock | domain |
//! | [`telemetry`] | structured events, counts | no other room |
//! | [`crypto`] | hashing, sealing, signing, verifying | domain, telemetry |
//! | [`store`] | SQL on SQLite and PostgreSQL | domain, telemetry |
//! | [`usage`] | what keys are used for, counted in memory | domain, clock, store, telemetry |
//! | [`credentials`] | who is this, behind a cache; who signs | domain, clock, crypto, store, usage, telemetry |
//! | [`issue`] | the exchange | those, credentials |
//! | [`check`] | what a credential that services were shown is worth | those, credentials |
//! | [`gateway`] | what may go through to services | those, credentials, issue, check |
//! | [`feed`] | what offline validators must refuse | those, credentials |
//! | [`manage`] | organizations, bootstrap, API keys | those, credentials |
//! | [`jobs`] | everything periodic | those, manage |
//! | [`settings`] | flags and environment | domain, crypto, store |
//! | [`app`] | everything built once, shared | all above |
//! | [`http`] | the router and its resources | app, issue, check, gateway, feed, manage, credentials, domain, clock, telemetry |
//! | [`serve`] | listeners, TLS, limits, drain | http, app, settings, domain, clock |
//! | [`cli`] | thin commands | all |
//! | [`verifier`] | for resource servers: checks tokens without asking the mint | domain, clock, the JOSE part of crypto |
//!
//! `tests/house.rs` keeps the last column true.
//!
//! A resource server takes the verifier alone: `default-features = false, features = ["verifier"]`.

#[cfg(feature = "server")]
pub mod app;
#[cfg(feature = "server")]
pub mod check;
#[cfg(feature = "server")]
pub mod cli;
pub mod clock;
#[cfg(feature = "server")]
pub mod credentials;
pub mod crypto;
pub mod domain;
#[cfg(feature = "server")]
pub mod feed;
#[cfg(feature = "server")]
pub mod gateway;
#[cfg(feature = "server")]
pub mod http;
#[cfg(feature = "server")]
pub mod issue;
#[cfg(feature = "server")]
pub mod jobs;
#[cfg(feature = "server")]
pub mod manage;
#[cfg(feature = "server")]
pub mod serve;
#[cfg(feature = "server")]
pub mod settings;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod telemetry;
#[cfg(feature = "server")]
pub mod usage;
#[cfg(feature = "verifier")]
pub mod verifier;
