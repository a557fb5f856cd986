//! The relief of a key that stands in for one that takes seconds to make: begun at once by whoever
//! put it there. Should that come to nothing, the jobs make up for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::advance::relieve;
use super::rsa::Urgent;
use crate::domain::signing_key::{SigningKey, State};
use crate::manage::Management;

/// A relief under way, which comes to its end whether or not anybody waits for it.
pub(super) struct Begun {
    relief: JoinHandle<()>,
    patience: Duration,
}

/// Begins the relief of a key that stands in for another, with what was made for it before; `None`
/// if it does not. What somebody here is at already is waited for instead.
pub(super) fn begin(
    management: &Arc<Management>,
    key: &SigningKey,
    before: Option<Urgent>,
) -> Option<Begun> {
    key.life.stands_in_for?;
    if key.life.state() != State::Active {
        return None;
    }
    let patience = management.rsa.patience;
    let management = Arc::clone(management);
    let organization = key.organization.clone();
    let relief = tokio::spawn(async move {
        let urgent = match before {
            Some(urgent) => urgent,
            None => management.rsa.urgent_in_turn(&organization).await,
        };
        if let Err(error) = relieve(management, organization, urgent).await {
            tracing::warn!(%error, "a signing key is not relieved yet: it is tried again later");
        }
    });
    Some(Begun { relief, patience })
}

impl Begun {
    /// Waits for its end, or as long as an emergency may wait.
    pub(super) async fn wait(self) {
        let _ = tokio::time::timeout(self.patience, self.relief).await;
    }
}
