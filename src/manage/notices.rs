//! Owners are told that the ends of their keys are near, or have come.

use serde_json::json;

use super::Management;
use super::act::{Act, Did};
use super::caller::Actor;
use super::refusal::Refusal;
use crate::domain::api_key::next_notice;
use crate::domain::management::ManagementAction;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;

const DAY: u64 = 86_400;

/// What became of a notice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Announced {
    /// None is due, or no longer.
    Nothing,
    /// It was told, and it was the last that is due now.
    Last,
    /// It was told, and the next is due as well: nobody told of it in time.
    MoreDue,
}

/// Tells of the notice that is due of a key, if one still is.
///
/// The telling is the audit entry: it commits together with the time of the next notice, so it
/// is written once, whoever else tries and whatever crashes. The revision stays, because the key
/// does.
///
/// # Errors
/// See [`Refusal`].
pub async fn announce(
    management: &Management,
    organization: &OrganizationId,
    id: KeyId,
) -> Result<Announced, Refusal> {
    let action = ManagementAction::ApiKeysUpdate;
    let mut act = Act::begin(management, &Actor::System, organization, action).await?;
    let Some(mut key) = act.write.api_key(id).await? else {
        return Ok(Announced::Nothing);
    };
    let due = key.next_notice_at.filter(|due| *due <= act.now);
    let (Some(mark), Some(end), None) = (due, key.expires_at, key.revoked) else {
        return Ok(Announced::Nothing);
    };
    let (action, details) = if mark < end {
        // A notice that comes late says so: `notice_days` is what it was due at.
        let details = json!({
            "name": &key.name,
            "expires_at": end,
            "days_left": end.seconds_since(act.now).div_ceil(DAY),
            "notice_days": end.seconds_since(mark).div_ceil(DAY),
        });
        ("api_key.expiring", details)
    } else {
        let details = json!({ "name": &key.name, "expires_at": end });
        ("api_key.expired", details)
    };
    key.next_notice_at = next_notice(end, mark);
    let more = key.next_notice_at.is_some_and(|next| next <= act.now);
    act.write.save_notices(&key).await?;
    act.commit(Did {
        action,
        target: id.to_string(),
        details,
        changes: Vec::new(),
    })
    .await?;
    Ok(if more {
        Announced::MoreDue
    } else {
        Announced::Last
    })
}
