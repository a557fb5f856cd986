//! Repeats what this server serves: for how long its JWKSs may be cached, so that every server reckons
//! with it, and as which issuer, so that servers that differ are found.

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
                        "what this server serves could not be written down: while that is so, \
                         validators may be told to cache the JWKS for a few seconds alone"
                    );
                }
                turns.again_in(RETRY);
            }
        }
    }
    if let Err(error) = management.fall_silent().await {
        tracing::debug!(%error, "this server could not strike itself out");
    }
}
