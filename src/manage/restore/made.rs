//! Signing keys that were made after a backup. With the time since, their private halves are lost:
//! only logs tell which they were.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::domain::signing_key::Kid;
use crate::manage::act::Act;
use crate::manage::refusal::Refusal;
use crate::store::audit::AuditRow;

/// The signing keys that these entries of one organization, in their order, tell of having been
/// made, unless one tells of their end.
pub(super) fn made<'r>(rows: impl IntoIterator<Item = &'r AuditRow>) -> BTreeSet<String> {
    let mut made = BTreeSet::new();
    for row in rows.into_iter().filter(|row| tells_of_keys(row)) {
        let details: Value = serde_json::from_str(&row.details).unwrap_or_default();
        let named = |member: &str| Some(details[member].as_str()?.to_owned());
        let (new, ended) = match row.action.as_str() {
            "signing_key.publish" | "signing_key.rotate" | "signing_key.import" => {
                (Some(row.target.clone()), None)
            }
            "signing_key.revoke" => (named("replaced_by"), Some(row.target.clone())),
            "signing_key.retire" => (None, Some(row.target.clone())),
            "organization.bootstrap" => (named("signing_key"), None),
            "organization.delete" => {
                made.clear();
                (None, None)
            }
            _ => (None, None),
        };
        for gone in ended.into_iter().chain(named("given_up")) {
            made.remove(&gone);
        }
        made.extend(new);
    }
    made.retain(|kid| kid.parse::<Kid>().is_ok());
    made
}

/// Whether an entry may tell of the making or the end of a signing key.
pub(super) fn tells_of_keys(row: &AuditRow) -> bool {
    row.action.starts_with("signing_key.") || row.action.starts_with("organization.")
}

/// Those of them that are not here.
pub(super) async fn lost(
    act: &mut Act<'_>,
    made: BTreeSet<String>,
) -> Result<Vec<String>, Refusal> {
    let mut lost = Vec::new();
    for kid in made {
        if act.write.signing_key(&Kid::new(&kid)).await?.is_none() {
            lost.push(kid);
        }
    }
    Ok(lost)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::audit_readoption::ExportedEntry;

    fn row(action: &str, target: &str, details: &Value) -> AuditRow {
        let entry = json!({
            "organization": "acme", "sequence": 1, "at": "2026-11-01T00:00:00Z",
            "actor": "tenmint", "action": action, "target": target, "details": details,
            "mac": "00",
        });
        let entry: ExportedEntry = serde_json::from_str(&entry.to_string()).unwrap();
        entry.into_row().unwrap()
    }

    #[test]
    fn what_was_made_and_did_not_end_is_named() {
        let none = json!({});
        let rows = [
            row(
                "organization.bootstrap",
                "acme",
                &json!({ "signing_key": "first" }),
            ),
            row("signing_key.publish", "second", &none),
            row(
                "signing_key.activate",
                "second",
                &json!({ "follows": "first" }),
            ),
            row("signing_key.retire", "first", &none),
            row(
                "signing_key.rotate",
                "third",
                &json!({ "emergency": false }),
            ),
            // Another stands in for the RSA key that is to take the place of the one that leaked.
            row(
                "signing_key.revoke",
                "second",
                &json!({ "replaced_by": "stands-in", "given_up": "third" }),
            ),
            row(
                "signing_key.rotate",
                "rsa",
                &json!({ "follows": "stands-in" }),
            ),
            row("signing_key.import", "no kid", &none),
            row("api_key.create", "key_1", &json!({ "given_up": "rsa" })),
        ];
        let found: Vec<_> = made(&rows).into_iter().collect();
        assert_eq!(found, ["rsa", "stands-in"]);
        let deleted = row("organization.delete", "acme", &none);
        assert!(made(rows.iter().chain([&deleted])).is_empty());
    }
}
