//! An organization deleted: what is of persons goes, its id and its audit chain stay.
//!
//! The act ends it: its signing keys are destroyed, and nothing of it is found from then on. Its rows
//! may be millions, and go afterwards, in portions, so that nobody waits long for any of them. The
//! act notes that this is owed: a crash leaves nothing behind.

use crate::domain::organization::OrganizationId;
use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::engine::{Engine, sql};
use crate::store::error::{StoreError, corrupt};
use crate::store::write::Write;

/// Rows erased in one statement.
const PORTION: i64 = 2_000;

/// Keys erased in one transaction, with what belongs to each.
const KEYS: i64 = 200;

/// One statement for the keys whose ids are a JSON array.
#[derive(Clone, Copy)]
struct Texts {
    sqlite: &'static str,
    postgres: &'static str,
}

/// PostgreSQL is told to look for each id by itself: its statistics may be old.
macro_rules! of_keys {
    ($before:literal $(, $after:literal)?) => {
        Texts {
            sqlite: concat!($before, " IN (SELECT value FROM json_each($1))" $(, $after)?),
            postgres: concat!(
                $before,
                " = ANY (ARRAY (SELECT json_array_elements_text(CAST($1 AS json))))"
                $(, $after)?
            ),
        }
    };
}

/// What one key may have very many of: erased in portions, before the keys.
const OF_KEYS: [Texts; 2] = [
    of_keys!(
        "DELETE FROM exchange_records WHERE (api_key_id, day, address, scope) IN
             (SELECT api_key_id, day, address, scope FROM exchange_records WHERE api_key_id",
        " LIMIT $2)"
    ),
    of_keys!(
        "DELETE FROM denied_tokens WHERE jti IN
             (SELECT jti FROM denied_tokens WHERE api_key_id",
        " LIMIT $2)"
    ),
];

/// What goes together with keys, in an order in which nothing refers to what is gone. Servers add
/// usage to keys that are there: it is not to come back while they go.
const WITH_KEYS: [Texts; 7] = [
    of_keys!("DELETE FROM api_key_roles WHERE api_key_id"),
    of_keys!("DELETE FROM api_key_secrets WHERE api_key_id"),
    of_keys!("DELETE FROM secret_uses WHERE api_key_id"),
    of_keys!("DELETE FROM direct_uses WHERE api_key_id"),
    of_keys!("DELETE FROM exchange_records WHERE api_key_id"),
    of_keys!("DELETE FROM imported_lookups WHERE api_key_id"),
    of_keys!("DELETE FROM api_keys WHERE id"),
];

/// What is of the organization itself, once it has no keys.
const OF_ORGANIZATION: [&str; 6] = [
    "DELETE FROM imports WHERE (organization_id, file_sha256) IN
         (SELECT organization_id, file_sha256 FROM imports WHERE organization_id = $1 LIMIT $2)",
    "DELETE FROM roles WHERE (organization_id, name) IN
         (SELECT organization_id, name FROM roles WHERE organization_id = $1 LIMIT $2)",
    "DELETE FROM scope_catalogue WHERE (organization_id, action) IN
         (SELECT organization_id, action FROM scope_catalogue WHERE organization_id = $1 LIMIT $2)",
    "DELETE FROM denied_tokens WHERE jti IN
         (SELECT jti FROM denied_tokens WHERE organization_id = $1 LIMIT $2)",
    "DELETE FROM refusals WHERE request_id IN
         (SELECT request_id FROM refusals WHERE organization_id = $1 LIMIT $2)",
    "DELETE FROM usage_counts WHERE (organization_id, api_key_id, grain, starts_at, outcome) IN
         (SELECT organization_id, api_key_id, grain, starts_at, outcome FROM usage_counts
          WHERE organization_id = $1 LIMIT $2)",
];

/// What may be left of an organization that was deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remains {
    /// Whose.
    pub organization: OrganizationId,
    /// The audit entry that says that it was deleted. In those before it, what is personal goes.
    deleted: i64,
    /// Up to which of those it has gone, as far as is known.
    emptied: i64,
}

impl Store {
    /// Of which organizations something may be left, at most a hundred.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn remains(&self) -> Result<Vec<Remains>, StoreError> {
        let rows = sql!(
            all(String, i64),
            self.reader(),
            "SELECT organization_id, sequence FROM erasures WHERE sequence < 0
             ORDER BY organization_id LIMIT 100"
        )?;
        let remains = |(id, sequence): (String, i64)| {
            let organization = id
                .parse()
                .map_err(|_| corrupt("erasures", "organization_id"))?;
            Ok(Remains::of(organization, -sequence))
        };
        rows.into_iter().map(remains).collect()
    }

    /// Erases what is left of an organization in portions, so many at most; whether nothing is left.
    /// Others may do so at the same time.
    ///
    /// # Errors
    /// When the database is unavailable. What was erased stays erased.
    pub async fn erase_remains(
        &self,
        remains: &mut Remains,
        portions: u32,
    ) -> Result<bool, StoreError> {
        for _ in 0..portions {
            let erased = self.erase_keys(&remains.organization).await?
                || self.erase_of_organization(&remains.organization).await?
                || self.empty_entries(remains).await?;
            if !erased {
                self.note_erased(remains).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Erases some keys with all that belongs to them, or some of what belongs to them; false if
    /// there are none.
    async fn erase_keys(&self, organization: &OrganizationId) -> Result<bool, StoreError> {
        let keys = sql!(
            all(String,),
            self.writer(),
            "SELECT id FROM api_keys WHERE organization_id = $1 ORDER BY id LIMIT $2",
            organization.as_str(),
            KEYS
        )?;
        if keys.is_empty() {
            return Ok(false);
        }
        let keys: Vec<_> = keys.into_iter().map(|(key,)| key).collect();
        let keys = serde_json::to_string(&keys).expect("ids are JSON");
        for texts in OF_KEYS {
            let on = self.writer();
            let text = texts.on(&on);
            if sql!(run on, text, &keys, PORTION)? == PORTION.unsigned_abs() {
                return Ok(true);
            }
        }
        let mut transaction = self.transaction().await?;
        for texts in WITH_KEYS {
            let on = transaction.on();
            let text = texts.on(&on);
            sql!(run on, text, &keys)?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// Erases some of what is the organization's own; false if there is nothing.
    async fn erase_of_organization(
        &self,
        organization: &OrganizationId,
    ) -> Result<bool, StoreError> {
        for text in OF_ORGANIZATION {
            if sql!(run self.writer(), text, organization.as_str(), PORTION)? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Empties the personal columns of some audit entries; false if there are none behind.
    async fn empty_entries(&self, remains: &mut Remains) -> Result<bool, StoreError> {
        let upto = (remains.emptied + PORTION).min(remains.deleted - 1);
        if upto <= remains.emptied {
            return Ok(false);
        }
        sql!(
            run self.writer(),
            "UPDATE audit_events
             SET address = NULL, acting_for = NULL, salt = NULL, details = '{}'
             WHERE organization_id = $1 AND sequence > $2 AND sequence <= $3
               AND (salt IS NOT NULL OR details <> '{}' OR address IS NOT NULL
                    OR acting_for IS NOT NULL)",
            remains.organization.as_str(), remains.emptied, upto
        )?;
        remains.emptied = upto;
        Ok(true)
    }

    /// Notes that nothing is left in tables, and that it is to leave files too.
    async fn note_erased(&self, remains: &Remains) -> Result<(), StoreError> {
        let organization = remains.organization.as_str();
        let mut transaction = self.transaction().await?;
        let done = sql!(
            run transaction.on(),
            "DELETE FROM erasures WHERE organization_id = $1 AND sequence = $2
               AND NOT EXISTS (SELECT 1 FROM api_keys WHERE organization_id = $1)",
            organization, -remains.deleted
        )?;
        if done > 0 {
            sql!(
                run transaction.on(),
                "INSERT INTO erasures (organization_id, sequence) VALUES ($1, $2)
                 ON CONFLICT (organization_id, sequence) DO NOTHING",
                organization, remains.deleted
            )?;
        }
        transaction.commit().await
    }
}

impl Write {
    /// How many of the organization's keys are neither revoked nor past their end.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn count_living_keys(&mut self, now: Timestamp) -> Result<i64, StoreError> {
        let organization = self.organization().id.clone();
        let (count,) = sql!(
            one(i64,),
            self.on(),
            "SELECT COUNT(*) FROM api_keys
             WHERE organization_id = $1 AND revoked_at IS NULL
               AND (expires_at IS NULL OR expires_at > $2)",
            organization.as_str(),
            now.unix()
        )?;
        Ok(count)
    }

    /// Deletes the organization: destroys its signing keys, forgets its name and its policies, and
    /// owes that everything else of it goes too. The row stays, so that its id is never given again
    /// and its chain still verifies; the entry of this act says that what is personal in those before
    /// it is erased.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn delete_organization(&mut self, at: Timestamp) -> Result<Remains, StoreError> {
        let organization = self.organization().id.clone();
        sql!(
            run self.on(),
            "DELETE FROM signing_keys WHERE organization_id = $1", organization.as_str()
        )?;
        sql!(
            run self.on(),
            "UPDATE organizations
             SET name = id, policy = '{}', operator_policy = '{}', suspended_at = NULL,
                 bootstrapped_at = NULL, management_key_id = NULL, deleted_at = $2
             WHERE id = $1",
            organization.as_str(), at.unix()
        )?;
        self.erases_details();
        self.owe_erasure().await?;
        let remains = Remains::of(organization, self.sequence);
        sql!(
            run self.on(),
            "INSERT INTO erasures (organization_id, sequence) VALUES ($1, $2)",
            remains.organization.as_str(), -remains.deleted
        )?;
        Ok(remains)
    }
}

impl Remains {
    const fn of(organization: OrganizationId, deleted: i64) -> Self {
        Self {
            organization,
            deleted,
            emptied: 0,
        }
    }
}

impl Texts {
    const fn on<S, P>(self, engine: &Engine<S, P>) -> &'static str {
        match engine {
            Engine::Sqlite(_) => self.sqlite,
            Engine::Postgres(_) => self.postgres,
        }
    }
}
