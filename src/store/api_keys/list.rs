//! Lists of API keys, filtered and sorted: read along an index from where the page before ended.

mod texts;

use sqlx::{PgConnection, SqliteConnection};

use super::row::ApiKeyRow;
use crate::domain::api_key::{ApiKey, KeyFilter, KeyOrder, Maker, Position, SortValue};
use crate::domain::api_key::{Makers, StatusFilter};
use crate::domain::organization::OrganizationId;
use crate::domain::text::{ExternalId, Metadata};
use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::engine::{Engine, sql};
use crate::store::error::StoreError;
use crate::store::write::Write;

pub use texts::LISTS;

/// How many rows are read at a time, behind a first page's worth that SQL alone could decide.
const BATCH: usize = 500;

/// How many rows one page may cost.
const MOST_READ: usize = 10_000;

/// What stands for the end of a key without one: behind every instant that can be written.
const NEVER: i64 = Timestamp::MAX.unix() + 1;

type On<'a> = Engine<&'a mut SqliteConnection, &'a mut PgConnection>;

/// A page of keys.
#[derive(Debug)]
pub struct KeyPage {
    /// The keys, in order.
    pub rows: Vec<ApiKey>,
    /// Where to go on, if there is or may be more. A page can have that and few keys, or none:
    /// finding some took as long as a page may.
    pub next: Option<Position>,
}

impl Store {
    /// A page of an organization's keys, beginning behind `after`.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn api_keys(
        &self,
        organization: &OrganizationId,
        filter: &KeyFilter,
        now: Timestamp,
        after: Option<Position>,
        order: KeyOrder,
        limit: u8,
    ) -> Result<KeyPage, StoreError> {
        let limit = usize::from(limit);
        let mut walk = Walk::new(organization, filter, now, order, after);
        let mut rows = Vec::new();
        let mut batch = limit + 1;
        while walk.read < MOST_READ && !walk.ended {
            match &self.engine {
                Engine::Sqlite(sqlite) => {
                    let mut connection = sqlite.readers.acquire().await?;
                    walk.next(Engine::Sqlite(&mut connection), batch, &mut rows)
                        .await?;
                }
                Engine::Postgres(postgres) => {
                    let mut connection = postgres.pool.acquire().await?;
                    walk.next(Engine::Postgres(&mut connection), batch, &mut rows)
                        .await?;
                }
            }
            if rows.len() > limit {
                rows.truncate(limit);
                let next = rows.last().map(|key| Position::behind(key, order));
                return Ok(KeyPage { rows, next });
            }
            batch = BATCH;
        }
        let next = walk.after.filter(|_| !walk.ended);
        Ok(KeyPage { rows, next })
    }

    /// The first of an organization's keys for which a filter holds, at most `most`, in the order
    /// of their making.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn matching_api_keys(
        &self,
        organization: &OrganizationId,
        filter: &KeyFilter,
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<ApiKey>, StoreError> {
        let walk = Walk::new(organization, filter, now, KeyOrder::Oldest, None);
        match &self.engine {
            Engine::Sqlite(sqlite) => {
                let mut connection = sqlite.readers.acquire().await?;
                walk.all(Engine::Sqlite(&mut connection), most).await
            }
            Engine::Postgres(postgres) => {
                let mut connection = postgres.pool.acquire().await?;
                walk.all(Engine::Postgres(&mut connection), most).await
            }
        }
    }
}

impl Write {
    /// The same within an act: what is found stays true until it ends.
    ///
    /// # Errors
    /// When the database is unavailable or a row corrupt.
    pub async fn matching_api_keys(
        &mut self,
        filter: &KeyFilter,
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<ApiKey>, StoreError> {
        let organization = self.organization().id.clone();
        let walk = Walk::new(&organization, filter, now, KeyOrder::Oldest, None);
        walk.all(self.on(), most).await
    }
}

/// A way through the keys of an organization, batch by batch.
struct Walk<'a> {
    organization: &'a OrganizationId,
    filter: &'a KeyFilter,
    now: Timestamp,
    order: KeyOrder,
    /// Behind which key it goes on.
    after: Option<Position>,
    /// How many rows were read.
    read: usize,
    /// Whether there is nothing more.
    ended: bool,
}

impl<'a> Walk<'a> {
    fn new(
        organization: &'a OrganizationId,
        filter: &'a KeyFilter,
        now: Timestamp,
        order: KeyOrder,
        after: Option<Position>,
    ) -> Self {
        Self {
            organization,
            filter,
            now,
            order,
            after,
            read: 0,
            ended: false,
        }
    }

