//! Signing keys: each opens, by the way a server opens it, those too that sign later or no more.

use std::sync::Arc;
use std::time::Duration;

use super::finding::Finding;
use crate::credentials::generations::Generations;
use crate::credentials::issuers::Issuers;
use crate::crypto::Crypto;
use crate::domain::organization::{Organization, OrganizationId};
use crate::domain::signing_key::{Schedule, State};
use crate::domain::timestamp::Timestamp;
use crate::settings::Settings;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::signing_keys::SealedSigningKey;

/// How late time's own changes may be: a server looks every few seconds.
const LATE: Duration = Duration::from_hours(2);

/// Whether signing keys change when they should.
const ROTATION: &str = "rotation";

/// Opens every signing key that has a private half, whether it signs or not. Also gives what the
/// deployment issuer is to publish.
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
    let mut seen = Seen::default();
    let mut after: Option<OrganizationId> = None;
    loop {
        let page = match store.organizations(after.as_ref(), 100).await {
            Ok(page) => page,
            Err(why) => {
                seen.faults.push(why.to_string());
                break;
            }
        };
        for organization in &page.rows {
            match store.sealed_signing_keys(&organization.id).await {
                Ok(keys) => seen.look(&issuers, organization, &keys),
                Err(why) => seen.faults.push(format!("{}: {why}", organization.id)),
            }
        }
        after = page.rows.into_iter().next_back().map(|last| last.id);
        if !page.more {
            break;
        }
    }
    let published = issuers.of(&OrganizationId::operator()).await;
    let published = published.ok().flatten();
    let published = published.map(|identity| Arc::clone(&identity.jwks));
    let overdue = match settings.schedule() {
        Ok(schedule) => overdue(&store, &schedule, now).await,
        Err(why) => Finding::problem(ROTATION, why.to_string()),
    };
    (vec![seen.finding(), overdue], published)
}

/// What was seen of signing keys.
#[derive(Default)]
struct Seen {
    opened: u64,
    issuers: u64,
    faults: Vec<String>,
}

impl Seen {
    /// Opens those of one organization, as a server does.
    fn look(&mut self, issuers: &Issuers, organization: &Organization, keys: &[SealedSigningKey]) {
        let id = &organization.id;
        for stored in keys {
            let (kid, state) = (&stored.key.kid, stored.key.life.state());
            if !stored.key.life.is_published() {
                self.faults.push(format!(
                    "{id}: {kid} is {}, and its private half is still there",
                    state.as_str()
                ));
            } else if let Err(why) = issuers.opens(stored) {
                let state = state.as_str();
                self.faults.push(format!("{id}: {why} ({state}, {kid})"));
            } else {
                self.opened += 1;
            }
        }
        let signs = |stored: &SealedSigningKey| stored.key.life.state() == State::Active;
        if keys.iter().any(signs) {
            self.issuers += 1;
        } else if organization.bootstrapped_at.is_some() {
            self.faults.push(format!("{id}: it has none"));
        }
    }

    fn finding(mut self) -> Finding {
        const CHECK: &str = "signing keys";
        if self.faults.is_empty() {
            let (opened, issuers) = (self.opened, self.issuers);
            let text = format!("all {opened} of {issuers} issuers open");
            return Finding::ok(CHECK, text);
        }
        let more = self.faults.len().saturating_sub(5);
        self.faults.truncate(5);
        let more = (more > 0).then(|| format!("; and {more} more"));
        Finding::problem(
            CHECK,
            format!(
                "{}{}: an issuer whose active key does not open cannot sign, and one whose other \
                 keys do not refuses what they sign. Restore the rows from a backup, or revoke \
                 these keys",
                self.faults.join("; "),
                more.unwrap_or_default()
            ),
        )
    }
}

/// Whether time's own changes are done, rotations among them.
async fn overdue(store: &Store, schedule: &Schedule, now: Timestamp) -> Finding {
    let before = now.minus(LATE);
    let late = async {
        let mut late = store.due_signing_keys(before, None, 3).await?;
        late.extend(store.signing_keys_to_relieve(before, None, 3).await?);
        for with_rsa in [false, true] {
            let unfollowed = store.signing_keys_to_follow(schedule, with_rsa, before, None, 3);
            late.extend(unfollowed.await?);
        }
        late.sort();
        late.dedup();
        Ok::<_, StoreError>(late)
    };
    match late.await {
        Ok(late) if late.is_empty() => {
            Finding::ok(ROTATION, "no signing key is overdue for a change")
        }
        Ok(late) => {
            let late: Vec<_> = late.iter().map(ToString::to_string).collect();
            Finding::problem(
                ROTATION,
                format!(
                    "signing keys of {} are overdue for a change by more than two hours: no server \
                     runs, or its log says why it cannot",
                    late.join(", ")
                ),
            )
        }
        Err(why) => Finding::problem(ROTATION, why.to_string()),
    }
}
