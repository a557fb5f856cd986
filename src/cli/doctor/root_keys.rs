//! Root keys: those that are held are all that a server needs, none was changed, and what still
//! needs a former one, as `tenmint root-key status` has it.

use super::finding::Finding;
use crate::app::existing::require_needed_root_keys;
use crate::cli::root_key::verdict;
use crate::crypto::Crypto;
use crate::domain::timestamp::Timestamp;
use crate::manage::root_keys::status::{Described, State, overview};
use crate::settings::Settings;
use crate::store::Store;

const CHECK: &str = "root key";

/// Holds the root keys that are given here against what the database needs.
pub(super) async fn look(
    settings: &Settings,
    store: &Store,
    crypto: &Crypto,
    now: Timestamp,
) -> Finding {
    let keyring = crypto.keyring();
    if let Err(why) = require_needed_root_keys(settings, store).await {
        return Finding::problem(CHECK, why.to_string());
    }
    if !keyring.unopened().is_empty() {
        let unopened = keyring.unopened().join(", ");
        return Finding::problem(
            CHECK,
            format!(
                "what root key {unopened} left does not open: somebody changed it. API keys from \
                 its time are taken for forged unless it is held, and audit entries from its time \
                 cannot be verified. Restore its row in former_root_keys from a backup of after \
                 the rotation"
            ),
        );
    }
    match overview(store, &keyring, now).await {
        Ok(root_keys) => judge(&root_keys),
        Err(why) => Finding::problem(CHECK, why.to_string()),
    }
}

fn judge(root_keys: &[Described]) -> Finding {
    let others = root_keys.iter().filter(|key| key.state != State::Current);
    let mut text = "it is the one of this database".to_owned();
    if !others.clone().any(Described::is_needed) {
        text.push_str(", and no other is needed");
    }
    for told in others.clone().filter_map(verdict) {
        text.push_str(". ");
        text.push_str(told.trim_end_matches('.'));
    }
    let left_over = |key: &Described| key.state == State::Dropped && key.is_needed();
    if others
        .clone()
        .any(|key| key.is_unfinished() || left_over(key))
    {
        Finding::warning(CHECK, text)
    } else {
        Finding::ok(CHECK, text)
    }
}
