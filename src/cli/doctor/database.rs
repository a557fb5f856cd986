//! The database: whole, not an old copy, its audit chains as they were written.

use super::finding::Finding;
use crate::crypto::Crypto;
use crate::manage::audit_verification::{Checkpoints, Keys, verify};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::migrate::Schema;

/// Looks at all of it, or quickly.
pub(super) async fn look(store: &Store, crypto: &Crypto, full: bool) -> Vec<Finding> {
    let mut findings = vec![schema(store).await];
    findings.extend(integrity(store, full).await);
    findings.push(age(store).await);
    findings.push(chains(store, crypto, full).await);
    findings
}

/// What cannot be worked with at all was found when the database was opened.
async fn schema(store: &Store) -> Finding {
    const CHECK: &str = "database";
    match store.schema().await {
        Ok(Schema::Newer(version)) => Finding::warning(
            CHECK,
            format!(
                "it answers, and a newer tenmint migrated it to version {version}, with which this \
                 one can work: upgrade every server"
            ),
        ),
        Ok(_) => Finding::ok(
            CHECK,
            "it answers, and its schema is what this version needs",
        ),
        Err(why) => Finding::problem(CHECK, why.to_string()),
    }
}

async fn integrity(store: &Store, full: bool) -> Option<Finding> {
    const CHECK: &str = "integrity";
    match store.integrity(full).await.transpose()? {
        Ok(faults) if faults.is_empty() => Some(Finding::ok(CHECK, "SQLite finds no damage")),
        Ok(faults) => Some(Finding::problem(
            CHECK,
            format!(
                "the file is damaged: {}. Stop the server, keep the file, and restore a backup \
                 with `tenmint restore --replace`",
                faults.join("; ")
            ),
        )),
        Err(why) => Some(Finding::problem(CHECK, why.to_string())),
    }
}

/// Whether it is a copy that was put back without a word.
async fn age(store: &Store) -> Finding {
    const CHECK: &str = "history";
    let known = store.require_restored().await;
    if let Err(why) = known.and(store.refuse_older().await) {
        return Finding::problem(CHECK, why.to_string());
    }
    match store.is_untreated_copy(false).await {
        Ok(false) => Finding::ok(CHECK, "it is not known to be an older copy"),
        Ok(true) => Finding::problem(
            CHECK,
            "this database is a copy of the one that was served before: keys that were revoked \
             since the copy was made may be in force again. Stop every server and run \
             `tenmint restore --in-place`",
        ),
        Err(why) => Finding::warning(CHECK, why.to_string()),
    }
}

async fn chains(store: &Store, crypto: &Crypto, full: bool) -> Finding {
    const CHECK: &str = "audit log";
    let mut faults = Vec::new();
    let mut verified = 0;
    let only = (!full).then_some("operator");
    let tell = |report: &crate::manage::audit_verification::Report| {
        verified += report.verified;
        let fault = report.fault.as_ref();
        faults.extend(fault.map(|fault| format!("{}: {fault}", report.organization)));
    };
    let keys = match Keys::of(store, crypto).await {
        Ok((keys, _)) => keys,
        Err(why) => return unknown(CHECK, &why),
    };
    let walked = verify(store, &keys, only, &Checkpoints::default(), tell).await;
    let heads = store.audit_heads_without_entry(3).await;
    match walked.and(heads) {
        Err(why) => unknown(CHECK, &why),
        Ok(heads) if !full && faults.is_empty() => {
            faults.extend(heads.iter().map(|organization| {
                format!("{organization}: its last entry is not the one that it counts")
            }));
            told(CHECK, &faults, || {
                format!(
                    "the operator's {verified} entries hold, and every chain ends as it should; \
                     --full verifies all of each"
                )
            })
        }
        Ok(_) => told(CHECK, &faults, || format!("all {verified} entries hold")),
    }
}

fn told(check: &'static str, faults: &[String], well: impl FnOnce() -> String) -> Finding {
    if faults.is_empty() {
        return Finding::ok(check, well());
    }
    Finding::problem(
        check,
        format!(
            "somebody changed the log past tenmint ({}): treat it as an incident, and see \
             `tenmint audit verify`",
            faults.join("; ")
        ),
    )
}

fn unknown(check: &'static str, why: &StoreError) -> Finding {
    Finding::problem(check, format!("it could not be looked at: {why}"))
}
