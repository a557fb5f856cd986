//! How long a revoked key's token still counts at a verifier that checks offline, and how large the
//! revocation feed becomes.
//!
//! `cargo bench --bench revocation`; with `-- --quick` a try of some seconds. `docs/performance.md`
//! explains the numbers.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench prints what it found"
)]

mod support;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use support::child::{Child, Place};
use support::{Failure, bench_in, key_rows, postgres};
use tenmint::clock::Clock;
use tenmint::verifier::{Follow, Request, Verifier};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

/// Of the delays at least 99 of 100 are shorter.
const PUSHED_TARGET: Duration = Duration::from_secs(1);
const POLLING_TARGET: Duration = Duration::from_secs(15);

/// How often a verifier looks whether a token still counts.
const LOOK: Duration = Duration::from_micros(500);

/// How much of everything is done.
struct Plan {
    /// Keys revoked one by one, while a verifier is told.
    pushed: usize,
    /// Keys revoked here and there in a span of time, while a verifier asks.
    polling: (usize, Duration),
    /// Keys revoked within ten minutes.
    crowd: u32,
}

const WHOLE: Plan = Plan {
    pushed: 200,
    polling: (100, Duration::from_secs(15)),
    crowd: 10_000,
};

const QUICK: Plan = Plan {
    pushed: 20,
    polling: (10, Duration::from_secs(2)),
    crowd: 1_000,
};

/// A tenmint, and the operator's hand at it.
#[derive(Clone)]
struct Node {
    base: String,
    operator: String,
    client: Client,
}

fn main() -> ExitCode {
    // The verifiers follow behind the back of what is measured.
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    bench_in(runtime, async |asked| {
        measure(if asked.is_quick() { &QUICK } else { &WHOLE }).await
    })
}

async fn measure(plan: &Plan) -> Result<(), Failure> {
    println!("from the answer to a revoke until an offline verifier refuses, milliseconds");
    println!(
        "{:34} {:>5} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "", "of", "median", "p90", "p99", "most", "at most"
    );
    let folder = tempfile::tempdir()?;
    let place = Place::of(folder.path());
    let mut server = Child::start("tenmint", &place, &[])?;
    let node = Node::of(&mut server).await?;
    pushed("SQLite, told", (&node, &node), plan.pushed).await?;
    polling("SQLite, asking every 5 s", &node, plan.polling).await?;
    if let Some(database) = postgres::fresh_database() {
        two_nodes(database.url(), plan).await?;
    }
    size(&place, &node, plan.crowd).await
}

/// The key is revoked at one node, and the verifier follows the other.
async fn two_nodes(url: &str, plan: &Plan) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let place = Place {
        database_url: Some(url),
        ..Place::of(folder.path())
    };
    let mut servers = [
        Child::start("tenmint", &place, &[])?,
        Child::start("tenmint", &place, &[])?,
    ];
    let here = Node::of(&mut servers[0]).await?;
    let there = Node::of(&mut servers[1]).await?;
    pushed("PostgreSQL, told", (&here, &here), plan.pushed).await?;
    pushed(
        "PostgreSQL, told by another node",
        (&here, &there),
        plan.pushed,
    )
    .await
}

/// A verifier that has read the feed of this node.
async fn verifier(node: &Node, follow: Follow) -> Result<Verifier, Failure> {
    let builder = Verifier::builder(&node.base).audience(&format!("{}/api", node.base));
    let verifier = builder.follow_revocations(follow).build()?;
    verifier.ready().await.map_err(|why| why.to_string())?;
    Ok(verifier)
}

async fn pushed(
    name: &str,
    (revoked, followed): (&Node, &Node),
    count: usize,
) -> Result<(), Failure> {
    let verifier = verifier(followed, Follow::pushed()).await?;
    let mut delays = Vec::with_capacity(count);
    for _ in 0..count {
        let (id, token) = followed.key_with_token().await?;
        delays.push(delay(&verifier, revoked, &id, &token).await?);
    }
    print(name, delays, PUSHED_TARGET);
    Ok(())
}

async fn polling(name: &str, node: &Node, (count, span): (usize, Duration)) -> Result<(), Failure> {
    let verifier = verifier(node, Follow::polling()).await?;
    let mut revocations = JoinSet::new();
    for turn in 0..count {
        let (id, token) = node.key_with_token().await?;
        let after = span / u32::try_from(count)? * u32::try_from(turn)?;
        let (verifier, node) = (verifier.clone(), node.clone());
        revocations.spawn(async move {
            tokio::time::sleep(after).await;
            delay(&verifier, &node, &id, &token).await
        });
    }
    let mut delays = Vec::with_capacity(count);
    while let Some(delay) = revocations.join_next().await {
        delays.push(delay??);
    }
    print(name, delays, POLLING_TARGET);
    Ok(())
}

