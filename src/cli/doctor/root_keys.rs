//! Root keys: those that are held are all that a server needs, none was changed, and what still
//! needs a former one, as `tenmint root-key status` has it.

use serde::Deserialize;

use super::finding::Finding;
use crate::app::existing::require_needed_root_keys;
use crate::cli::root_key::verdict;
use crate::crypto::Crypto;
use crate::domain::audit::{ActionFilter, Filter};
use crate::domain::organization::OrganizationId;
use crate::domain::timestamp::Timestamp;
use crate::manage::root_keys::status::{Described, State, overview};
use crate::settings::Settings;
use crate::store::Store;
use crate::store::audit::Reader;
use crate::store::error::StoreError;

const CHECK: &str = "root key";

/// What the last restore noted in the operator's log.
#[derive(Default, Deserialize)]
struct Restored {
    /// The root key that was current after it.
    root_key: String,
    /// Those that were held, and that the database did not know.
    unknown_root_keys: Vec<String>,
    /// The one that had taken its place after the backup, as far as anything told, held or not.
    later_root_key: Option<String>,
}

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
    let seen = async {
        let root_keys = overview(store, &keyring, now).await?;
        Ok::<_, StoreError>((root_keys, restored(store).await?))
    };
    match seen.await {
        Ok((root_keys, restored)) => judge(&root_keys, &restored),
        Err(why) => Finding::problem(CHECK, why.to_string()),
    }
}

async fn restored(store: &Store) -> Result<Restored, StoreError> {
    let restore = Filter {
        action: Some(ActionFilter::One("deployment.restore".to_owned())),
        ..Filter::default()
    };
    let wanted = (&restore, Reader::Operator);
    let operator = OrganizationId::operator();
    let page = store.audit_page(&operator, wanted, None, 1).await?;
    let last = page.rows.into_iter().next();
    // Earlier versions noted nothing of root keys.
    let noted = last.and_then(|entry| serde_json::from_str(entry.details.get()).ok());
    Ok(noted.unwrap_or_default())
}

fn judge(root_keys: &[Described], restored: &Restored) -> Finding {
    let later = restored.later_root_key.as_ref();
    let absent = later.filter(|later| root_keys.iter().all(|key| key.id != **later));
    let unknown = |id| restored.unknown_root_keys.contains(id) || later == Some(id);
    let (unsettled, root_keys): (Vec<_>, Vec<_>) = root_keys
        .iter()
        .partition(|key| key.state == State::Added && unknown(&key.id));
    let others = root_keys
        .iter()
        .copied()
        .filter(|key| key.state != State::Current);
    let mut text = "it is the one of this database".to_owned();
    if !others.clone().any(Described::is_needed) {
        text.push_str(", and no other is needed");
    }
    for told in others.clone().filter_map(verdict) {
        text.push_str(". ");
        text.push_str(told.trim_end_matches('.'));
    }
    let mut current = root_keys.iter().filter(|key| key.state == State::Current);
    let went_over = !current.any(|key| key.id == restored.root_key);
    let absent = absent.filter(|_| !went_over);
    let told = match absent {
        Some(later) => Some(superseded(&restored.root_key, later)),
        None => unsettled_by_restore(&unsettled, later, went_over),
    };
    if let Some(told) = told {
        text.push_str(". ");
        text.push_str(&told);
    }
    let left_over = |key: &Described| key.state == State::Dropped && key.is_needed();
    if absent.is_some()
        || !unsettled.is_empty()
        || others
            .clone()
            .any(|key| key.is_unfinished() || left_over(key))
    {
        Finding::warning(CHECK, text)
    } else {
        Finding::ok(CHECK, text)
    }
}

/// What is to be done where the root key that is current was not, before a backup was restored.
fn superseded(current: &str, later: &str) -> String {
    format!(
        "A backup was restored with which root key {current} is current again: {later} had taken its \
         place, as because it leaked, and is not held. Put that beside the others in ROOT_KEY_FILE, \
         and go over to it: `tenmint root-key rotate --to {later}`. If there is no copy of it, go over \
         to a new one: `tenmint root-key rotate`"
    )
}

/// What is to be done about root keys that were held when a backup was restored, and that it did not
/// know: nobody can tell here whether one was current before.
fn unsettled_by_restore(
    unsettled: &[&Described],
    later: Option<&String>,
    went_over: bool,
) -> Option<String> {
    let last = &unsettled.last()?.id;
    let mut ids = unsettled.iter().map(|key| &key.id);
    let latest = ids.find(|id| later == Some(*id)).unwrap_or(last);
    let ids: Vec<_> = unsettled.iter().map(|key| &*key.id).collect();
    let ids = ids.join(", ");
    Some(if went_over {
        format!(
            "A backup was restored that did not know root key {ids}, which was held then and may have \
             been current before: do not go over to it; `tenmint root-key drop` gives it up"
        )
    } else {
        format!(
            "A backup was restored that did not know root key {ids}, which is held: if one took the \
             place of the current one before, as because that leaked, go over to the latest: \
             `tenmint root-key rotate --to {latest}`; one that was never current can be given up by \
             `tenmint root-key drop`"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, state: State) -> Described {
        Described {
            id: id.to_owned(),
            state,
            superseded_at: None,
            held: true,
            organizations: 0,
            signing_keys: 0,
            api_keys: 0,
            droppable: false,
        }
    }

    fn judged(current: &str, added: &[&str], restored: &Restored) -> String {
        let added = added.iter().map(|id| key(id, State::Added));
        let all: Vec<_> = [key(current, State::Current)]
            .into_iter()
            .chain(added)
            .collect();
        let found = judge(&all, restored);
        format!("{}: {}", found.verdict.as_str(), found.text)
    }

    #[test]
    fn a_root_key_that_a_restored_backup_did_not_know_is_no_rotation_under_way() {
        let restored = Restored {
            root_key: "b".to_owned(),
            unknown_root_keys: vec!["x".to_owned(), "y".to_owned()],
            later_root_key: None,
        };
        let said = judged("b", &["x", "y"], &restored);
        assert!(said.starts_with("warning: "), "{said}");
        assert!(said.contains("`tenmint root-key rotate --to y`"), "{said}");
        assert!(!said.contains("nothing depends on it"), "{said}");
        // Gone over to the latest, the one between is not to be next.
        let said = judged("y", &["x"], &restored);
        assert!(said.contains("warning") && said.contains("do not go over"));
        // What was added since is as usual; and so is everything where there was no restore.
        let none = Restored::default();
        for (added, restored) in [("z", &restored), ("x", &none)] {
            let said = judged("b", &[added], restored);
            assert!(said.starts_with("ok: "), "{said}");
            assert!(said.contains("nothing depends on it"), "{said}");
        }
    }

    #[test]
    fn a_root_key_that_another_had_replaced_is_warned_of_until_it_is_current_no_more() {
        let restored = Restored {
            root_key: "b".to_owned(),
            unknown_root_keys: vec!["x".to_owned()],
            later_root_key: Some("later".to_owned()),
        };
        // Held or not, whatever else is.
        for added in [&[][..], &["x"], &["later"], &["later", "x"]] {
            let said = judged("b", added, &restored);
            assert!(said.starts_with("warning: "), "{said}");
            assert!(
                said.contains("`tenmint root-key rotate --to later`"),
                "{said}"
            );
            assert_eq!(said.contains("is not held"), !added.contains(&"later"));
            assert!(!said.contains("  "), "{said}");
        }
        for current in ["later", "new"] {
            let said = judged(current, &[], &restored);
            assert!(said.starts_with("ok: "), "{said}");
        }
    }
}
