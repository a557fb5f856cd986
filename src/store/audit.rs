//! The audit log in the database: appended to by acts, read in pages, walked by verifiers.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Store;
use super::engine::{Engine, sql};
use super::error::{StoreError, corrupt};
use super::organizations::Page;
use super::write::Write;
use crate::domain::audit::{ActionFilter, Entry, Filter};
use crate::domain::hex::hex;
use crate::domain::organization::OrganizationId;
use crate::domain::text::{ActingFor, Text};
use crate::domain::timestamp::Timestamp;

/// How many entries are written at a time.
const BATCH: usize = 1_000;

/// An entry as it is stored, for whoever verifies that it is as it was written.
#[derive(Debug, sqlx::FromRow)]
pub struct AuditRow {
    /// Its place in the organization's log.
    pub sequence: i64,
    /// When it was done, in Unix seconds.
    pub at: i64,
    pub(super) actor: String,
    pub(super) acting_for: Option<String>,
    pub(super) address: Option<String>,
    pub(super) request_id: Option<String>,
    /// What was done, such as `api_key.revoke`.
    pub action: String,
    /// The id of what it was done to.
    pub target: String,
    /// What changed: a JSON object, unless somebody else wrote it.
    pub details: String,
    pub(super) salt: Option<Vec<u8>>,
    pub(super) digest: Option<Vec<u8>>,
    /// What chains it to the entry before.
    pub mac: Vec<u8>,
}

/// The last entry of an organization's chain, as its row in `organizations` has it.
#[derive(Clone, PartialEq, Eq, Debug, sqlx::FromRow)]
pub struct Head {
    /// Whose chain. Not parsed: verifying must get past what somebody else wrote.
    #[sqlx(rename = "id")]
    pub organization: String,
    /// The place of the entry.
    #[sqlx(rename = "audit_sequence")]
    pub sequence: i64,
    /// Its MAC.
    #[sqlx(rename = "audit_mac")]
    pub mac: Vec<u8>,
    /// The id of the root key under which the chain goes on.
    pub root_key: String,
    /// The last entry under an earlier root key, if there is one.
    pub anchor_sequence: Option<i64>,
    /// What vouches for that entry.
    pub anchor_proof: Option<Vec<u8>>,
}

/// For whom entries are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reader {
    /// Somebody who may know which of the operator's keys reached in, and for whom.
    Operator,
    /// The organization itself, which may not.
    Tenant,
}

impl Store {
    /// A page of an organization's entries, newest first, beginning before `before`.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn audit_page(
        &self,
        organization: &OrganizationId,
        (filter, reader): (&Filter, Reader),
        before: Option<i64>,
        limit: u8,
    ) -> Result<Page<Entry>, StoreError> {
        let range = (i64::MIN, before.unwrap_or(i64::MAX));
        let count = i64::from(limit) + 1;
        let rows = self
            .audit_entries(&NEWEST_FIRST, organization, (filter, reader), range, count)
            .await?;
        Ok(Page::from_overfull(rows, usize::from(limit)))
    }

    /// At most `count` of an organization's entries, oldest first, behind `after` and up to
    /// `through`.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn audit_batch(
        &self,
        organization: &OrganizationId,
        (filter, reader): (&Filter, Reader),
        (after, through): (i64, i64),
        count: i64,
    ) -> Result<Vec<Entry>, StoreError> {
        let range = (after, through.saturating_add(1));
        self.audit_entries(&OLDEST_FIRST, organization, (filter, reader), range, count)
            .await
    }

    async fn audit_entries(
        &self,
        texts: &Texts,
        organization: &OrganizationId,
        (filter, reader): (&Filter, Reader),
        (after, before): (i64, i64),
        count: i64,
    ) -> Result<Vec<Entry>, StoreError> {
        let (one, family) = match &filter.action {
            Some(ActionFilter::One(action)) => (Some(&**action), None),
            Some(ActionFilter::Family(family)) => (None, Some(&**family)),
            None => (None, None),
        };
        let any_operator = matches!(&filter.actor, Some(actor) if actor.as_str() == "operator");
        let actor = filter.actor.as_ref().filter(|_| !any_operator);
        let actor = actor.map(Text::as_str);
        let target = filter.target.as_ref().map(Text::as_str);
        let acting_for = filter.acting_for.as_ref().map(Text::as_str);
        let request = filter.request_id.as_ref().map(Text::as_str);
        // The first that is there is the narrowest, as a rule.
        let narrowest = match () {
            () if request.is_some() => texts.by_request,
            () if target.is_some() => texts.by_target,
            () if acting_for.is_some() => texts.by_acting_for,
            () if actor.is_some() => texts.by_actor,
            () if one.is_some() => texts.by_action,
            () => texts.all,
        };
        let rows = sql!(
            all AuditRow, self.reader(), narrowest,
            organization.as_str(), after, before, one, family, actor, i64::from(any_operator),
            target, acting_for, i64::from(reader == Reader::Tenant), request,
            filter.since.map_or(i64::MIN, Timestamp::unix),
            filter.until.map_or(i64::MAX, Timestamp::unix), count
        )?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// At most `count` entries of a chain as they are stored, in order, behind `after`.
    ///
    /// # Errors
    /// When the database is unavailable or a row cannot be read at all.
    pub async fn audit_rows(
        &self,
        organization: &str,
        after: i64,
        count: i64,
    ) -> Result<Vec<AuditRow>, StoreError> {
        Ok(sql!(
            all AuditRow, self.reader(),
            "SELECT sequence, at, actor, acting_for, address, request_id, action, target, details,
                    salt, digest, mac
             FROM audit_events
             WHERE organization_id = $1 AND sequence > $2
             ORDER BY sequence LIMIT $3",
            organization, after, count
        )?)
    }

    /// The head of an organization's chain, if there is such an organization.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn audit_head(&self, organization: &str) -> Result<Option<Head>, StoreError> {
        Ok(sql!(
            optional Head, self.reader(),
            "SELECT id, audit_sequence, audit_mac, root_key, anchor_sequence, anchor_proof
             FROM organizations WHERE id = $1",
            organization
        )?)
    }

    /// At most `count` chains in the order of their organizations, behind `after`.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn audit_heads(&self, after: &str, count: i64) -> Result<Vec<Head>, StoreError> {
        Ok(sql!(
            all Head, self.reader(),
            "SELECT id, audit_sequence, audit_mac, root_key, anchor_sequence, anchor_proof
             FROM organizations WHERE id > $1 ORDER BY id LIMIT $2",
            after, count
        )?)
    }
}

