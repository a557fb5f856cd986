//! What the outside sees: the server that answers at ISSUER.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::finding::Finding;
use super::issuers::{self, Served, Word};
use crate::cli::exit::Failed;
use crate::cli::fetch;
use crate::cli::trust::Trust;
use crate::domain::issuer::BaseUrl;
use crate::domain::timestamp::Timestamp;
use crate::settings::Settings;
use crate::store::Store;

const CHECK: &str = "issuer";

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much is shown of what a server says it is, in characters. No issuer is longer.
const SHOWN: usize = 200;

/// Holds what servers say that they serve against what is set here, and asks the server at ISSUER
/// what it says it is, and what it publishes.
pub(super) async fn look(
    settings: &Settings,
    trust: &Trust,
    store: &Store,
    published: Option<Arc<str>>,
    now: Timestamp,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let served = Served::read(store, now).await.unwrap_or_else(|why| {
        findings.push(Finding::problem(issuers::CHECK, why.to_string()));
        Served::default()
    });
    let base = match settings.base(settings.listen) {
        Ok(base) => base,
        Err(why) => {
            findings.push(served.judge(None));
            findings.push(Finding::problem(CHECK, why.to_string()));
            return findings;
        }
    };
    let base = if settings.issuer.is_some() {
        findings.push(served.judge(Some(&base)));
        base
    } else {
        findings.push(served.judge(None));
        let base = served.only().cloned().unwrap_or(base);
        findings.push(not_set(&base));
        base
    };
    let word = served.word_of(&base);
    // A client that waits has a thread of its own to wait in.
    let trust = trust.clone();
    let asked = tokio::task::spawn_blocking(move || ask(&base, &trust, word, published.as_deref()));
    findings.extend(
        asked
            .await
            .unwrap_or_else(|_| vec![Finding::problem(CHECK, "looking at the server broke off")]),
    );
    findings
}

/// ISSUER is not set here, and this is what is looked at instead.
fn not_set(base: &BaseUrl) -> Finding {
    let base = base.as_str();
    Finding::warning(
        CHECK,
        if base.starts_with("https:") {
            format!("ISSUER is not set here, and tokens say {base}: set it here too")
        } else {
            format!(
                "ISSUER is not set here, so tokens say {base}: set it, the same for all, to the \
                 public https URL before anybody else validates them"
            )
        },
    )
}

fn ask(base: &BaseUrl, trust: &Trust, word: Word, published: Option<&str>) -> Vec<Finding> {
    let client = match fetch::Client::within(base, trust, PATIENCE) {
        Ok(client) => client,
        Err(why) => return vec![Finding::problem(CHECK, why.to_string())],
    };
    let url = metadata_url(base);
    let metadata = match client.document(&url) {
        Ok(metadata) => metadata,
        Err(why) => return vec![missing(CHECK, &why, word)],
    };
    let base_text = base.as_str();
    let named = match metadata["issuer"].as_str() {
        Some(issuer) if issuer == base_text => {
            Finding::ok(CHECK, format!("the server at {issuer} says that it is"))
        }
        Some(issuer) => {
            let issuer: String = issuer.chars().take(SHOWN).collect();
            Finding::problem(
                CHECK,
                format!(
                    "the server at {base_text} says it is {issuer}: clients refuse that. Set \
                     ISSUER to one and the same everywhere"
                ),
            )
        }
        None => Finding::problem(CHECK, format!("{url} names no issuer: is it tenmint?")),
    };
    vec![named, jwks(base, &client, word, published)]
}

fn jwks(base: &BaseUrl, client: &fetch::Client, word: Word, published: Option<&str>) -> Finding {
    const CHECK: &str = "published keys";
    let url = format!("{}/.well-known/jwks.json", base.as_str());
    let served = match client.document(&url) {
        Ok(served) => served,
        Err(why) => return missing(CHECK, &why, word),
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

/// What it means that an issuer's document is not there, and that servers say this of the issuer.
fn missing(check: &'static str, why: &Failed, word: Word) -> Finding {
    match (why.status, word) {
        (Some(status), _) if is_elsewhere(status) => Finding::problem(
            check,
            format!(
                "{why}: what answers there is not this issuer, or does not pass on all of it. Look \
                 at ISSUER, and at the proxy in front"
            ),
        ),
        (_, Word::Others) => Finding::problem(
            check,
            format!("{why}, and no server that runs serves it: look at ISSUER"),
        ),
        (Some(500..), Word::Served) => Finding::problem(
            check,
            format!(
                "{why}, while a server runs that serves it: what is in front of it does not reach \
                 it, and clients are answered so too"
            ),
        ),
        (_, Word::Served) => Finding::warning(
            check,
            format!(
                "{why}, while a server runs that serves it: look whether this machine alone is \
                 kept from it, or clients too"
            ),
        ),
        (_, Word::None) => Finding::warning(
            check,
            format!("{why}; if a server should run, clients may not reach it either"),
        ),
    }
}

/// Whether an answer of this status says that the document is not there, to whoever asks and
/// whenever. One of others may be meant for this machine alone, or for now.
fn is_elsewhere(status: u16) -> bool {
    match status {
        401 | 403 | 407 | 408 | 425 | 429 => false,
        status => status < 500,
    }
}

/// RFC 8414 §3: the well-known part comes before the issuer's path.
fn metadata_url(base: &BaseUrl) -> String {
    let (url, path) = (base.as_str(), base.path());
    let origin = url.strip_suffix(path).unwrap_or(url);
    format!("{origin}/.well-known/oauth-authorization-server{path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Verdict;
    use crate::cli::exit::Exit;

    #[test]
    fn what_is_not_there_is_judged_by_its_cause_and_by_who_lives() {
        let judged = |status: Option<u16>, word| {
            let mut why = Failed::new(Exit::Refused, "x");
            why.status = status;
            missing(CHECK, &why, word).verdict
        };
        let (problem, warning) = (Verdict::Problem, Verdict::Warning);
        for (status, [alone, served, others]) in [
            (None, [warning, warning, problem]),
            (Some(403), [warning, warning, problem]),
            (Some(502), [warning, problem, problem]),
            (Some(404), [problem; 3]),
            (Some(301), [problem; 3]),
            // No JSON.
            (Some(200), [problem; 3]),
        ] {
            assert_eq!(judged(status, Word::None), alone, "{status:?}");
            assert_eq!(judged(status, Word::Served), served, "{status:?}");
            assert_eq!(judged(status, Word::Others), others, "{status:?}");
        }
    }
}
