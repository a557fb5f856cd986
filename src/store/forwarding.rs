//! Who told clients' addresses without being trusted to: one row, however many did.

use std::net::IpAddr;

use super::Store;
use super::engine::sql;
use super::error::{StoreError, corrupt};
use crate::domain::timestamp::Timestamp;

/// A peer that sent a forwarding header, and is not in `TRUSTED_PROXIES`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UntrustedForwarding {
    /// When it did so last.
    pub at: Timestamp,
    /// Its address.
    pub peer: IpAddr,
    /// The header, in lower case.
    pub header: String,
}

impl Store {
    /// Keeps the last one that was seen, in place of the one before.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn note_untrusted_forwarding(
        &self,
        seen: &UntrustedForwarding,
    ) -> Result<(), StoreError> {
        sql!(
            run self.writer(),
            "INSERT INTO untrusted_forwarding (id, seen_at, peer, header) VALUES (1, $1, $2, $3)
             ON CONFLICT (id) DO UPDATE
             SET seen_at = excluded.seen_at, peer = excluded.peer, header = excluded.header",
            seen.at.unix(), seen.peer.to_string(), &seen.header
        )?;
        Ok(())
    }

    /// The last one that was seen, if there ever was one.
    ///
    /// # Errors
    /// When the database is unavailable or the row corrupt.
    pub async fn untrusted_forwarding(&self) -> Result<Option<UntrustedForwarding>, StoreError> {
        let wrong = |what| corrupt("untrusted_forwarding", what);
        let row = sql!(
            optional(i64, String, String),
            self.reader(),
            "SELECT seen_at, peer, header FROM untrusted_forwarding WHERE id = 1"
        )?;
        row.map(|(at, peer, header)| {
            Ok(UntrustedForwarding {
                at: Timestamp::from_unix(at).map_err(|_| wrong("seen_at"))?,
                peer: peer.parse().map_err(|_| wrong("peer"))?,
                header,
            })
        })
        .transpose()
    }
}
