//! For how long the JWKS may be cached: every server is to say the same.

use humantime::format_duration;

use super::finding::Finding;
use crate::domain::signing_key::Schedule;
use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::jwks_max_ages::Announced;

const CHECK: &str = "JWKS max-age";

/// Holds what servers said lately against what is set here.
pub(super) async fn look(store: &Store, schedule: &Schedule, now: Timestamp) -> Finding {
    let since = now.minus(schedule.skew());
    match store.announced_jwks_max_ages(since).await {
        Ok(announced) => judge(&announced, schedule, now),
        Err(why) => Finding::problem(CHECK, why.to_string()),
    }
}

/// `announced` is the longest first.
fn judge(announced: &[Announced], set: &Schedule, now: Timestamp) -> Finding {
    let here = set.jwks_max_age();
    let shown = format_duration(here);
    let said = announced.iter().filter(|one| one.until > now);
    if said.clone().any(|one| one.max_age != here) {
        let said: Vec<_> = said
            .map(|one| format_duration(one.max_age).to_string())
            .collect();
        return Finding::warning(
            CHECK,
            format!(
                "JWKS_MAX_AGE is {shown} here, and within the last minute servers served the JWKS \
                 with {}: set the same for all. Until then the times of signing keys go by the \
                 longest",
                said.join(" and ")
            ),
        );
    }
    let longest = announced.first().filter(|longest| longest.max_age > here);
    Finding::ok(
        CHECK,
        match longest {
            Some(longest) => {
                let reckoned = set.reckoning_with(longest.max_age);
                format!(
                    "no server says otherwise than JWKS_MAX_AGE, {shown}; but until {} some \
                     validators may have a JWKS that was served with {}, and until then the times \
                     of signing keys go by that: a next one is published for {} before it signs",
                    longest.heeded_until().plus(set.skew()),
                    format_duration(longest.max_age),
                    format_duration(reckoned.lead())
                )
            }
            None => format!("no server says otherwise than JWKS_MAX_AGE, {shown}"),
        },
    )
}
