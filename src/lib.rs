#![doc = "tenmint: a token mint. Work in progress."]
pub mod app;
pub mod cli;
pub mod clock;
pub mod credentials;
pub mod crypto;
pub mod domain;
pub mod http;
pub mod issue;
pub mod jobs;
pub mod manage;
pub mod serve;
pub mod settings;
pub mod store;
pub mod telemetry;
