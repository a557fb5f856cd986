//! What the outside sees: the server that answers at ISSUER, and who tells where clients are.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::finding::Finding;
use crate::cli::fetch;
use crate::cli::trust::Trust;
use crate::domain::client_address::is_near;
use crate::domain::issuer::BaseUrl;
use crate::domain::timestamp::Timestamp;
use crate::settings::Settings;
use crate::store::Store;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a forwarding header is of interest.
const LATELY: Duration = Duration::from_hours(7 * 24);

/// Asks the server at ISSUER what it says it is, and what it publishes.
pub(super) async fn look(
    settings: &Settings,
    trust: &Trust,
    published: Option<Arc<str>>,
) -> Vec<Finding> {
    const CHECK: &str = "issuer";
    let base = match settings.base(settings.listen) {
        Ok(base) => base,
        Err(why) => return vec![Finding::problem(CHECK, why.to_string())],
    };
    let set = settings.issuer.is_some();
    // A client that waits has a thread of its own to wait in.
    let trust = trust.clone();
    let asked = tokio::task::spawn_blocking(move || ask(&base, &trust, set, published.as_deref()));
    asked
        .await
        .unwrap_or_else(|_| vec![Finding::problem(CHECK, "looking at the server broke off")])
}

fn ask(base: &BaseUrl, trust: &Trust, set: bool, published: Option<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !set {
        findings.push(Finding::warning(
            "issuer",
            format!(
                "ISSUER is not set, so tokens say {}: set it to the public https URL before \
                 anybody else validates them",
                base.as_str()
            ),
        ));
    }
    let client = match fetch::Client::within(base, trust, PATIENCE) {
        Ok(client) => client,
        Err(why) => {
            findings.push(Finding::problem("issuer", why.to_string()));
            return findings;
        }
    };
    let url = metadata_url(base);
    let metadata = match client.document(&url) {
        Ok(metadata) => metadata,
        Err(why) => {
            findings.push(Finding::warning(
                "issuer",
                format!("{why}; if a server should run, clients may not reach it either"),
            ));
            return findings;
        }
    };
    let issuer = metadata["issuer"].as_str().unwrap_or_default();
    findings.push(if issuer == base.as_str() {
        Finding::ok("issuer", format!("the server at {issuer} says that it is"))
    } else {
        Finding::problem(
            "issuer",
            format!(
                "the server at {} says it is {issuer}: clients refuse that. Set ISSUER to one \
                 and the same everywhere",
                base.as_str()
            ),
        )
    });
    findings.push(jwks(base, &client, published));
    findings
}

fn jwks(base: &BaseUrl, client: &fetch::Client, published: Option<&str>) -> Finding {
    const CHECK: &str = "published keys";
    let url = format!("{}/.well-known/jwks.json", base.as_str());
    let served = match client.document(&url) {
        Ok(served) => served,
        Err(why) => return Finding::problem(CHECK, why.to_string()),
    };
    let expected: Value = published
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    if served == expected {
        Finding::ok(CHECK, "the server publishes the keys of this database")
    } else {
        Finding::problem(
            CHECK,
            format!(
                "{url} has other keys than this database: another server answers there, a cache \
                 in front holds old ones, or DATABASE_URL is not the server's"
            ),
        )
    }
}

/// RFC 8414 §3: the well-known part comes before the issuer's path.
fn metadata_url(base: &BaseUrl) -> String {
    let (url, path) = (base.as_str(), base.path());
    let origin = url.strip_suffix(path).unwrap_or(url);
    format!("{origin}/.well-known/oauth-authorization-server{path}")
}

/// What is set about proxies, by itself.
pub(super) fn proxies(settings: &Settings) -> Vec<Finding> {
    const CHECK: &str = "proxies";
    let all = settings
        .trusted_proxies
        .iter()
        .find(|network| network.prefix_len() == 0);
    if let Some(all) = all {
        return vec![Finding::problem(
            CHECK,
            format!(
                "TRUSTED_PROXIES has {all}: every client can claim any address, and the networks \
                 of keys keep nobody out. Name the proxies' own addresses"
            ),
        )];
    }
    let https = settings
        .issuer
        .as_ref()
        .is_some_and(|issuer| issuer.starts_with("https:"));
    if https && settings.tls_cert_file.is_none() && settings.trusted_proxies.is_empty() {
        return vec![Finding::warning(
            CHECK,
            "ISSUER is https, so a proxy is in front, and TRUSTED_PROXIES names none: every client \
             seems to come from the proxy's address. Name it",
        )];
    }
    vec![Finding::ok(
        CHECK,
        format!("{} networks are trusted", settings.trusted_proxies.len()),
    )]
}

/// Whether somebody who is not trusted to do so tells where clients are.
pub(super) async fn forwarding(
    settings: &Settings,
    store: &Store,
    now: Timestamp,
) -> Option<Finding> {
    const CHECK: &str = "forwarding headers";
    let seen = match store.untrusted_forwarding().await {
        Ok(Some(seen)) if seen.at > now.minus(LATELY) => seen,
        Ok(_) => {
            return Some(Finding::ok(
                CHECK,
                "none came from a peer that is not trusted",
            ));
        }
        Err(why) => return Some(Finding::problem(CHECK, why.to_string())),
    };
    let (peer, header, at) = (seen.peer, &seen.header, seen.at);
    let trusted = settings.trusted_proxies.iter();
    if trusted.clone().any(|network| network.contains(peer)) {
        return Some(Finding::ok(
            CHECK,
            format!("{peer}, which sent one at {at}, is trusted by now"),
        ));
    }
    let text = format!("{peer} sent {header} at {at}, and TRUSTED_PROXIES does not name it");
    Some(if is_near(peer) {
        Finding::problem(
            CHECK,
            format!(
                "{text}: if it is your proxy, every client behind it seems to come from its \
                 address; name it"
            ),
        )
    } else {
        Finding::warning(
            CHECK,
            format!("{text}: the header was ignored. If it is your proxy, name it"),
        )
    })
}
