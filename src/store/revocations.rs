//! What was taken back lately: read at once, for the revocation feed.

use super::Store;
use super::engine::sql;
use super::error::{StoreError, corrupt};
use super::write::Write;
use crate::domain::organization::OrganizationId;
use crate::domain::role::RoleName;
use crate::domain::timestamp::Timestamp;

/// Something whose tokens do not count any more, or not those from before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TakenBack {
    /// Whose it is.
    pub organization: OrganizationId,
    /// What it is.
    pub what: What,
    /// Its name: an id, a `kid`, a `jti`.
    pub name: String,
    /// When that was done; of a token when it ends.
    pub at: Timestamp,
    /// When that was done, of a token too.
    pub done_at: Timestamp,
    /// Of a token, which one of its key.
    pub denial: Option<Denial>,
}

/// Which one of the tokens of a key that are denied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denial {
    /// The id of the key that it was issued to.
    pub key: String,
    /// Which it is of them, from 1: the one that was denied last.
    pub nth: usize,
    /// How many there are.
    pub of: usize,
}

/// How much is read at most: of what remains, the latest.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// Keys and tokens of one organization.
    pub of_organization: usize,
    /// Tokens of one key.
    pub of_key: usize,
}

/// What was taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// An API key that is revoked or disabled.
    Key,
    /// An API key that permits less than before.
    NarrowedKey,
    /// An organization that is suspended or deleted.
    Organization,
    /// A signing key that was withdrawn.
    SigningKey,
    /// A token that was denied.
    Token,
}

/// From when on things are looked at: what was done at or before is past.
#[derive(Clone, Copy, Debug)]
pub struct Since {
    /// For keys and organizations.
    pub keys: Timestamp,
    /// For signing keys.
    pub signing_keys: Timestamp,
    /// For tokens, by their end.
    pub tokens: Timestamp,
}

#[derive(sqlx::FromRow)]
struct Row {
    what: String,
    organization_id: String,
    name: String,
    at: i64,
    done_at: i64,
    key_id: Option<String>,
    nth: i64,
    of_key: i64,
}

impl Store {
    /// What was taken back lately, of every organization, as of one instant: of each at most so
    /// many keys and tokens together. Keys and the last token of each key come before second tokens,
    /// those before third ones, and so on: a key that denies many leaves the others their place. A
    /// key that was taken back twice is there once.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn taken_back(&self, since: Since, most: Most) -> Result<Vec<TakenBack>, StoreError> {
        let rows = sql!(
            all Row, self.reader(),
            "SELECT what, organization_id, name, at, done_at, key_id, nth, of_key
             FROM (SELECT what, organization_id, name, at, done_at, key_id, nth, of_key,
                          ROW_NUMBER() OVER (PARTITION BY organization_id
                                             ORDER BY nth, done_at DESC, name) AS place
                   FROM (SELECT 'key' AS what, organization_id, id AS name, revoked_at AS at,
                                revoked_at AS done_at, id AS key_id, 1 AS nth, 1 AS of_key
                         FROM api_keys WHERE revoked_at > $1
                         UNION ALL
                         SELECT 'key', organization_id, id, disabled_at, disabled_at, id, 1, 1
                         FROM api_keys WHERE disabled_at > $1 AND COALESCE(revoked_at, 0) <= $1
                         UNION ALL
                         SELECT 'narrowed', organization_id, id, narrowed_at, narrowed_at, id, 1, 1
                         FROM api_keys WHERE narrowed_at > $1
                             AND COALESCE(revoked_at, disabled_at, 0) <= $1
                         UNION ALL
                         SELECT 'token', organization_id, jti, expires_at, denied_at, api_key_id,
                                ROW_NUMBER() OVER
                                    (PARTITION BY api_key_id ORDER BY denied_at DESC, jti),
                                COUNT(*) OVER (PARTITION BY api_key_id)
                         FROM denied_tokens WHERE expires_at > $3) AS each_of_them
                   WHERE nth <= $5) AS placed
             WHERE place <= $4
             UNION ALL
             SELECT 'organization', id, id, suspended_at, suspended_at, NULL, 1, 1
             FROM organizations WHERE suspended_at > $1
             UNION ALL
             SELECT 'organization', id, id, deleted_at, deleted_at, NULL, 1, 1
             FROM organizations WHERE deleted_at > $1
             UNION ALL
             SELECT 'signing_key', organization_id, kid, revoked_at, revoked_at, NULL, 1, 1
             FROM signing_keys WHERE revoked_at > $2",
            since.keys.unix(), since.signing_keys.unix(), since.tokens.unix(),
            i64::try_from(most.of_organization).unwrap_or(i64::MAX),
            i64::try_from(most.of_key).unwrap_or(i64::MAX)
        )?;
        rows.into_iter().map(TryInto::try_into).collect()
    }
}

impl Write {
    /// Notes that every key which holds a role permits less from this second on.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn narrow_holders(
        &mut self,
        role: &RoleName,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let organization = self.organization().id.clone();
        let mut behind = String::new();
        while let Some(end) = self.next_holders(role, &behind).await? {
            sql!(
                run self.on(),
                "UPDATE api_keys SET narrowed_at = $3
                 WHERE revoked_at IS NULL AND COALESCE(narrowed_at, 0) < $3 AND id IN
                     (SELECT api_key_id FROM api_key_roles
                      WHERE organization_id = $1 AND role = $2
                        AND api_key_id > $4 AND api_key_id <= $5)",
                organization.as_str(), role.as_str(), at.unix(), &behind, &end
            )?;
            behind = end;
        }
        Ok(())
    }
}

impl TryFrom<Row> for TakenBack {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let wrong = |what| corrupt("what was taken back", what);
        let organization = row.organization_id.parse();
        let instant = |at| Timestamp::from_unix(at).map_err(|_| wrong("at"));
        let count = |n| usize::try_from(n).map_err(|_| wrong("nth"));
        let what = match &*row.what {
            "key" => What::Key,
            "narrowed" => What::NarrowedKey,
            "organization" => What::Organization,
            "signing_key" => What::SigningKey,
            _ => What::Token,
        };
        let denial = match row.key_id.filter(|_| what == What::Token) {
            Some(key) => Some(Denial {
                key,
                nth: count(row.nth)?,
                of: count(row.of_key)?,
            }),
            None => None,
        };
        Ok(Self {
            organization: organization.map_err(|_| wrong("organization_id"))?,
            what,
            name: row.name,
            at: instant(row.at)?,
            done_at: instant(row.done_at)?,
            denial,
        })
    }
}
