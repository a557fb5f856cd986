//! Grants beyond their granter rendered: what goes too far, and of what.

use super::Problem;
use crate::manage::refusal::{Excess, Lift};

impl Problem {
    /// Of what the request names.
    pub(super) fn exceeds(excess: &Excess) -> Self {
        Self {
            pointer: Some(excess.pointer().to_owned()),
            ..Self::beyond(excess.to_string())
        }
    }

    /// Of a bootstrap: what goes too far is nowhere in the request, so no pointer can name it.
    pub(super) fn bootstrap_exceeds(excess: &Excess) -> Self {
        let lacking = match excess {
            Excess::Scope(scope) => format!("hold {scope}"),
            Excess::Networks => "be open to every network".to_owned(),
            Excess::Lifetime(end) => format!("outlive {end}, when your own key ends"),
        };
        Self::beyond(format!(
            "the management key would {lacking}, and so must the operator key that makes it: \
             use one like those of tenmint operator-key"
        ))
    }

    /// Of a key that is there: it is not the request that holds what goes too far.
    pub(super) fn target_exceeds(excess: &Excess) -> Self {
        let what = what_it_is(excess);
        Self::beyond(format!("this key is more than you are: it {what}"))
    }

    /// Of a key that the request does not even name.
    pub(super) fn lifts_beyond(lift: Lift) -> Self {
        let (rule, key, what) = (lift.rule, lift.key, what_it_is(&lift.excess));
        Self {
            pointer: Some(lift.pointer),
            rule: Some(rule),
            ..Self::beyond(format!(
                "{} binds every key here, and who lifts it makes each of them more than it was: \
                 for that be all that they are. {key} {what}",
                rule.as_str()
            ))
        }
    }

    fn beyond(detail: String) -> Self {
        Self::forbidden("exceeds_authority", "Beyond your own authority", detail)
    }
}

/// What a key is, and its caller is not.
fn what_it_is(excess: &Excess) -> String {
    match excess {
        Excess::Scope(scope) => format!("holds {scope}, and your own credential does not"),
        Excess::Networks => "is open to networks that your own key is not open to, and you do not \
                             hold api_keys.any_network"
            .to_owned(),
        Excess::Lifetime(end) => format!("outlives {end}, when your own key ends"),
    }
}
