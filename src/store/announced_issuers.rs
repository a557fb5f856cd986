//! Which issuer each server says that it serves: all on one database are to serve the same.

use super::Store;
use super::engine::sql;
use super::error::{StoreError, corrupt};
use crate::domain::issuer::BaseUrl;
use crate::domain::timestamp::Timestamp;

/// What a server says that it serves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnnouncedIssuer {
    /// The server's id.
    pub node: String,
    /// Its `ISSUER`.
    pub issuer: BaseUrl,
    /// Until when that counts, unless the server says so again.
    pub until: Timestamp,
}

impl Store {
    /// Says which issuer a server serves, in place of what it said before.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn announce_issuer(&self, said: &AnnouncedIssuer) -> Result<(), StoreError> {
        sql!(
            run self.writer(),
            "INSERT INTO announced_issuers (node, issuer, announced_until) VALUES ($1, $2, $3)
             ON CONFLICT (node) DO UPDATE
             SET issuer = excluded.issuer, announced_until = excluded.announced_until",
            &said.node, said.issuer.as_str(), said.until.unix()
        )?;
        Ok(())
    }

    /// What servers say that live at `now`, by what they serve and by their ids.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn announced_issuers(
        &self,
        now: Timestamp,
    ) -> Result<Vec<AnnouncedIssuer>, StoreError> {
        let wrong = |what| corrupt("announced_issuers", what);
        let rows = sql!(
            all(String, String, i64),
            self.reader(),
            "SELECT node, issuer, announced_until FROM announced_issuers
             WHERE announced_until > $1 ORDER BY issuer, node",
            now.unix()
        )?;
        let row = |(node, issuer, until): (String, String, i64)| {
            Ok(AnnouncedIssuer {
                node,
                issuer: issuer.parse().map_err(|_| wrong("issuer"))?,
                until: Timestamp::from_unix(until).map_err(|_| wrong("announced_until"))?,
            })
        };
        rows.into_iter().map(row).collect()
    }

    /// Strikes out a server that stops.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn withdraw_issuer(&self, node: &str) -> Result<(), StoreError> {
        sql!(run self.writer(), "DELETE FROM announced_issuers WHERE node = $1", node)?;
        Ok(())
    }

    /// Strikes out every server but one, which has the database to itself.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn withdraw_other_issuers(&self, node: &str) -> Result<(), StoreError> {
        sql!(run self.writer(), "DELETE FROM announced_issuers WHERE node <> $1", node)?;
        Ok(())
    }

    /// Forgets what servers said that were gone at some time, long ago.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn forget_announced_issuers(&self, before: Timestamp) -> Result<(), StoreError> {
        sql!(
            run self.writer(),
            "DELETE FROM announced_issuers WHERE announced_until < $1", before.unix()
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::engine::DatabaseUrl;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    #[tokio::test]
    async fn what_a_server_said_last_counts_until_its_time_or_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&DatabaseUrl::Sqlite(folder.path().join("t.db")))
            .await
            .unwrap();
        store.migrate(&store.lock().unwrap()).await.unwrap();
        let say = async |node: &str, issuer: &str, until| {
            let said = AnnouncedIssuer {
                node: node.to_owned(),
                issuer: issuer.parse().unwrap(),
                until: at(until),
            };
            store.announce_issuer(&said).await.unwrap();
        };
        let nodes = async |now| {
            let said = store.announced_issuers(at(now)).await.unwrap();
            said.into_iter().map(|one| one.node).collect::<Vec<_>>()
        };
        say("a", "https://z.example", 100).await;
        say("b", "https://b.example", 100).await;
        say("c", "https://b.example", 200).await;
        assert_eq!(nodes(99).await, ["b", "c", "a"]);
        assert_eq!(nodes(100).await, ["c"]);
        say("a", "https://a.example", 300).await;
        assert_eq!(nodes(100).await, ["a", "c"]);
        store.forget_announced_issuers(at(200)).await.unwrap();
        assert_eq!(nodes(1).await, ["a", "c"]);
        store.withdraw_issuer("c").await.unwrap();
        assert_eq!(nodes(1).await, ["a"]);
        say("b", "https://b.example", 300).await;
        store.withdraw_other_issuers("b").await.unwrap();
        assert_eq!(nodes(1).await, ["b"]);
        let wrong = "UPDATE announced_issuers SET issuer = 'http://far.example'";
        sql!(run store.writer(), wrong).unwrap();
        assert!(matches!(
            store.announced_issuers(at(1)).await,
            Err(StoreError::Corrupt { .. })
        ));
    }
}
