//! The relief of a key that stands in for one that takes seconds to make: begun at once by whoever
//! put it there. Should that come to nothing, the jobs make up for it.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::advance::{Which, advance};
use super::rsa::PATIENCE;
use crate::domain::signing_key::SigningKey;
use crate::manage::Management;

/// A relief under way, which comes to its end whether or not anybody waits for it.
pub(super) struct Begun(JoinHandle<()>);

/// Begins the relief of a key that was just put in place; `None` if it stands in for no other.
pub(super) fn begin(management: &Arc<Management>, key: &SigningKey) -> Option<Begun> {
    key.life.stands_in_for?;
    let work = advance(
        Arc::clone(management),
        key.organization.clone(),
        Which::Relief,
    );
    Some(Begun(tokio::spawn(async move {
        if let Err(error) = work.await {
            tracing::warn!(%error, "a signing key is not relieved yet: it is tried again later");
        }
    })))
}

impl Begun {
    /// Waits for its end, or as long as an emergency may wait.
    pub(super) async fn wait(self) {
        let Self(relief) = self;
        let _ = tokio::time::timeout(PATIENCE, relief).await;
    }
}
