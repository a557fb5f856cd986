//! API keys by the thousand, put into a database as rows, with secrets that somebody holds: made as
//! tenmint makes them, under its root key, without the hour that requests would take.

use std::num::NonZeroUsize;
use std::thread;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tenmint::crypto::fingerprint;
use tenmint::crypto::key_mint::KeyMint;
use tenmint::crypto::root_key::RootKey;
use tenmint::crypto::root_key_file;
use tenmint::crypto::secret_hash::{HashCost, Pepper, SecretHasher};
use tenmint::domain::secret::{ApiKeySecret, KeyPrefix};
use ulid::Ulid;

use super::Failure;
use super::child::Place;
use super::requests::{Key, ORGANIZATION};

/// How many rows one statement takes.
const ROWS: usize = 500;

/// The ULID before the first: far from those that other benches give.
const BEFORE: u128 = 1 << 100;

/// Makes keys for one deployment.
pub struct Seeder {
    root: RootKey,
    mint: KeyMint,
    pepper: Pepper,
    hasher: SecretHasher,
    prefix: KeyPrefix,
    next: u128,
}

/// A key, and what its row says of its secret.
struct Seeded {
    key: Key,
    hash: String,
    fingerprint: String,
}

/// In which state keys are put there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// In force.
    Active,
    /// Revoked.
    Revoked,
}

impl Seeder {
    /// For the deployment that was made at `place`. The hashes of its keys cost `cost`.
    pub fn of(place: &Place<'_>, cost: HashCost) -> Result<Self, Failure> {
        Self::behind(place, cost, 0)
    }

    /// The same where so many keys were made by another.
    pub fn behind(place: &Place<'_>, cost: HashCost, made: usize) -> Result<Self, Failure> {
        let mut found = root_key_file::read(&place.folder.join("root.key"))?;
        let root = found.keys.remove(0);
        Ok(Self {
            mint: KeyMint::new(&root),
            pepper: Pepper::new(&root),
            hasher: SecretHasher::new(cost),
            prefix: "tmsk".parse()?,
            next: BEFORE + made as u128,
            root,
        })
    }

    /// Puts new keys into the database beside a server, or while there is none, each with three
    /// scopes and two networks.
    pub async fn keys(
        &mut self,
        place: &Place<'_>,
        count: usize,
        state: State,
    ) -> Result<Vec<Key>, Failure> {
        let mut keys = Vec::with_capacity(count);
        while keys.len() < count {
            let some = (count - keys.len()).min(20 * ROWS);
            let made = self.make(some);
            let mut statements = String::from("BEGIN;\n");
            for rows in made.chunks(ROWS) {
                statements.push_str(&insert(rows, self.root.id().as_str(), state));
            }
            statements.push_str("COMMIT;\n");
            execute(place, statements).await?;
            keys.extend(made.into_iter().map(|seeded| seeded.key));
        }
        Ok(keys)
    }

    /// The same key with another secret, genuine by its tag: a rotated-out one.
    pub fn former(&self, key: &Key) -> Result<Key, Failure> {
        let ulid = key.id.trim_start_matches("key_").parse();
        let ulid = ulid.map_err(|_| "the id of a key holds a ULID")?;
        Ok(holder(&self.mint.mint(&self.prefix, ulid)))
    }

    /// How many secrets one core verifies in a second, while nothing else runs.
    pub fn rate(&self, span: Duration) -> f64 {
        let secret = self.mint.mint(&self.prefix, Ulid(BEFORE));
        let began = Instant::now();
        let mut runs = 0_u32;
        while began.elapsed() < span {
            let _ = self.hasher.hash(&self.pepper, &secret);
            runs += 1;
        }
        f64::from(runs) / began.elapsed().as_secs_f64()
    }

    fn make(&mut self, count: usize) -> Vec<Seeded> {
        let first = self.next + 1;
        self.next += count as u128;
        let one = |number: u128| {
            let secret = self.mint.mint(&self.prefix, Ulid(number));
            Seeded {
                hash: self.hasher.hash(&self.pepper, &secret),
                fingerprint: fingerprint::of(&secret),
                key: holder(&secret),
            }
        };
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let share = count.div_ceil(threads);
        thread::scope(|scope| {
            let numbers: Vec<u128> = (first..first + count as u128).collect();
            let one = &one;
            let shares: Vec<_> = numbers
                .chunks(share.max(1))
                .map(|share| {
                    let share = share.to_vec();
                    scope.spawn(move || share.into_iter().map(one).collect::<Vec<_>>())
                })
                .collect();
            let made = shares.into_iter().filter_map(|share| share.join().ok());
            made.flatten().collect()
        })
    }
}

fn holder(secret: &ApiKeySecret) -> Key {
    Key {
        id: secret.id().to_string(),
        secret: secret.expose().to_owned(),
    }
}

fn insert(rows: &[Seeded], root_key: &str, state: State) -> String {
    let (revoked_at, reason) = match state {
        State::Active => ("NULL", "NULL"),
        State::Revoked => ("2000", "'unused'"),
    };
    let keys: Vec<_> = rows
        .iter()
        .map(|row| {
            let id = &row.key.id;
            format!(
                "('{id}', '{ORGANIZATION}', 'seeded',
                  '[\"read:projects/42/**\",\"write:projects/42/files/*\",\"inference\"]',
                  '[\"127.0.0.0/8\",\"203.0.113.0/24\"]', '{{}}', 1000, NULL, 4000000000,
                  {revoked_at}, {reason})"
            )
        })
        .collect();
    let secrets: Vec<_> = rows
        .iter()
        .map(|row| {
            let (id, hash, fingerprint) = (&row.key.id, &row.hash, &row.fingerprint);
            format!("('{id}', '{fingerprint}', '{hash}', '{root_key}', 1000)")
        })
        .collect();
    format!(
        "INSERT INTO api_keys
         (id, organization_id, name, scopes, allowed_ip_cidrs, metadata, created_at,
          created_by, expires_at, revoked_at, revoke_reason) VALUES {};
         INSERT INTO api_key_secrets (api_key_id, fingerprint, hash, root_key, created_at)
         VALUES {};\n",
        keys.join(", "),
        secrets.join(", "),
    )
}

/// Runs SQL beside a server, or while there is none.
pub async fn execute(place: &Place<'_>, statements: String) -> Result<(), Failure> {
    let statements = AssertSqlSafe(statements);
    let url = place.url();
    if place.database_url.is_some() {
        let mut connection = PgConnection::connect(&url).await?;
        sqlx::raw_sql(statements).execute(&mut connection).await?;
        connection.close().await?;
    } else {
        let mut connection = SqliteConnection::connect(&url).await?;
        sqlx::raw_sql(statements).execute(&mut connection).await?;
        connection.close().await?;
    }
    Ok(())
}
