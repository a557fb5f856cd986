//! What stands in the way of withdrawing a signing key, in the standard's terms.

use super::Problem;
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
