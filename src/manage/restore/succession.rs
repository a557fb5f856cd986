//! Root keys that became current one after the other: audit chains go over to each in turn.

use std::collections::BTreeSet;

use ring::hmac;

use crate::crypto::Crypto;
use crate::store::Store;
use crate::store::audit::AuditRow;
use crate::store::audit_chain::Integrity;
use crate::store::error::StoreError;

/// The root keys that chains go over to, one after the other, and never back: whoever has one that
/// was replaced is not to write what comes next.
pub(super) struct RootKeysSince {
    /// In the order in which they became current, from the first that is not replaced everywhere.
    order: Vec<String>,
    /// Those that were current before the backup.
    former: BTreeSet<String>,
}

impl RootKeysSince {
    /// Those that the backup knows.
    pub(super) async fn of(store: &Store) -> Result<Self, StoreError> {
        let (mut order, mut former) = (Vec::new(), BTreeSet::new());
        if let Some(stored) = store.root_keys().await? {
            let unfinished = stored.former.iter().filter(|key| key.trace.is_none());
            order.extend(unfinished.map(|key| key.id.clone()));
            order.push(stored.current);
            former.extend(stored.former.into_iter().map(|key| key.id));
        }
        Ok(Self { order, former })
    }

    /// Whether an organization's chain may go over from one root key to another. The operator's log
    /// comes first, and tells which become current.
    pub(super) fn lead(&mut self, organization: &str, from: &str, to: &str) -> bool {
        let place = |order: &[String], id: &str| order.iter().position(|known| known == id);
        if organization == "operator" {
            let new = !self.former.contains(to) && place(&self.order, to).is_none();
            if new {
                self.order.push(to.to_owned());
            }
            return new;
        }
        let to = place(&self.order, to);
        to.is_some() && to > place(&self.order, from)
    }
}

/// Whether an entry tells that the root key of the id that it names became current.
pub(super) fn is_rotation(row: &AuditRow) -> bool {
    let to = &row.target;
    let is_id = to.len() == 16 && to.bytes().all(|byte| byte.is_ascii_hexdigit());
    row.action == "root_key.rotate" && is_id
}

/// What the chain goes on under from an entry that is not under the same root key as the one before:
/// if it tells of a rotation, the root key that it names. Otherwise, why not.
pub(super) fn goes_over(
    row: &AuditRow,
    crypto: &Crypto,
    may_lead_to: impl FnOnce(&str) -> bool,
    under: impl Fn(&hmac::Key) -> Integrity,
) -> Result<(hmac::Key, Integrity), String> {
    let (sequence, to) = (row.sequence, &row.target);
    let changed = || {
        format!(
            "entry {sequence} cannot be verified: it was changed, or the organization itself \
             exported it, which is not shown everything; an operator's export is"
        )
    };
    if !is_rotation(row) {
        return Err(changed());
    }
    let Ok(chain) = crypto.chain(to) else {
        return Err(format!(
            "with entry {sequence} it goes over to root key {to}, which is not held here: what was \
             done from then on can be done again once it is. Put it beside the others in \
             ROOT_KEY_FILE"
        ));
    };
    let integrity = under(&chain);
    if integrity == Integrity::Edited {
        return Err(changed());
    }
    if !may_lead_to(to) {
        return Err(format!(
            "with entry {sequence} it goes over to root key {to}, and the operator's log does not \
             tell that it became current then: give a whole export of the operator's log too \
             (`tenmint audit export`)"
        ));
    }
    Ok((chain, integrity))
}
