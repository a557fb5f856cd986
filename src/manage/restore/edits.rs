//! Edits done again: to what the audit entry says that they led.

use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::entry::Entry;
use super::replay::revoke;
use crate::domain::api_key::{ApiKey, RevokeReason, next_notice};
use crate::domain::organization::Organization;
use crate::domain::policy::PolicyEdit;
use crate::domain::role::{Role, RoleName};
use crate::domain::scope::{ActionName, CatalogueEntry, DefinedBy, ScopeSet};
use crate::domain::secret::KeyId;
use crate::manage::act::Act;
use crate::manage::refusal::Refusal;

/// Why an act was not done again.
pub(super) enum NotDone {
    /// This key cannot be made what it was.
    Key(KeyId, String),
    /// A person has to look after it.
    Note(String),
}

/// A key as an edit left it; or why that cannot be said.
pub(super) async fn on_key(
    act: &mut Act<'_>,
    before: &ApiKey,
    details: &Value,
) -> Result<Result<ApiKey, String>, Refusal> {
    let edited = match edited(before, details) {
        Ok(edited) => edited,
        Err(field) => {
            return Ok(Err(format!(
                "its {field} was edited after the backup, and to what cannot be told"
            )));
        }
    };
    // What a key holds must fit together, or nobody could read it any more.
    let mut all: Vec<_> = edited.scopes.iter().cloned().collect();
    for role in &edited.roles {
        match act.write.role_scopes(role).await? {
            Some(scopes) => all.extend(scopes.iter().cloned()),
            None => {
                return Ok(Err(format!(
                    "it was given the role {role} after the backup, which is not there"
                )));
            }
        }
    }
    Ok(match ScopeSet::new(all) {
        Ok(effective) => {
            let mut edited = ApiKey {
                next_notice_at: edited
                    .expires_at
                    .filter(|_| edited.expires_at != before.expires_at)
                    .map_or(before.next_notice_at, |end| next_notice(end, act.now)),
                effective,
                ..edited
            };
            edited.note_narrowing(before, act.now);
            Ok(edited)
        }
        Err(why) => Err(format!("what it was edited to does not fit: {why}")),
    })
}

/// Names the field that cannot be told.
fn edited(before: &ApiKey, details: &Value) -> Result<ApiKey, String> {
    let mut key = before.clone();
    let fields = details.as_object().ok_or("content")?;
    if fields.is_empty() {
        return Err("content".to_owned());
    }
    for (field, change) in fields {
        let to = change.get("to").cloned();
        let known = to.and_then(|to| {
            match field.as_str() {
                "name" => key.name = read(to)?,
                "description" => key.description = read(to)?,
                "scopes" => key.scopes = read(to)?,
                "roles" => key.roles = read(to)?,
                "allowed_ip_cidrs" => key.networks = read(to)?,
                "rate_limit" => key.rate_limit = read(to)?,
                "exchange_only" => key.exchange_only = read(to)?,
                "external_id" => key.external_id = read(to)?,
                "metadata" => key.metadata = read(to)?,
                "expires_at" => key.expires_at = read(to)?,
                _ => return None,
            }
            Some(())
        });
        known.ok_or_else(|| field.clone())?;
    }
    Ok(key)
}

