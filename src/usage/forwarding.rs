//! Forwarding headers from peers that are not trusted: as a rule a proxy that nobody named, and
//! then every client has the proxy's address. The last is remembered, for whoever looks.

use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::{Usage, lock};
use crate::domain::client_address::is_near;
use crate::store::error::StoreError;
use crate::store::forwarding::UntrustedForwarding;

/// For how many seconds nothing more is noted: strangers send such headers as often as they like.
const QUIET: i64 = 60;

/// For how many seconds a stranger does not take the place of a peer that may be a proxy.
const KEPT: i64 = 3_600;

/// The last one seen, until it is written down. Each instant is in Unix seconds.
#[derive(Default)]
pub(super) struct Forwarding {
    near_from: AtomicI64,
    far_from: AtomicI64,
    told: AtomicBool,
    seen: Mutex<Option<UntrustedForwarding>>,
}

impl Usage {
    /// Notes that a peer which is not trusted to do so told a client's address.
    pub fn untrusted_forwarding(&self, peer: IpAddr, header: &'static str) {
        let forwarding = &self.forwarding;
        let now = self.clock.now();
        let near = is_near(peer);
        let from = if near {
            &forwarding.near_from
        } else {
            &forwarding.far_from
        };
        if from.load(Ordering::Relaxed) > now.unix() {
            return;
        }
        from.store(now.unix() + QUIET, Ordering::Relaxed);
        if near {
            let kept = now.unix() + KEPT;
            forwarding.far_from.store(kept, Ordering::Relaxed);
        }
        if !forwarding.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %peer, header,
                "a peer that TRUSTED_PROXIES does not name sent a forwarding header, which is \
                 ignored: if it is your proxy, name it"
            );
        }
        *lock(&forwarding.seen) = Some(UntrustedForwarding {
            at: now,
            peer,
            header: header.to_owned(),
        });
    }

    /// Writes down the last one seen, if there was one since the last time.
    ///
    /// # Errors
    /// When the database is unavailable: a later call writes it.
    pub async fn write_forwarding(&self) -> Result<(), StoreError> {
        let Some(seen) = lock(&self.forwarding.seen).take() else {
            return Ok(());
        };
        let written = self.store.note_untrusted_forwarding(&seen).await;
        if written.is_err() {
            lock(&self.forwarding.seen).get_or_insert(seen);
        }
        written
    }
}
