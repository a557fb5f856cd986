//! The certificate that the listener presents: until when, for whom, and who can read its key.

use super::files;
use super::finding::Finding;
use crate::domain::timestamp::Timestamp;
use crate::serve::tls::{Pair, PairError};
use crate::settings::{Settings, TlsFiles};

/// How many seconds before its end a certificate should have been renewed: two weeks. Those of
/// public authorities are by then, as a rule, even the short ones.
const SOON: i64 = 14 * 24 * 3_600;

/// Certificates that live for less than this many seconds are renewed closer to their end.
const SHORT: i64 = 3 * SOON;

/// Looks at the files of certificate and key, if the server speaks TLS.
pub(super) fn look(settings: &Settings, now: Timestamp) -> Vec<Finding> {
    const CHECK: &str = "certificate";
    let files = match settings.tls_files() {
        Ok(Some(files)) => files,
        Ok(None) => return vec![],
        // The base URL cannot be made either, and says so.
        Err(why) => return vec![Finding::problem(CHECK, why.to_string())],
    };
    let mut findings: Vec<_> = key_file(&files).into_iter().collect();
    let pair = match Pair::read(&files) {
        Ok(pair) => pair,
        Err(why) => {
            findings.push(Finding::problem(CHECK, why.to_string()));
            return findings;
        }
    };
    findings.push(end(&pair, &files, now));
    findings.extend(name(&pair, settings));
    findings
}

fn end(pair: &Pair, files: &TlsFiles, now: Timestamp) -> Finding {
    const CHECK: &str = "certificate";
    match pair.in_force(files, now) {
        Err(why @ PairError::NotYet { .. }) => {
            return Finding::problem(CHECK, format!("{why}: look at this machine's clock"));
        }
        Err(why) => return Finding::problem(CHECK, format!("{why}: renew it")),
        Ok(()) => {}
    }
    let left = pair.ends() - now.unix();
    let ends = Timestamp::from_unix(pair.ends()).unwrap_or(Timestamp::MAX);
    let soon = if pair.lifetime() < SHORT {
        pair.lifetime() / 4
    } else {
        SOON
    };
    if left < soon {
        return Finding::warning(
            CHECK,
            format!("it ends at {ends}: renew it. A server takes the new one by itself"),
        );
    }
    Finding::ok(CHECK, format!("it ends at {ends}"))
}

/// Whether clients that go to ISSUER accept it.
fn name(pair: &Pair, settings: &Settings) -> Option<Finding> {
    let base = settings.base(settings.listen).ok()?;
    let host = base.host();
    (!pair.is_for(&host)).then(|| {
        Finding::warning(
            "certificate name",
            format!(
                "it is not for {host}, the host of ISSUER: clients refuse this server, unless a \
                 proxy stands before it"
            ),
        )
    })
}

fn key_file(files: &TlsFiles) -> Option<Finding> {
    const CHECK: &str = "certificate key file";
    let shown = files.key.display();
    let mode = files::mode(&files.key)?;
    Some(if mode & 0o007 != 0 {
        Finding::problem(
            CHECK,
            format!("{shown} is open to every account (mode {mode:03o}): chmod 640 {shown}"),
        )
    } else {
        Finding::ok(CHECK, format!("{shown} is not for everybody"))
    })
}