/// Does again what was done to the organization, its roles and its catalogue.
pub(super) async fn on_organization(
    act: &mut Act<'_>,
    organization: &mut Organization,
    entry: &Entry<'_>,
) -> Result<Result<bool, NotDone>, Refusal> {
    let Entry { details, at, .. } = entry;
    let at = *at;
    let note = |why: &str| Ok(Err(NotDone::Note(why.to_owned())));
    match entry.action() {
        "organization.suspend" => act.write.set_suspension(Some(at)).await?,
        "organization.resume" => act.write.set_suspension(None).await?,
        "organization.update" => {
            let Some(after) = edited_organization(organization, details) else {
                return note("what it was edited to cannot be told; look at its policies");
            };
            act.write.save_organization(&after).await?;
            *organization = after;
        }
        "organization.reissue" => return reissue(act, entry).await,
        "organization.bootstrap" => {
            return note("its signing key and its management key are lost: bootstrap it again");
        }
        "role.create" | "role.update" => {
            let Some(role) = role(act, entry).await? else {
                return note("what it held cannot be told; look at it and at who holds it");
            };
            if let Some(before) = act.write.role(&role.name).await?
                && role.scopes.uncovered(&before.role.scopes).is_some()
            {
                act.write.narrow_holders(&role.name, act.now).await?;
            }
            act.write.save_role(&role).await?;
        }
        "role.delete" => match entry.target().parse::<RoleName>() {
            Ok(name) => {
                act.write.narrow_holders(&name, act.now).await?;
                act.write.delete_role(&name).await?;
            }
            Err(_) => return note("there can be no role of this name"),
        },
        "scope.define" | "scope.remove" => {
            let Ok(action) = ActionName::from_str(entry.target()) else {
                return note("there can be no action of this name");
            };
            if entry.action() == "scope.remove" {
                act.write.remove_action(&action).await?;
            } else {
                let description = read(details["description"]["to"].clone()).flatten();
                let entry = CatalogueEntry {
                    action,
                    description,
                    defined_by: DefinedBy::Organization,
                    created_at: at,
                };
                act.write.save_action(&entry).await?;
            }
        }
        "organization.create" | "api_key.bulk_revoke" | "deployment.restore" => {
            return Ok(Ok(false));
        }
        _ => return note("it was done after the backup, and must be done again by hand"),
    }
    Ok(Ok(true))
}

/// The management key before ends; the one that was made is lost.
async fn reissue(act: &mut Act<'_>, entry: &Entry<'_>) -> Result<Result<bool, NotDone>, Refusal> {
    let revoked = entry.details["revoked"].as_str().map(str::parse::<KeyId>);
    if let Some(Ok(id)) = revoked
        && let Some(mut key) = act.write.api_key(id).await?
        && key.revoked.is_none()
    {
        revoke(&mut key, entry.at, RevokeReason::Superseded);
        key.revision += 1;
        act.write.save_api_key(&key).await?;
    }
    let why = "its management key was replaced after the backup, and the new one is lost: \
               bootstrap it with \"reissue\" again";
    Ok(Err(NotDone::Note(why.to_owned())))
}

fn edited_organization(before: &Organization, details: &Value) -> Option<Organization> {
    let mut after = before.clone();
    for (field, change) in details.as_object()? {
        match field.as_str() {
            "name" => after.name = read(change.get("to")?.clone())?,
            "policy" => after.policy = policy(change)?.apply(&after.policy),
            "operator_policy" => {
                after.operator_policy = policy(change)?.apply(&after.operator_policy);
            }
            _ => return None,
        }
    }
    after.revision += 1;
    Some(after)
}

/// The edit that leads to what each rule became.
fn policy(rules: &Value) -> Option<PolicyEdit> {
    let rules = rules.as_object()?.iter();
    let edit: Option<serde_json::Map<_, _>> = rules
        .map(|(rule, change)| Some((rule.clone(), change.get("to")?.clone())))
        .collect();
    read(Value::Object(edit?))
}

async fn role(act: &mut Act<'_>, entry: &Entry<'_>) -> Result<Option<Role>, Refusal> {
    let details = &entry.details;
    let Ok(name) = entry.target().parse::<RoleName>() else {
        return Ok(None);
    };
    if entry.action() == "role.update" {
        let Some(held) = act.write.role(&name).await? else {
            return Ok(None);
        };
        return Ok(edited_role(held.role, details));
    }
    let (description, scopes) = (&details["description"], &details["scopes"]);
    let Some((description, scopes)) = read(description.clone()).zip(read(scopes.clone())) else {
        return Ok(None);
    };
    Ok(Some(Role {
        name,
        organization: act.write.organization().id.clone(),
        description,
        scopes,
        created_at: entry.at,
        revision: 1,
    }))
}

fn edited_role(mut role: Role, details: &Value) -> Option<Role> {
    for (field, change) in details.as_object()? {
        let to = change.get("to")?.clone();
        match field.as_str() {
            "description" => role.description = read(to)?,
            "scopes" => role.scopes = read(to)?,
            _ => return None,
        }
    }
    role.revision += 1;
    Some(role)
}

fn read<T: DeserializeOwned>(value: Value) -> Option<T> {
    serde_json::from_value(value).ok()
}
