//! Settings: flags and environment variables of the same name, parsed once into types.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::crypto::jose::signer::TokenType;
use crate::crypto::secret_hash::HashCost;
use crate::domain::audience::{Audiences, AudiencesError, Resource};
use crate::domain::client_address::{ForwardingHeader, TrustedProxies};
use crate::domain::issuer::{BaseUrl, BaseUrlError};
use crate::domain::network::Network;
use crate::domain::scope::ScopeSet;
use crate::domain::secret::KeyPrefix;
use crate::store::engine::{DatabaseUrl, DatabaseUrlError};

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

    /// Public base URL: the deployment issuer's `iss`, and the audience of the management plane.
    /// Must be https, except on loopback [default: http:// and LISTEN, when that is loopback]
    #[arg(
        long,
        env = "TENMINT_ISSUER",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub issuer: Option<String>,

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

    /// File that holds the root key; made on first start
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

    /// Most connections held at once; further ones wait
    #[arg(long, env = "TENMINT_MAX_CONNECTIONS", hide_env_values = true, value_name = "N", default_value = "8192", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
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

/// The `typ` of tokens, as it is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum TokenTypeSetting {
    /// RFC 9068.
    #[value(name = "at+jwt")]
    AtJwt,
    /// For validators that refuse the other.
    #[value(name = "JWT")]
    Jwt,
}

/// What a new API key without scopes is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum EmptyScopes {
    /// An error.
    Refuse,
    /// A key with the scope `*`.
    Full,
}

/// The form of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// Why settings that are each well-formed cannot be used together.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The issuer cannot be made from the listening address.
    #[error(
        "set ISSUER to the public base URL: LISTEN {0} is not a loopback address, so clients \
         reach this server by another name (and by https)"
    )]
    IssuerNeeded(SocketAddr),
    /// ISSUER is no base URL.
    #[error("ISSUER: {0}")]
    Issuer(#[from] BaseUrlError),
    /// AUDIENCE cannot be used.
    #[error("AUDIENCE: {0}")]
    Audience(#[from] AudiencesError),
    /// The base URL is too long to make an audience of.
    #[error("ISSUER: write a URL of at most 200 characters")]
    IssuerTooLong,
    /// DATABASE_URL is none. The value is not repeated: it may hold a password.
    #[error("DATABASE_URL: {0}")]
    DatabaseUrl(#[from] DatabaseUrlError),
    /// The three Argon2 settings do not make an acceptable hash.
    #[error(
        "ARGON2_MEMORY must be {}*ARGON2_LANES to {} KiB, ARGON2_PASSES 1 to {}, ARGON2_LANES 1 to {}",
        8, HashCost::MAX.memory_kib, HashCost::MAX.passes, HashCost::MAX.lanes
    )]
    Argon2,
}

impl Settings {
    /// The public base URL, given the address that is really listened on.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn base(&self, listening: SocketAddr) -> Result<BaseUrl, SettingsError> {
        let base: BaseUrl = match &self.issuer {
            Some(text) => text.parse()?,
            None if listening.ip().is_loopback() => format!("http://{listening}").parse()?,
            None => return Err(SettingsError::IssuerNeeded(listening)),
        };
        if base.as_str().len() > 200 {
            return Err(SettingsError::IssuerTooLong);
        }
        Ok(base)
    }

    /// What tokens are issued for.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn audiences(&self, base: &BaseUrl) -> Result<Audiences, SettingsError> {
        let mut audiences = self.audience.clone();
        if audiences.is_empty() {
            let default = format!("{}/api", base.as_str());
            audiences.push(default.parse().map_err(|_| SettingsError::IssuerTooLong)?);
        }
        Ok(Audiences::new(audiences, base)?)
    }

    /// Where the database is.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn database(&self) -> Result<DatabaseUrl, SettingsError> {
        Ok(self.database_url.parse()?)
    }

    /// Where the database is, without a password, for people.
    #[must_use]
    pub fn database_url_shown(&self) -> String {
        self.database()
            .map_or_else(|why| why.to_string(), |url| url.to_string())
    }

    /// What a secret hash costs.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn hash_cost(&self) -> Result<HashCost, SettingsError> {
        let cost = HashCost {
            memory_kib: self.argon2_memory,
            passes: self.argon2_passes,
            lanes: self.argon2_lanes,
        };
        cost.is_acceptable()
            .then_some(cost)
            .ok_or(SettingsError::Argon2)
    }

    /// Whose word about client addresses is taken.
    #[must_use]
    pub fn proxies(&self) -> TrustedProxies {
        TrustedProxies::new(self.trusted_proxies.clone(), self.client_ip_header)
    }

    /// What a new API key holds when no scopes are given; `None`: some must be.
    #[must_use]
    pub fn default_scopes(&self) -> Option<ScopeSet> {
        match self.empty_scopes {
            EmptyScopes::Refuse => None,
            EmptyScopes::Full => Some(ScopeSet::parse_parameter("*").expect("* is a scope")),
        }
    }
}

impl From<TokenTypeSetting> for TokenType {
    fn from(setting: TokenTypeSetting) -> Self {
        match setting {
            TokenTypeSetting::AtJwt => Self::AtJwt,
            TokenTypeSetting::Jwt => Self::Jwt,
        }
    }
}

fn token_lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if !(60..=3_600).contains(&lifetime.as_secs()) || lifetime.subsec_nanos() != 0 {
        return Err("write a whole number of seconds between 60s and 1h".to_owned());
    }
    Ok(lifetime)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    fn read(flags: &[&str]) -> Result<Settings, clap::Error> {
        let line = std::iter::once("tenmint").chain(flags.iter().copied());
        Line::try_parse_from(line).map(|line| line.settings)
    }

    #[test]
    fn the_issuer_follows_a_loopback_listener_and_no_other() {
        let settings = read(&[]).unwrap();
        let base = settings.base("127.0.0.1:4711".parse().unwrap()).unwrap();
        assert_eq!(base.as_str(), "http://127.0.0.1:4711");
        let everywhere = settings.base("0.0.0.0:8080".parse().unwrap());
        assert!(matches!(everywhere, Err(SettingsError::IssuerNeeded(_))));
        let audience = settings.audiences(&base).unwrap();
        assert_eq!(
            audience.default_audience().to_string(),
            "http://127.0.0.1:4711/api"
        );
    }

    #[test]
    fn token_lifetimes_stay_between_a_minute_and_an_hour() {
        assert_eq!(
            read(&["--token-lifetime", "10m"])
                .unwrap()
                .token_lifetime
                .as_secs(),
            600
        );
        for bad in ["59s", "61m", "0", "90500ms", "ten"] {
            assert!(read(&["--token-lifetime", bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bad_database_url_is_refused_without_being_repeated() {
        let settings = read(&["--database-url", "mysql://root:hunter2@db/x"]).unwrap();
        let refusal = settings.database().unwrap_err().to_string();
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }

    #[test]
    fn argon2_settings_are_taken_together() {
        assert!(read(&[]).unwrap().hash_cost().is_ok());
        let owasp = ["--argon2-memory", "19456", "--argon2-passes", "2"];
        assert!(read(&owasp).unwrap().hash_cost().is_ok());
        for bad in [
            ["--argon2-memory", "7"],
            ["--argon2-lanes", "5"],
            ["--argon2-passes", "0"],
        ] {
            assert!(read(&bad).unwrap().hash_cost().is_err(), "{bad:?}");
        }
    }
}
