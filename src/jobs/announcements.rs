//! Repeats for how long JWKSs of this server may be cached, so that every server reckons with it.

use std::sync::Arc;
use std::time::Duration;

use super::turns::Turns;
use crate::manage::Management;

/// How often: several times while it is good for.
const EVERY: Duration = Duration::from_secs(15);

/// How soon again after a failure.
const RETRY: Duration = Duration::from_secs(5);

/// Runs until stopped.
pub(super) async fn announce(management: Arc<Management>, mut turns: Turns) {
    let mut warned = false;
    while turns.next().await.is_some() {
        match management.announce().await {
            Ok(()) => {
                warned = false;
                turns.again_in(EVERY);
            }
            Err(error) => {
                if !std::mem::replace(&mut warned, true) {
                    tracing::warn!(
                        %error,
                        "for how long the JWKS may be cached could not be written down: while \
                         that is so, validators are told a few seconds"
                    );
                }
                turns.again_in(RETRY);
            }
        }
    }
}
