//! Who tells where clients are: the proxies in front, and whoever is not trusted to.

use std::time::Duration;

use super::finding::Finding;
use crate::domain::client_address::is_near;
use crate::domain::timestamp::Timestamp;
use crate::settings::Settings;
use crate::store::Store;

/// How long a forwarding header is of interest.
const LATELY: Duration = Duration::from_hours(7 * 24);

/// What is set about proxies, by itself.
pub(super) fn look(settings: &Settings) -> Vec<Finding> {
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
