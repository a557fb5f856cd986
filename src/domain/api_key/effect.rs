//! What an edit would have done to the exchanges that a key made lately.

use super::super::network::{Network, NetworkSet};
use super::super::scope::{Scope, ScopeSet};
use super::super::timestamp::Timestamp;
use super::ApiKey;

/// Exchanges of one kind, as they were recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// From where: one IPv4 address, or an IPv6 network of 64 bits.
    pub from: Network,
    /// For which scopes; `None` when the client named none.
    pub asked: Option<ScopeSet>,
    /// How many.
    pub count: u64,
    /// When last.
    pub last_seen: Timestamp,
}

/// Why an exchange would have been refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Because {
    /// Its address would lie, or could lie, outside the key's networks.
    Network,
    /// What it asked for would be beyond the key.
    Scope,
}

/// What would have become of the recorded exchanges.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Effect {
    /// Those that would have been refused, and why.
    pub refused: Vec<(Recorded, Vec<Because>)>,
    /// Those that named no scope and would have got less: which scopes they would lose.
    pub less: Vec<(Recorded, Vec<Scope>)>,
}

impl Effect {
    /// That of a key becoming `after` instead of `before`.
    #[must_use]
    pub fn of(before: &ApiKey, after: &ApiKey, recorded: Vec<Recorded>) -> Self {
        let lost: Vec<Scope> = before
            .effective
            .iter()
            .filter(|scope| !after.effective.covers(scope))
            .cloned()
            .collect();
        let mut effect = Self::default();
        for exchange in recorded {
            let because = because(before, after, &exchange);
            if !because.is_empty() {
                effect.refused.push((exchange, because));
            } else if exchange.asked.is_none() && !lost.is_empty() {
                effect.less.push((exchange, lost.clone()));
            }
        }
        effect
    }

    /// Whether nothing recorded would have ended otherwise.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.refused.is_empty() && self.less.is_empty()
    }
}

fn because(before: &ApiKey, after: &ApiKey, exchange: &Recorded) -> Vec<Because> {
    let mut because = Vec::new();
    let place = NetworkSet::new([exchange.from]).expect("one network is a set");
    // What is refused already is not refused by this edit.
    if before.networks.covers(&place) && !after.networks.covers(&place) {
        because.push(Because::Network);
    }
    if let Some(asked) = &exchange.asked
        && before.effective.uncovered(asked).is_none()
        && after.effective.uncovered(asked).is_some()
    {
        because.push(Because::Scope);
    }
    because
}
