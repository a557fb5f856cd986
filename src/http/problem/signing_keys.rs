//! What stands in the way of withdrawing a signing key, or of importing one, in the standard's terms.

use super::Problem;
use crate::domain::timestamp::Timestamp;
use crate::manage::refusal::Ended;

/// Of a key that is published no more: why there is nothing to do, and how long caches have it.
pub(super) fn retired(ended: Ended) -> Problem {
    let Ended {
        at,
        given_up,
        cached_until,
    } = ended;
    let how = if given_up {
        "was given up before it signed anything"
    } else {
        "signs no more, and what it signed has expired"
    };
    let cached = match cached_until {
        Some((heeding, slowest)) => format!(
            "validators that cached the JWKS before may hold it until {heeding}, the slowest until \
             {slowest}, and nothing sent from here shortens that"
        ),
        None => "no cached JWKS holds it any more either".to_owned(),
    };
    Problem::conflict(
        "signing_key_retired",
        format!(
            "this signing key {how}: it left the JWKS at {at}, and its private half is destroyed. \
             There is nothing left to revoke; {cached}"
        ),
    )
}

/// Of a key that was to be imported as the next one: what it has to wait for, and when it need not.
pub(super) fn import_has_to_wait(next: Option<Timestamp>) -> Problem {
    const OTHERWISE: &str = "if validators have this key already, as from another issuer, import it \
                             with \"already_published\": true: then it signs at once, and what is \
                             under way gives way";
    match next {
        Some(then) => under_way(then, &format!("import this one after that; or {OTHERWISE}")),
        None => being_made(&format!("; or {OTHERWISE}")),
    }
}

/// Of a key that would be the next one, where another is: when that signs, and what to do.
pub(super) fn under_way(then: Timestamp, what_to_do: &str) -> Problem {
    Problem::conflict(
        "signing_key_under_way",
        format!("the next signing key is published already and signs from {then} on: {what_to_do}"),
    )
}

/// The same where another is being made: what to do other than wait.
pub(super) fn being_made(what_else: &str) -> Problem {
    Problem::conflict(
        "signing_key_being_made",
        format!(
            "an RSA key of this issuer is being made, one at a time: try again in some \
             seconds{what_else}"
        ),
    )
}