    async fn all(mut self, mut on: On<'_>, most: usize) -> Result<Vec<ApiKey>, StoreError> {
        let mut found = Vec::new();
        while !self.ended && found.len() < most {
            let on = match &mut on {
                Engine::Sqlite(connection) => Engine::Sqlite(&mut **connection),
                Engine::Postgres(connection) => Engine::Postgres(&mut **connection),
            };
            self.next(on, BATCH, &mut found).await?;
        }
        found.truncate(most);
        Ok(found)
    }

    /// Reads the next rows, and adds the keys for which the filter holds.
    ///
    /// SQL narrows by what it can; the domain decides.
    async fn next(
        &mut self,
        on: On<'_>,
        batch: usize,
        found: &mut Vec<ApiKey>,
    ) -> Result<(), StoreError> {
        let filter = self.filter;
        let (drive, value) = Drive::of(filter);
        let (name, end, id) = self.bounds();
        let search = filter.search.as_ref();
        let search = search.map(|text| literally(&text.as_str().to_ascii_lowercase()));
        let (in_name, in_id) = match search {
            Some(text) => (format!("%{text}%"), format!("{text}%")),
            None => ("%".to_owned(), "%".to_owned()),
        };
        let expires_before = filter.expires_before.map_or(i64::MAX, Timestamp::unix);
        let unused_since = filter.unused_since.map_or(i64::MAX, Timestamp::unix);
        let limit = i64::try_from(batch).unwrap_or(i64::MAX);
        let itself = match filter.created_by {
            Some(Makers {
                maker: Maker::Key(id),
                include_creator: true,
                ..
            }) => id.to_string(),
            _ => String::new(),
        };
        let rows = sql!(
            all ApiKeyRow, on, text(drive, filter.status, self.order),
            self.organization.as_str(), self.now.unix(), filter.status.as_str(), &in_name, &in_id,
            within(&filter.metadata), expires_before, limit, &value,
            &name, end, &id, &itself, unused_since
        )?;
        self.read += rows.len();
        self.ended = rows.len() < batch;
        let last = rows.len().saturating_sub(1);
        for (at, row) in rows.into_iter().enumerate() {
            let key: ApiKey = row.try_into()?;
            if at == last {
                self.after = Some(Position::behind(&key, self.order));
            }
            if filter.holds(&key, self.now) {
                found.push(key);
            }
        }
        Ok(())
    }

    /// Behind what the next rows are. At the beginning, behind what no key comes before.
    fn bounds(&self) -> (String, i64, String) {
        let descending = matches!(
            self.order,
            KeyOrder::Newest | KeyOrder::NameDescending | KeyOrder::ExpiryDescending
        );
        let Some(after) = &self.after else {
            return if descending {
                // Longer than any name, of the last character; letters of ids are below `~`.
                ("\u{10ffff}".repeat(101), i64::MAX, "~".to_owned())
            } else {
                (String::new(), -1, String::new())
            };
        };
        let id = after.id.to_string();
        match &after.value {
            SortValue::None => (String::new(), 0, id),
            SortValue::Name(name) => (name.clone(), 0, id),
            SortValue::End(end) => (String::new(), end.map_or(NEVER, Timestamp::unix), id),
        }
    }
}

/// By which filter the keys are found; the others are looked at afterwards.
#[derive(Clone, Copy)]
enum Drive {
    None,
    ExternalId,
    Maker,
    Makers,
    Role,
}

impl Drive {
    fn of(filter: &KeyFilter) -> (Self, String) {
        match (&filter.created_by, &filter.external_id, &filter.role) {
            (Some(makers), _, _) if makers.transitive || makers.include_creator => {
                (Self::Makers, makers.maker.to_string())
            }
            (_, Some(id), _) => (Self::ExternalId, ExternalId::as_str(id).to_owned()),
            (_, _, Some(role)) => (Self::Role, role.as_str().to_owned()),
            (Some(makers), _, _) => (Self::Maker, makers.maker.to_string()),
            (None, None, None) => (Self::None, String::new()),
        }
    }
}

/// A pattern of `LIKE … ESCAPE '!'` for exactly this text.
fn literally(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '!' | '%' | '_') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern
}

/// A pattern for metadata, as it is stored, that has all of these entries: stored entries are in
/// the order of their names too. Some text that is no entry fits as well, which the domain sees.
fn within(metadata: &Metadata) -> String {
    let mut pattern = "%".to_owned();
    let json = |text: &str| serde_json::to_string(text).expect("strings are JSON");
    for (name, value) in metadata.iter() {
        let entry = format!("{}:{}", json(name), json(value));
        pattern.push_str(&literally(&entry));
        pattern.push('%');
    }
    pattern
}

fn text(drive: Drive, status: StatusFilter, order: KeyOrder) -> &'static str {
    let state = match status {
        StatusFilter::All => 0,
        StatusFilter::Revoked => 1,
        _ => 2,
    };
    LISTS[drive as usize][state][order as usize]
}
