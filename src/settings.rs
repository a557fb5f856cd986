//! Settings: flags and environment variables of the same name, parsed once into types.

mod flags;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use flags::Settings;
pub use values::{EmptyScopes, Interval, Listen, LogFormat, Switch, TokenTypeSetting};

use crate::crypto::jose::signer::TokenType;
use crate::crypto::secret_hash::HashCost;
use crate::domain::audience::{Audiences, AudiencesError};
use crate::domain::client_address::{Gateways, TrustedProxies};
use crate::domain::issuer::{BaseUrl, BaseUrlError};
use crate::domain::scope::ScopeSet;
use crate::domain::signing_key::{Schedule, ScheduleError};
use crate::store::engine::{DatabaseUrl, DatabaseUrlError};

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
    /// A certificate without a key, or the other way round.
    #[error("set TLS_CERT_FILE and TLS_KEY_FILE, or neither: {0} is missing")]
    HalfTls(&'static str),
    /// The server speaks TLS, and its issuer says that it does not.
    #[error(
        "ISSUER is plain http, and TLS_CERT_FILE makes this server speak https: write https://"
    )]
    PlainIssuer,
    /// AUDIENCE cannot be used.
    #[error("AUDIENCE: {0}")]
    Audience(#[from] AudiencesError),
    /// The base URL is too long to make an audience of.
    #[error("ISSUER: write a URL of at most 200 characters")]
    IssuerTooLong,
    /// DATABASE_URL is none. The value is not repeated: it may hold a password.
    #[error("DATABASE_URL: {0}")]
    DatabaseUrl(#[from] DatabaseUrlError),
    /// The times of signing keys contradict each other.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The three Argon2 settings do not make an acceptable hash.
    #[error(
        "ARGON2_MEMORY must be {}*ARGON2_LANES to {} KiB, ARGON2_PASSES 1 to {}, ARGON2_LANES 1 to {}",
        8, HashCost::MAX.memory_kib, HashCost::MAX.passes, HashCost::MAX.lanes
    )]
    Argon2,
}

/// Where a server's certificate and its key are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// The server's certificate, then those that signed it, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

impl Settings {
    /// The public base URL, given the address that is really listened on.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn base(&self, listening: SocketAddr) -> Result<BaseUrl, SettingsError> {
        let tls = self.tls_files()?.is_some();
        let scheme = if tls { "https" } else { "http" };
        let base: BaseUrl = match &self.issuer {
            Some(text) => text.parse()?,
            None if listening.ip().is_loopback() => format!("{scheme}://{listening}").parse()?,
            None => return Err(SettingsError::IssuerNeeded(listening)),
        };
        if tls && !base.as_str().starts_with("https:") {
            return Err(SettingsError::PlainIssuer);
        }
        if base.as_str().len() > 200 {
            return Err(SettingsError::IssuerTooLong);
        }
        Ok(base)
    }

    /// What the listener presents; `None`: it speaks no TLS.
    ///
    /// # Errors
    /// When one file is named without the other.
    pub fn tls_files(&self) -> Result<Option<TlsFiles>, SettingsError> {
        match (self.tls_cert_file.clone(), self.tls_key_file.clone()) {
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(SettingsError::HalfTls("TLS_KEY_FILE")),
            (None, Some(_)) => Err(SettingsError::HalfTls("TLS_CERT_FILE")),
        }
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

    /// When signing keys are rotated.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn schedule(&self) -> Result<Schedule, SettingsError> {
        let interval = match self.signing_key_rotation {
            Interval::Every(interval) => Some(interval),
            Interval::Off => None,
        };
        let (lead, max_age) = (self.signing_key_lead, self.jwks_max_age);
        let (skew, stale_limit) = (self.clock_skew, self.stale_limit);
        Ok(Schedule::new(interval, lead, max_age, skew, stale_limit)?)
    }

    /// Whose word about client addresses is taken.
    #[must_use]
    pub fn proxies(&self) -> TrustedProxies {
        TrustedProxies::new(self.trusted_proxies.clone(), self.client_ip_header)
    }

    /// Which peers may ask the gateway endpoint.
    #[must_use]
    pub fn gateways(&self) -> Gateways {
        let (named, trusted) = (&self.gateway_peers, &self.trusted_proxies);
        Gateways::new(named, trusted, self.client_ip_header)
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
    fn a_server_that_speaks_tls_is_an_https_issuer() {
        let files = ["--tls-cert-file", "c.pem", "--tls-key-file", "k.pem"];
        let here = "127.0.0.1:4711".parse().unwrap();
        let settings = read(&files).unwrap();
        let base = settings.base(here).unwrap();
        assert_eq!(base.as_str(), "https://127.0.0.1:4711");
        let plain = [&files[..], &["--issuer", "http://127.0.0.1:4711"]].concat();
        let refused = read(&plain).unwrap().base(here);
        assert!(matches!(refused, Err(SettingsError::PlainIssuer)));
        for half in files.chunks(2) {
            let refused = read(half).unwrap().base(here);
            assert!(
                matches!(refused, Err(SettingsError::HalfTls(_))),
                "{half:?}"
            );
        }
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
