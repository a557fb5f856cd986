//! Black-box tests over a real port, one file per surface, on both engines.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what fails here fails a test"
)]

#[path = "../support/mod.rs"]
mod support;

mod api_key_disuse;
mod api_key_edits;
mod api_key_filters;
mod api_key_lists;
mod api_key_notices;
mod api_keys;
mod audit;
mod audit_chain;
mod audit_events;
mod audit_privacy;
mod audit_tampering;
mod audit_verification;
mod authority;
mod authority_at_present;
mod authority_property;
mod bodies;
mod bootstrap;
mod bootstrap_grant;
mod bounds;
mod bulk_revoke;
mod canary;
mod cli;
mod contention;
mod deletion;
mod docs;
mod dry_runs;
mod edit_property;
mod edit_property_coalition;
mod exchange_records;
mod forged_tokens;
mod gateway;
mod gateway_exchange;
mod gateway_smuggling;
mod hostile;
mod hostile_framing;
mod hostile_memory;
mod hostile_storm;
mod idempotency;
mod introspection;
mod introspection_walls;
mod jwks;
mod late_acts;
mod late_credentials;
mod leaks;
mod manage_cli;
mod manage_cli_reading;
mod manage_cli_refusals;
mod manage_cli_rules;
mod management_tokens;
mod metadata;
mod networks;
mod openapi;
mod organizations;
mod policy;
mod policy_of_keys;
mod policy_of_tokens;
mod presenting;
mod problems;
mod problems_of_input;
mod problems_of_state;
mod proxies;
mod rate_limits;
mod refusals;
mod revocation;
mod revocation_wire;
mod role_bounds;
mod role_property;
mod roles;
mod root_key_crashes;
mod root_key_starts;
mod root_keys;
mod rotation;
mod rotation_load;
mod routes;
mod scope_catalogue;
mod self_revocation;
mod signing_key_revocation;
mod signing_key_simulation;
mod signing_keys;
mod start;
mod suspension;
mod token;
mod token_claims;
mod token_denials;
mod token_parsing;
mod token_refusals;
mod token_scopes;
mod token_targets;
mod token_trouble;
mod token_wire;
mod usage;
mod usage_flushing;
mod validation;
mod walls;
mod wire_bodies;
