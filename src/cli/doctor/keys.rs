//! Signing keys: each opens, by the way a server opens it.

use std::sync::Arc;
use std::time::Duration;

use super::finding::Finding;
use crate::credentials::generations::Generations;
use crate::credentials::issuers::Issuers;
use crate::crypto::Crypto;
use crate::domain::organization::OrganizationId;
use crate::domain::timestamp::Timestamp;
use crate::settings::Settings;
use crate::store::Store;

/// How late time's own changes may be: a server looks every few seconds.
const LATE: Duration = Duration::from_hours(2);

/// Opens every issuer's signing keys. Also gives what the deployment issuer is to publish.
pub(super) async fn look(
    settings: &Settings,
    store: Store,
    crypto: Crypto,
    now: Timestamp,
) -> (Vec<Finding>, Option<Arc<str>>) {
    let issuers = Issuers::new(
        store.clone(),
        Arc::new(crypto),
        settings.token_typ.into(),
        Arc::new(Generations::default()),
    );
    let mut published = None;
    let (mut opened, mut faults) = (0_u64, Vec::new());
    let mut after: Option<OrganizationId> = None;
    loop {
        let page = match store.organizations(after.as_ref(), 100).await {
            Ok(page) => page,
            Err(why) => {
                faults.push(why.to_string());
                break;
            }
        };
        for organization in &page.rows {
            match issuers.of(&organization.id).await {
                Ok(Some(identity)) => {
                    opened += 1;
                    if organization.id.is_operator() {
                        published = Some(Arc::clone(&identity.jwks));
                    }
                }
                Ok(None) if organization.bootstrapped_at.is_some() => {
                    faults.push(format!("{}: it has none", organization.id));
                }
                Ok(None) => {}
                Err(why) => faults.push(format!("{}: {why}", organization.id)),
            }
        }
        after = page.rows.into_iter().next_back().map(|last| last.id);
        if !page.more {
            break;
        }
    }
    let late = store
        .due_signing_keys(now.minus(LATE), None, 3)
        .await
        .map(|late| late.iter().map(ToString::to_string).collect::<Vec<_>>());
    let due = match late {
        Ok(late) if late.is_empty() => {
            Finding::ok("rotation", "no signing key is overdue for a change")
        }
        Ok(late) => Finding::problem(
            "rotation",
            format!(
                "signing keys of {} are overdue for a change by more than two hours: no server \
                 runs, or its log says why it cannot",
                late.join(", ")
            ),
        ),
        Err(why) => Finding::problem("rotation", why.to_string()),
    };
    let finding = if faults.is_empty() {
        Finding::ok("signing keys", format!("those of {opened} issuers open"))
    } else {
        let more = faults.len().saturating_sub(5);
        faults.truncate(5);
        Finding::problem(
            "signing keys",
            format!(
                "{}{}: these issuers cannot sign. Restore the rows from a backup, or rotate their \
                 keys",
                faults.join("; "),
                if more > 0 {
                    format!("; and {more} more")
                } else {
                    String::new()
                }
            ),
        )
    };
    (vec![finding, due], published)
}
