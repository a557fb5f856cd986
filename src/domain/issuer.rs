//! The names an issuer goes by: its `iss` and the URLs of what it publishes.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use url::{Host, Url};

use super::organization::OrganizationId;

/// The public base URL of a deployment, without a trailing slash. It is the deployment
/// issuer's `iss`, and the audience of the management plane. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BaseUrl {
    text: Arc<str>,
    /// The path, without a trailing slash: empty, or beginning with `/`.
    path: Arc<str>,
}

/// Which of a deployment's issuers: its own, or an organization's.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Issuer {
    /// `{base}`, signing with the operator organization's key.
    Deployment,
    /// `{base}/orgs/{org}`, signing with that organization's key.
    Organization(OrganizationId),
}

/// Why a URL cannot be the public base URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// Not an absolute http(s) URL, or more than scheme, host, port and path.
    #[error(
        "write an absolute https URL without user, query or fragment, such as https://auth.example.com"
    )]
    Shape,
    /// Plain http off the machine: keys would cross the network in the clear (RFC 8414 §2).
    #[error("use https: plain http is accepted for loopback addresses alone")]
    Insecure,
    /// Below `/.well-known`, where documents about issuers are.
    #[error("choose another path: what begins with /.well-known is kept for documents (RFC 8615)")]
    WellKnown,
}

impl FromStr for BaseUrl {
    type Err = BaseUrlError;

    fn from_str(text: &str) -> Result<Self, BaseUrlError> {
        let url = Url::parse(text).map_err(|_| BaseUrlError::Shape)?;
        let bare = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        let plain_path = url
            .path()
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/-._~".contains(&b))
            && !url.path().contains("//");
        if !bare || !plain_path || url.host().is_none() {
            return Err(BaseUrlError::Shape);
        }
        if url
            .path()
            .split('/')
            .any(|segment| segment == ".well-known")
        {
            return Err(BaseUrlError::WellKnown);
        }
        if !matches!(url.scheme(), "https" | "http") {
            return Err(BaseUrlError::Shape);
        }
        if !is_confidential(&url) {
            return Err(BaseUrlError::Insecure);
        }
        Ok(Self {
            text: Arc::from(url.as_str().trim_end_matches('/')),
            path: Arc::from(url.path().trim_end_matches('/')),
        })
    }
}

impl BaseUrl {
    /// The URL, without a trailing slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its path: empty, or `/…` without a trailing slash.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The host in it: a name, or an address; IPv6 in brackets.
    #[must_use]
    pub fn host(&self) -> String {
        let url = Url::parse(&self.text).expect("it was parsed before");
        url.host_str().unwrap_or_default().to_owned()
    }
}

impl Issuer {
    /// The issuer's `iss` (RFC 8414 §2), to the byte.
    #[must_use]
    pub fn name(&self, base: &BaseUrl) -> String {
        match self {
            Self::Deployment => base.as_str().to_owned(),
            Self::Organization(id) => format!("{}/orgs/{id}", base.as_str()),
        }
    }

    /// The issuer of this name, to the byte.
    #[must_use]
    pub fn of_name(name: &str, base: &BaseUrl) -> Option<Self> {
        match name.strip_prefix(base.as_str())? {
            "" => Some(Self::Deployment),
            below => {
                let id = below.strip_prefix("/orgs/")?.parse();
                id.ok().map(Self::Organization)
            }
        }
    }

    /// Whose signing key this issuer signs with.
    #[must_use]
    pub fn signing_organization(&self) -> OrganizationId {
        match self {
            Self::Deployment => OrganizationId::operator(),
            Self::Organization(id) => id.clone(),
        }
    }
}

/// Whether nothing that is fetched from there crosses a network in the clear: https, or plain http
/// that stays on the machine.
#[must_use]
pub fn is_confidential(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.host().is_some(),
        "http" => url.host().is_some_and(|host| is_loopback(&host)),
        _ => false,
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(ip) => IpAddr::V4(*ip).is_loopback(),
        Host::Ipv6(ip) => IpAddr::V6(*ip).is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_loses_its_trailing_slash_and_keeps_its_path() {
        let read = |text: &str| text.parse::<BaseUrl>().unwrap();
        assert_eq!(read("https://a.example/").as_str(), "https://a.example");
        assert_eq!(read("https://a.example/").path(), "");
        assert_eq!(read("https://a.example/mint/").path(), "/mint");
        assert_eq!(read("http://[::1]:8080").as_str(), "http://[::1]:8080");
        assert_eq!(read("HTTPS://A.example:443").as_str(), "https://a.example");
    }

    #[test]
    fn plain_http_is_for_loopback_alone() {
        assert_eq!(
            "http://a.example".parse::<BaseUrl>(),
            Err(BaseUrlError::Insecure)
        );
        assert_eq!(
            "http://10.0.0.1".parse::<BaseUrl>(),
            Err(BaseUrlError::Insecure)
        );
        for text in ["http://localhost:1", "http://127.0.0.1", "http://127.9.9.9"] {
            assert!(text.parse::<BaseUrl>().is_ok(), "{text}");
        }
    }

    #[test]
    fn anything_but_scheme_host_port_and_path_is_refused() {
        for text in [
            "",
            "auth.example",
            "ftp://a.example",
            "https://u:p@a.example",
            "https://a.example?x",
            "https://a.example#x",
            "https://a.example/a//b",
            "https://a.example/{x}",
            "/mint",
        ] {
            assert_eq!(text.parse::<BaseUrl>(), Err(BaseUrlError::Shape), "{text}");
        }
    }

    #[test]
    fn a_base_url_is_no_place_of_well_known_documents() {
        for path in [
            "/.well-known",
            "/.well-known/openid-configuration",
            "/a/.well-known/",
        ] {
            let text = format!("https://a.example{path}");
            assert_eq!(text.parse::<BaseUrl>(), Err(BaseUrlError::WellKnown));
        }
        assert!("https://a.example/well-known".parse::<BaseUrl>().is_ok());
    }

    #[test]
    fn an_organization_issuer_lies_below_the_base() {
        let base: BaseUrl = "https://a.example/mint".parse().unwrap();
        let acme = Issuer::Organization("acme".parse().unwrap());
        assert_eq!(acme.name(&base), "https://a.example/mint/orgs/acme");
        assert_eq!(Issuer::Deployment.name(&base), "https://a.example/mint");
        assert!(Issuer::Deployment.signing_organization().is_operator());
    }
}
