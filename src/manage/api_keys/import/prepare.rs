//! A row of a file as it is stored, once everything that could refuse it was asked.

use std::collections::HashMap;

use super::super::{effective, ends_at, fresh, require_short_tokens};
use super::there::There;
use super::{Made, Row, not_for_imported};
use crate::crypto::imported::Kept;
use crate::domain::api_key::{ApiKey, NewApiKey};
use crate::domain::management::ManagementAction;
use crate::domain::scope::ScopeSet;
use crate::domain::secret::KeyId;
use crate::domain::timestamp::Timestamp;
use crate::manage::Management;
use crate::manage::act::Act;
use crate::manage::refusal::Refusal;
use crate::store::imports::NewRow;

/// What scopes and roles come to: found out once for all rows that have the same.
#[derive(Default)]
pub(super) struct Effective(HashMap<String, Result<ScopeSet, Unfit>>);

/// Why rows are refused that have these scopes and roles.
#[derive(Clone)]
struct Unfit {
    pointer: &'static str,
    why: String,
}

/// What is to be stored of a row, beside what is there.
pub(super) async fn prepare(
    management: &Management,
    act: &mut Act<'_>,
    made: Made,
    there: &mut There,
    known: &mut Effective,
) -> Result<NewRow, Refusal> {
    there.refuse_known(&made)?;
    let Made {
        id,
        row: Row { kept, new, .. },
        imported,
        ..
    } = made;
    let key = key(management, act, id, new, known).await?;
    there.add(&kept, &imported)?;
    let new = NewRow {
        id: id.to_string(),
        name: key.name.to_string(),
        description: key.description.map(|text| text.to_string()),
        scopes: json(&key.scopes),
        roles: key.roles.iter().map(ToString::to_string).collect(),
        networks: json(&key.networks),
        rate: key.rate_limit.map(|rate| (rate.limit, rate.window)),
        exchange_only: i64::from(key.exchange_only),
        external_id: key.external_id.map(|text| text.to_string()),
        metadata: json(&key.metadata),
        expires_at: key.expires_at.map(Timestamp::unix),
        next_notice_at: key.next_notice_at.map(Timestamp::unix),
        fingerprint: imported.fingerprint,
        hash: imported.hash,
        beginning: match kept {
            Kept::Slow { prefix, .. } => Some((imported.lookup, prefix.len())),
            Kept::Whole { .. } | Kept::Sha256(_) | Kept::Sha512(_) => None,
        },
        unique: imported.unique,
    };
    Ok(new)
}

/// The key as it becomes.
async fn key(
    management: &Management,
    act: &mut Act<'_>,
    id: KeyId,
    new: NewApiKey,
    known: &mut Effective,
) -> Result<ApiKey, Refusal> {
    let expires_at = ends_at(act, &new)?;
    let effective = known.of(act, &new).await?;
    let key = fresh(act, id, new, effective, expires_at);
    require_short_tokens(management, &key)?;
    Ok(key)
}

impl Effective {
    async fn of(&mut self, act: &mut Act<'_>, new: &NewApiKey) -> Result<ScopeSet, Refusal> {
        let asked = json(&(&new.scopes, &new.roles));
        let found = match self.0.get(&asked) {
            Some(found) => found.clone(),
            None => {
                let found = match find(act, new).await {
                    Ok(effective) => Ok(effective),
                    Err(Refusal::Invalid { pointer, why }) => Err(Unfit { pointer, why }),
                    Err(other) => return Err(other),
                };
                self.0.insert(asked, found.clone());
                found
            }
        };
        found.map_err(|Unfit { pointer, why }| Refusal::Invalid { pointer, why })
    }
}

async fn find(act: &mut Act<'_>, new: &NewApiKey) -> Result<ScopeSet, Refusal> {
    // A row may hold anything in place of a role's name, a string among it: it is not repeated.
    let effective =
        effective(act, &new.scopes, &new.roles)
            .await
            .map_err(|refusal| match refusal {
                Refusal::Invalid {
                    pointer: "/roles", ..
                } => Refusal::invalid("/roles", "one of them is not there: create it first"),
                other => other,
            })?;
    if let Some(action) = ManagementAction::added(&effective, |_| false) {
        return Err(Refusal::invalid("/scopes", not_for_imported(action)));
    }
    Ok(effective)
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("strings are JSON")
}