/// From the answer to the revoke until the verifier refuses the token, which it remembers.
async fn delay(
    verifier: &Verifier,
    node: &Node,
    id: &str,
    token: &str,
) -> Result<Duration, Failure> {
    let request = Request::default();
    let verified = verifier.verify(token, &request).await;
    verified.map_err(|why| format!("a good token: {why}"))?;
    node.revoke(id).await?;
    let answered = Instant::now();
    while verifier.verify(token, &request).await.is_ok() {
        tokio::time::sleep(LOOK).await;
    }
    Ok(answered.elapsed())
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place among some hundred numbers"
)]
fn print(name: &str, mut delays: Vec<Duration>, target: Duration) {
    delays.sort_unstable();
    let of = |part: f64| delays[((delays.len() - 1) as f64 * part).round() as usize];
    let shown = [of(0.5), of(0.9), of(0.99), of(1.0), target];
    let [median, p90, p99, most, target] = shown.map(|delay| delay.as_secs_f64() * 1e3);
    println!(
        "{name:34} {:>5} {median:>8.1} {p90:>8.1} {p99:>8.1} {most:>8.1} {target:>8.0}",
        delays.len()
    );
}

/// Many keys revoked within ten minutes: of one organization, and then as many of ten, which is all
/// that a feed tells one by one.
async fn size(place: &Place<'_>, node: &Node, count: u32) -> Result<(), Failure> {
    let empty = node.feed().await?.0;
    let now = Clock::system().now().unix();
    let revoke = format!(
        "{};
         UPDATE api_keys SET revoked_at = {now} - (CAST(substr(id, -6) AS INTEGER) % 600),
                disabled_at = NULL
         WHERE organization_id = 'many'",
        key_rows::insert("many", 0, count)
    );
    write(place, revoke).await?;
    let (of_one, _) = node.feed().await?;
    let spread = "UPDATE api_keys SET organization_id = 'many-' || substr(id, -1)
                  WHERE organization_id = 'many'";
    write(place, spread.to_owned()).await?;
    let (size, first) = node.feed().await?;
    let mut again = Duration::MAX;
    for _ in 0..20 {
        again = again.min(node.feed().await?.1);
    }
    println!("\nthe feed, bytes: {empty} with what was revoked above");
    println!("{of_one} with {count} more keys of one organization revoked within ten minutes");
    println!("{size} with {count} more keys of ten organizations revoked within ten minutes");
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "read and signed in {:.1} ms with the fetch, fetched again in {:.1} ms",
        millis(first),
        millis(again)
    );
    Ok(())
}

/// Writes to the database as another process does: the server looks once a second.
async fn write(place: &Place<'_>, sql: String) -> Result<(), Failure> {
    let mut connection = SqliteConnection::connect(&place.url()).await?;
    let sql = sqlx::raw_sql(AssertSqlSafe(sql));
    sql.execute(&mut connection).await?;
    connection.close().await?;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    Ok(())
}

impl Node {
    async fn of(server: &mut Child) -> Result<Self, Failure> {
        let node = Self {
            base: format!("http://{}", server.address),
            operator: server.tell("operator")?,
            client: Client::new(),
        };
        let spread = (0..10).map(|at| format!("many-{at}"));
        for organization in ["bench", "many"]
            .map(str::to_owned)
            .into_iter()
            .chain(spread)
        {
            let body = json!({ "id": organization });
            let url = format!("{}/v1/organizations", node.base);
            let made = node
                .client
                .post(url)
                .bearer_auth(&node.operator)
                .json(&body);
            let status = made.send().await?.status();
            // Two nodes share them.
            if status != StatusCode::CREATED && status != StatusCode::CONFLICT {
                return Err(format!("{organization}: {status}").into());
            }
        }
        Ok(node)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let url = format!("{}{path}", self.base);
        let asked = self.client.post(url).bearer_auth(&self.operator).json(body);
        Ok(asked.send().await?.error_for_status()?.json().await?)
    }

    async fn key_with_token(&self) -> Result<(String, String), Failure> {
        let body = json!({ "name": "bench", "scopes": ["read"] });
        let made = self.post("/v1/organizations/bench/api-keys", &body).await?;
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or("not there");
        let (id, secret) = (text(&made["id"])?, text(&made["secret"])?);
        let asked = self.client.post(format!("{}/oauth/token", self.base));
        let asked = asked
            .bearer_auth(secret)
            .form(&[("grant_type", "client_credentials")]);
        let issued: Value = asked.send().await?.error_for_status()?.json().await?;
        Ok((id, text(&issued["access_token"])?))
    }

    async fn revoke(&self, id: &str) -> Result<(), Failure> {
        let path = format!("/v1/organizations/bench/api-keys/{id}/revoke");
        self.post(&path, &json!({})).await.map(drop)
    }

    /// How large the feed is, and how long it took.
    async fn feed(&self) -> Result<(usize, Duration), Failure> {
        let begun = Instant::now();
        let url = format!("{}/.well-known/revocations", self.base);
        let text = self
            .client
            .get(url)
            .send()
            .await?
            .error_for_status()?
            .bytes()
            .await?;
        Ok((text.len(), begun.elapsed()))
    }
}
