//! Servers, waited for: until they hold a root key, and until they work with it.

use std::time::{Duration, Instant};

use super::RootKeyRefusal;
use crate::manage::Management;
use crate::store::error::StoreError;
use crate::store::root_keys::Holder;

/// How often to look.
const LOOK: Duration = Duration::from_millis(200);

/// Waits until every server that lives holds a root key.
///
/// # Errors
/// [`RootKeyRefusal::WouldCutOff`] when one still does not after so long.
pub(super) async fn until_held(
    management: &Management,
    to: &str,
    patience: Duration,
) -> Result<(), RootKeyRefusal> {
    let nodes = without(management, patience, |holder| holder.holds(to)).await?;
    if nodes.is_empty() {
        return Ok(());
    }
    let to = to.to_owned();
    Err(RootKeyRefusal::WouldCutOff { to, nodes })
}

/// Waits until every server that lives works with a root key, so that each use of an API key frees
/// it of those before: the servers that still do not after so long.
///
/// # Errors
/// When the database is unavailable or a row corrupt.
pub async fn until_in_use(
    management: &Management,
    root_key: &str,
    patience: Duration,
) -> Result<Vec<Holder>, StoreError> {
    without(management, patience, |holder| holder.in_use == root_key).await
}

async fn without(
    management: &Management,
    patience: Duration,
    is_so: impl Fn(&Holder) -> bool,
) -> Result<Vec<Holder>, StoreError> {
    let began = Instant::now();
    loop {
        let now = management.clock.now();
        let mut nodes = management.store.holders(now).await?;
        nodes.retain(|holder| !is_so(holder));
        if nodes.is_empty() || began.elapsed() >= patience {
            return Ok(nodes);
        }
        tokio::time::sleep(LOOK).await;
    }
}
