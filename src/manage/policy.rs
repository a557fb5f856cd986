//! Policies kept: what a key that is written must meet, and which keys a new policy finds in
//! breach.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Management;
use super::act::Act;
use super::refusal::{Lift, Refusal};
use super::usage;
use crate::domain::api_key::{ApiKey, Creator, Status};
use crate::domain::management::bootstrap_scopes;
use crate::domain::network::NetworkSet;
use crate::domain::organization::Organization;
use crate::domain::policy::{AtMost, Rule, Terms, Violation};

/// How many active keys are looked at for what a new policy finds in breach.
const LOOKED_AT: usize = 10_000;

/// How far back uses are looked at.
const LATELY: Duration = Duration::from_hours(7 * 24);

/// How many of them at a time.
const BATCH: u16 = 500;

/// Active keys in breach of a policy. It ends none of them by itself.
#[derive(Debug)]
pub struct Breaches {
    /// How many keys break a rule; of those that may be active at a time, how many are too many.
    pub keys: BTreeMap<Rule, u64>,
    /// How often services were shown keys themselves in the last 7 days, which `exchange_only`
    /// ends.
    pub shown: u64,
    /// Whether all keys were looked at.
    pub complete: bool,
}

/// Requires that a key which is made, edited or given back meets the policy of its
/// organization. `before` is the key as it was, of which an edit may leave whatever it leaves
/// alone; `None` for a key that is given whole. Whoever sits at the machine itself is exempt.
pub(super) async fn require(
    act: &mut Act<'_>,
    before: Option<&ApiKey>,
    after: &ApiKey,
) -> Result<(), Refusal> {
    if act.creator() == Creator::CommandLine {
        return Ok(());
    }
    let policy = act.write.organization().effective_policy();
    let terms = before.map(Terms::from);
    if let Some(violation) = policy.broken_anew(terms, after.into(), act.now) {
        return Err(Refusal::Policy(violation));
    }
    let is_active = |key: &ApiKey| key.status(act.now) == Status::Active;
    let becomes_active = is_active(after) && before.is_none_or(|before| !is_active(before));
    let Some(max) = policy.rules.max_active_keys.map(AtMost::get) else {
        return Ok(());
    };
    if !becomes_active {
        return Ok(());
    }
    // Acts on one organization take turns, so nobody else takes the place meanwhile.
    let now = act.now;
    let others = act
        .write
        .count_other_active_keys(after.id, now, max)
        .await?;
    if others < u64::from(max) {
        return Ok(());
    }
    Err(Refusal::Policy(Violation {
        rule: Rule::MaxActiveKeys,
        why: format!("at most {max} keys are active at a time here: revoke or disable one first"),
    }))
}

/// Requires that whoever lifts a rule which keeps keys from being worth anything somewhere holds all
/// that the active ones do: it is given to all of them at once, and their strings are in many hands.
pub(super) async fn require_lifting(
    act: &mut Act<'_>,
    before: &Organization,
    after: &Organization,
) -> Result<(), Refusal> {
    let lifted = before.effective_policy().lifted(&after.effective_policy());
    let Some(rule) = lifted else {
        return Ok(());
    };
    // Who may do all that there is need not be held against each of a million keys.
    let all = bootstrap_scopes(before.id.is_operator());
    let whole = act.authority.require_grant(&all, &NetworkSet::any(), None);
    if whole.is_ok() {
        return Ok(());
    }
    let mut last = None;
    loop {
        let keys = act.write.active_key_worths(act.now, last, BATCH).await?;
        let Some(end) = keys.last() else {
            return Ok(());
        };
        last = Some(end.id);
        for key in keys {
            if rule == Rule::ExchangeOnly && key.exchange_only {
                continue;
            }
            let grant = act
                .authority
                .require_grant(&key.effective, &key.networks, key.expires_at);
            if let Err(Refusal::Exceeds(excess)) = grant {
                return Err(Refusal::LiftsBeyond(Box::new(Lift {
                    pointer: pointer(rule, before, after),
                    rule,
                    key: key.id,
                    excess,
                })));
            }
        }
    }
}

/// Where a request that lifts a rule does so: in the organization's own policy, or else in the
/// operator's for it.
fn pointer(rule: Rule, before: &Organization, after: &Organization) -> String {
    let own = before.policy.differences(&after.policy);
    if own.contains_key(rule.as_str()) {
        rule.pointer().to_owned()
    } else {
        format!("/operator_policy/{}", rule.as_str())
    }
}

/// Which active keys break the policy of an organization now.
pub(super) async fn breaches(
    management: &Management,
    organization: &Organization,
) -> Result<Breaches, Refusal> {
    let policy = organization.effective_policy();
    let now = management.clock.now();
    let store = &management.store;
    let mut keys = BTreeMap::new();
    if let Some(max) = policy.rules.max_active_keys {
        let active = store.count_active_keys(&organization.id, now).await?;
        let too_many = active.saturating_sub(u64::from(max.get()));
        if too_many > 0 {
            keys.insert(Rule::MaxActiveKeys, too_many);
        }
    }
    let mut shown = 0;
    if policy.exchange_only() {
        usage::write_down(management).await?;
        let lately = store
            .shown_lately(&organization.id, now.minus(LATELY), now)
            .await?;
        shown = lately.uses;
        if lately.keys > 0 {
            keys.insert(Rule::ExchangeOnly, lately.keys);
        }
    }
    let (mut after, mut looked_at) = (None, 0);
    loop {
        let batch = store
            .active_key_terms(&organization.id, now, after, BATCH)
            .await?;
        for key in &batch {
            let terms = Terms {
                expires_at: key.expires_at,
                networks: &key.networks,
                rate_limit: key.rate_limit,
            };
            for violation in policy.broken_by(terms, now) {
                *keys.entry(violation.rule).or_default() += 1;
            }
        }
        looked_at += batch.len();
        after = batch.last().map(|key| key.id);
        let complete = batch.len() < usize::from(BATCH);
        if complete || looked_at >= LOOKED_AT {
            return Ok(Breaches {
                keys,
                shown,
                complete,
            });
        }
    }
}
