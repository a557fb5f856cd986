//! The flags and environment variables, in the words of `--help`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values::{
    EmptyScopes, Interval, Listen, LogFormat, Switch, TokenTypeSetting, clock_skew, interval,
    jwks_max_age, lead, listen, stale_limit, token_lifetime, usage_flush_interval,
};
use crate::domain::audience::Resource;
use crate::domain::client_address::ForwardingHeader;
use crate::domain::network::Network;
use crate::domain::secret::KeyPrefix;

/// What a deployment can be told. Every flag has an environment variable of its name, with
/// `TENMINT_` before it; the flag wins. No secret has a flag: the process list shows flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Settings")]
pub struct Settings {
    /// Address and port to listen on
    #[arg(
        long,
        env = "TENMINT_LISTEN",
        hide_env_values = true,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8080"
    )]
    pub listen: SocketAddr,

    /// Address and port on which /metrics is served, or `off`: never where strangers reach it
    #[arg(long, env = "TENMINT_METRICS_LISTEN", hide_env_values = true, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8081", value_parser = listen)]
    pub metrics_listen: Listen,

    /// Public base URL, the same on every server: the deployment issuer's `iss`, and the audience
    /// of the management plane. Must be https, except on loopback [default: LISTEN, when that is
    /// loopback]
    #[arg(
        long,
        env = "TENMINT_ISSUER",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub issuer: Option<String>,

    /// File with this server's certificate in PEM, then those that signed it: makes LISTEN speak TLS.
    /// Looked at again every few seconds
    #[arg(
        long,
        env = "TENMINT_TLS_CERT_FILE",
        hide_env_values = true,
        value_name = "PATH"
    )]
    pub tls_cert_file: Option<PathBuf>,

    /// File with the private key of that certificate, in PEM, unencrypted
    #[arg(
        long,
        env = "TENMINT_TLS_KEY_FILE",
        hide_env_values = true,
        value_name = "PATH"
    )]
    pub tls_key_file: Option<PathBuf>,

    /// Database: sqlite:PATH or postgres://USER@HOST/DATABASE. A URL with a password is taken
    /// from the environment only
    #[arg(
        long,
        env = "TENMINT_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        default_value = "sqlite:data/tenmint.db"
    )]
    pub database_url: String,

    /// File that holds the root keys, one a line; made on first start
    #[arg(
        long,
        env = "TENMINT_ROOT_KEY_FILE",
        hide_env_values = true,
        value_name = "PATH",
        default_value = "keys/root.key"
    )]
    pub root_key_file: PathBuf,

    /// Audiences that tokens are issued for, comma-separated absolute URIs; the first is the
    /// default [default: ISSUER/api]
    #[arg(
        long,
        env = "TENMINT_AUDIENCE",
        hide_env_values = true,
        value_name = "URI,...",
        value_delimiter = ','
    )]
    pub audience: Vec<Resource>,

    /// How long a token lives: 60s to 1h
    #[arg(long, env = "TENMINT_TOKEN_LIFETIME", hide_env_values = true, value_name = "DURATION", default_value = "600s", value_parser = token_lifetime)]
    pub token_lifetime: Duration,

    /// The `typ` header of tokens. Spring Security 7 refuses at+jwt by default
    #[arg(
        long,
        env = "TENMINT_TOKEN_TYP",
        hide_env_values = true,
        default_value = "at+jwt"
    )]
    pub token_typ: TokenTypeSetting,

    /// How often signing keys are rotated, such as 90d; up to a tenth earlier, so that issuers made
    /// together do not rotate together. `off`: only when somebody asks
    #[arg(long, env = "TENMINT_SIGNING_KEY_ROTATION", hide_env_values = true, value_name = "DURATION", default_value = "90d", value_parser = interval)]
    pub signing_key_rotation: Interval,

    /// For how long a signing key is published before it signs: longer than any validator caches
    /// the JWKS, by `STALE_LIMIT` and `CLOCK_SKEW` together or more. At most 30d
    #[arg(long, env = "TENMINT_SIGNING_KEY_LEAD", hide_env_values = true, value_name = "DURATION", default_value = "2h 10m", value_parser = lead)]
    pub signing_key_lead: Duration,

    /// For how long validators are told that they may cache the JWKS: 1s to 24h
    #[arg(long, env = "TENMINT_JWKS_MAX_AGE", hide_env_values = true, value_name = "DURATION", default_value = "300s", value_parser = jwks_max_age)]
    pub jwks_max_age: Duration,

    /// How old what is cached may be while neither other nodes nor the database are heard, after
    /// which nothing is issued: 3s to 60s
    #[arg(long, env = "TENMINT_STALE_LIMIT", hide_env_values = true, value_name = "DURATION", default_value = "10s", value_parser = stale_limit)]
    pub stale_limit: Duration,

    /// By how much the clocks of servers may differ before signing keys suffer: 0s to 1h. Tokens
    /// bear less: `tenmint doctor` calls more than 5s a problem, and more than this if it is less
    #[arg(long, env = "TENMINT_CLOCK_SKEW", hide_env_values = true, value_name = "DURATION", default_value = "60s", value_parser = clock_skew)]
    pub clock_skew: Duration,

    /// What new API keys begin with: 1 to 16 lower-case letters, digits and _
    #[arg(
        long,
        env = "TENMINT_KEY_PREFIX",
        hide_env_values = true,
        value_name = "PREFIX",
        default_value = "tmsk"
    )]
    pub key_prefix: KeyPrefix,

    /// Networks of the proxies in front, comma-separated: from these, and no others, the
    /// client's address is taken from CLIENT_IP_HEADER
    #[arg(
        long,
        env = "TENMINT_TRUSTED_PROXIES",
        hide_env_values = true,
        value_name = "CIDR,...",
        value_delimiter = ','
    )]
    pub trusted_proxies: Vec<Network>,

    /// The one header trusted proxies tell the client's address in: X-Forwarded-For or Forwarded
    #[arg(
        long,
        env = "TENMINT_CLIENT_IP_HEADER",
        hide_env_values = true,
        value_name = "HEADER",
        default_value = "X-Forwarded-For"
    )]
    pub client_ip_header: ForwardingHeader,

    /// Networks of the gateways that may ask /gateway/verify, comma-separated; from these too the
    /// client's address is taken from CLIENT_IP_HEADER [default: TRUSTED_PROXIES]
    #[arg(
        long,
        env = "TENMINT_GATEWAY_PEERS",
        hide_env_values = true,
        value_name = "CIDR,...",
        value_delimiter = ','
    )]
    pub gateway_peers: Vec<Network>,

    /// What a new API key without scopes is: refused, or given every platform scope
    #[arg(
        long,
        env = "TENMINT_EMPTY_SCOPES",
        hide_env_values = true,
        default_value = "refuse"
    )]
    pub empty_scopes: EmptyScopes,

    /// Memory of one secret hash in KiB: 8 to 65536
    #[arg(
        long,
        env = "TENMINT_ARGON2_MEMORY",
        hide_env_values = true,
        value_name = "KIB",
        default_value = "1024"
    )]
    pub argon2_memory: u32,

    /// Passes of one secret hash: 1 to 16
    #[arg(
        long,
        env = "TENMINT_ARGON2_PASSES",
        hide_env_values = true,
        value_name = "N",
        default_value = "1"
    )]
    pub argon2_passes: u32,

    /// Lanes of one secret hash: 1 to 4
    #[arg(
        long,
        env = "TENMINT_ARGON2_LANES",
        hide_env_values = true,
        value_name = "N",
        default_value = "1"
    )]
    pub argon2_lanes: u32,

    /// Most API keys held in memory, about 1 KB each; of others the database is asked
    #[arg(long, env = "TENMINT_CREDENTIAL_CACHE", hide_env_values = true, value_name = "N", default_value = "100000", value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    pub credential_cache: u32,

    /// Most connections held at once; further ones wait
    #[arg(long, env = "TENMINT_MAX_CONNECTIONS", hide_env_values = true, value_name = "N", default_value = "16384", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,

    /// How long a new connection may take to send its first request's head
    #[arg(long, env = "TENMINT_FIRST_REQUEST_TIMEOUT", hide_env_values = true, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub first_request_timeout: Duration,

    /// How long an open connection may stay idle; longer than a proxy in front keeps its own
    #[arg(long, env = "TENMINT_IDLE_TIMEOUT", hide_env_values = true, value_name = "DURATION", default_value = "75s", value_parser = humantime::parse_duration)]
    pub idle_timeout: Duration,

    /// How long a request may take from its head to its answer
    #[arg(long, env = "TENMINT_REQUEST_TIMEOUT", hide_env_values = true, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub request_timeout: Duration,

    /// How long a shutdown goes on serving while /readyz already says no, so that load balancers
    /// notice before connections are refused
    #[arg(
        long,
        env = "TENMINT_SHUTDOWN_DELAY",
        hide_env_values = true,
        value_name = "DURATION",
        default_value = "0s",
        value_parser = humantime::parse_duration
    )]
    pub shutdown_delay: Duration,

    /// How long a shutdown waits for requests under way; a second signal ends the wait
    #[arg(long, env = "TENMINT_DRAIN_TIMEOUT", hide_env_values = true, value_name = "DURATION", default_value = "20s", value_parser = humantime::parse_duration)]
    pub drain_timeout: Duration,

    /// How often usage is written to the database: 1s to 60s. A crash loses what was counted since
    #[arg(long, env = "TENMINT_USAGE_FLUSH_INTERVAL", hide_env_values = true, value_name = "DURATION", default_value = "10s", value_parser = usage_flush_interval)]
    pub usage_flush_interval: Duration,

    /// Whether to record, for 7 days and key by key, which addresses obtained tokens for which
    /// scopes: what dry runs are held against
    #[arg(
        long,
        env = "TENMINT_EXCHANGE_RECORD",
        hide_env_values = true,
        default_value = "on"
    )]
    pub exchange_record: Switch,

    /// Base URL of a collector that takes traces by OTLP (http/protobuf), such as
    /// http://127.0.0.1:4318 [default: OTEL_EXPORTER_OTLP_ENDPOINT, or no traces]
    #[arg(
        long,
        env = "TENMINT_OTLP_ENDPOINT",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub otlp_endpoint: Option<String>,

    /// Form of the log: text, json, or auto (text on a terminal, json elsewhere)
    #[arg(
        long,
        env = "TENMINT_LOG_FORMAT",
        hide_env_values = true,
        default_value = "auto"
    )]
    pub log_format: LogFormat,

    /// Which events are logged: error, warn, info, debug, trace, or a filter such as
    /// tenmint=debug,info
    #[arg(
        long,
        env = "TENMINT_LOG",
        hide_env_values = true,
        value_name = "FILTER",
        default_value = "info"
    )]
    pub log: String,
}