impl AuditRow {
    /// Whether it was done on the machine itself.
    #[must_use]
    pub fn is_by_command_line(&self) -> bool {
        self.actor == "command line"
    }

    /// As [`Write::append`] reads it, column by column.
    fn to_json(&self) -> Value {
        let bytes = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(hex);
        json!([
            self.sequence,
            self.at,
            self.actor,
            self.acting_for,
            self.address,
            self.request_id,
            self.action,
            self.target,
            self.details,
            bytes(&self.salt),
            bytes(&self.digest),
            hex(&self.mac),
        ])
    }
}

impl Write {
    /// Stores entries, sealed. Many of them go in one statement, as JSON.
    pub(super) async fn append(&mut self, rows: &[AuditRow]) -> Result<(), StoreError> {
        let organization = self.organization().id.clone();
        for batch in rows.chunks(BATCH) {
            let rows: Vec<_> = batch.iter().map(AuditRow::to_json).collect();
            let on = self.on();
            let text = match on {
                Engine::Sqlite(_) => {
                    "INSERT INTO audit_events
                     (organization_id, sequence, at, actor, acting_for, address, request_id,
                      action, target, details, salt, digest, mac)
                     SELECT $1, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4,
                            value ->> 5, value ->> 6, value ->> 7, value ->> 8,
                            unhex(value ->> 9), unhex(value ->> 10), unhex(value ->> 11)
                     FROM json_each($2)"
                }
                Engine::Postgres(_) => {
                    "INSERT INTO audit_events
                     (organization_id, sequence, at, actor, acting_for, address, request_id,
                      action, target, details, salt, digest, mac)
                     SELECT $1, CAST(value ->> 0 AS BIGINT), CAST(value ->> 1 AS BIGINT),
                            value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
                            value ->> 7, value ->> 8, decode(value ->> 9, 'hex'),
                            decode(value ->> 10, 'hex'), decode(value ->> 11, 'hex')
                     FROM json_array_elements(CAST($2 AS JSON))"
                }
            };
            sql!(run on, text, organization.as_str(), json!(rows).to_string())?;
        }
        Ok(())
    }
}

/// One text for each index that can lead to what is asked for.
struct Texts {
    all: &'static str,
    by_actor: &'static str,
    by_acting_for: &'static str,
    by_request: &'static str,
    by_action: &'static str,
    by_target: &'static str,
}

macro_rules! entries {
    ($order:literal) => {
        Texts {
            all: entries!($order, ""),
            by_action: entries!($order, " AND action = $4"),
            by_actor: entries!($order, " AND actor = $6"),
            by_target: entries!($order, " AND target = $8"),
            by_acting_for: entries!($order, " AND acting_for = $9"),
            by_request: entries!($order, " AND request_id = $11"),
        }
    };
    ($order:literal, $narrowest:literal) => {
        concat!(
            "SELECT sequence, at, actor, acting_for, address, request_id, action, target, details,
                    salt, digest, mac
             FROM audit_events
             WHERE organization_id = $1 AND sequence > $2 AND sequence < $3",
            $narrowest,
            " AND ($4 IS NULL OR action = $4)
              AND ($5 IS NULL OR SUBSTR(action, 1, LENGTH($5)) = $5)
              AND ($6 IS NULL OR actor = $6)
              AND ($7 = 0 OR SUBSTR(actor, 1, 9) = 'operator:')
              AND ($8 IS NULL OR target = $8)
              AND ($9 IS NULL OR (acting_for = $9
                                  AND ($10 = 0 OR SUBSTR(actor, 1, 9) <> 'operator:')))
              AND ($11 IS NULL OR request_id = $11)
              AND at >= $12 AND at < $13
              ORDER BY sequence ",
            $order,
            " LIMIT $14"
        )
    };
}

const NEWEST_FIRST: Texts = entries!("DESC");
const OLDEST_FIRST: Texts = entries!("ASC");

impl TryFrom<AuditRow> for Entry {
    type Error = StoreError;

    fn try_from(row: AuditRow) -> Result<Self, StoreError> {
        let wrong = |what| corrupt("audit_events", what);
        let acting_for = row.acting_for.map(|text| ActingFor::new(&text));
        let address = row.address.map(|text| text.parse());
        Ok(Self {
            sequence: row.sequence,
            at: Timestamp::from_unix(row.at).map_err(|_| wrong("at"))?,
            actor: row.actor,
            acting_for: acting_for.transpose().map_err(|_| wrong("acting_for"))?,
            address: address.transpose().map_err(|_| wrong("address"))?,
            request_id: row.request_id,
            action: row.action,
            target: row.target,
            details: RawValue::from_string(row.details).map_err(|_| wrong("details"))?,
            mac: row.mac,
            salt: row.salt,
            digest: row.digest,
        })
    }
}
