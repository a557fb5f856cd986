//! Facts and rules, no I/O: what tenmint's words mean.

pub mod api_key;
pub mod audience;
pub mod audit;
pub mod claims;
pub mod client_address;
pub mod hex;
pub mod issuer;
pub mod management;
pub mod network;
pub mod organization;
pub mod policy;
pub mod rate_limit;
pub mod role;
pub mod scope;
pub mod secret;
pub mod signing_key;
pub mod text;
pub mod timestamp;
pub mod usage;
