//! Rotations of API keys done again. Of a secret that was made after the backup only its fingerprint
//! is known; of one that the backup has, all.

use serde_json::Value;

use super::entry::Entry;
use crate::domain::api_key::{ApiKey, next_notice};
use crate::domain::timestamp::Timestamp;
use crate::manage::act::Act;
use crate::manage::refusal::Refusal;

/// What becomes of a key that was given a secret that is lost.
pub(super) const LOST: &str = "it was rotated after the backup: its new secret is lost, and the one \
                               before is not to come back; rotate it again";

/// Ends the secret before; false if it was that of a rotation after the backup.
pub(super) async fn finish(
    act: &mut Act<'_>,
    key: &mut ApiKey,
    details: &Value,
) -> Result<bool, Refusal> {
    let ended = details["ended_fingerprint"].as_str();
    let before = key.overlap.as_ref();
    if before.is_none_or(|before| Some(&*before.fingerprint) != ended) {
        return Ok(false);
    }
    key.overlap = None;
    act.write.end_secret_before(key.id).await?;
    Ok(true)
}

/// Goes back to the secret before, which counts as long as the rotation let it; false if it is not
/// here, because it was made after the backup as well.
pub(super) async fn undo(
    act: &mut Act<'_>,
    key: &mut ApiKey,
    entry: &Entry<'_>,
) -> Result<bool, Refusal> {
    let left = entry.details["fingerprint"].as_str();
    let before = key.overlap.as_ref();
    if before.is_some_and(|before| Some(&*before.fingerprint) == left) {
        if key.undo_rotation(entry.at).is_none() {
            return Ok(false);
        }
        act.write.end_newest_secret(key).await?;
    } else {
        let end = entry.details["expires_at"]["to"].as_str();
        let end = end.map(str::parse::<Timestamp>);
        let (Some(Ok(end)), true) = (end, Some(&*key.fingerprint) == left) else {
            return Ok(false);
        };
        // It was rotated after the backup: whatever counted beside it then counted no more.
        key.overlap = None;
        act.write.end_secret_before(key.id).await?;
        key.expires_at = Some(end);
    }
    key.next_notice_at = key.expires_at.and_then(|end| next_notice(end, act.now));
    Ok(true)
}
