//! A tenmint server of one test's own, with a clock that the test sets.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tenmint::app::{App, Role, StartError};
use tenmint::clock::Clock;
use tenmint::domain::text::Name;
use tenmint::domain::timestamp::Timestamp;
use tenmint::jobs::Jobs;
use tenmint::manage::first_start;
use tenmint::settings::Settings;
use tenmint::store::error::StoreError;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::postgres::{FreshDatabase, fresh_database};
use super::unending;

/// How long programs that begin may hold the locks of the process that begins them.
const LENT: Duration = Duration::from_secs(2);

/// How long a server may take until it hears of changes.
const LISTENS: Duration = Duration::from_secs(10);

/// When test clocks start: now, to the second, so that stock libraries accept tokens.
fn start_of_time() -> Timestamp {
    Clock::system().now()
}

/// A running server. Dropped, it is gone with its files and its database.
pub struct Server {
    /// The public base URL: `http://127.0.0.1:PORT`, or below it, or what the test set.
    pub base: String,
    /// Where it really listens.
    address: SocketAddr,
    /// The server's clock: it stands until the test moves it.
    pub clock: Clock,
    /// What it was built from.
    pub app: Arc<App>,
    /// An operator's API key that may do everything.
    pub operator: String,
    http: Client,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
    jobs: Option<Jobs>,
    place: Place,
}

/// Where a server keeps what lasts, so that another can be started on it.
pub struct Place {
    folder: TempDir,
    database: Database,
    flags: Vec<String>,
    /// The path of the base URL: empty, or `/…`.
    base_path: String,
}

enum Database {
    Sqlite,
    Postgres(FreshDatabase),
    /// Another server's, by its URL.
    Shared(String),
}

/// What an administrator's request came back with.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
    pub body: Value,
}

/// An API key as its holder has it.
#[derive(Clone, Debug)]
pub struct Key {
    pub id: String,
    pub secret: String,
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    settings: Settings,
}

impl Place {
    /// An empty SQLite deployment.
    pub fn sqlite() -> Self {
        Self::of(Database::Sqlite, &[])
    }

    /// The same in memory, where the machine has a file system there: nothing waits for a disk.
    pub fn sqlite_in_memory() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self {
            folder: folder.unwrap(),
            ..Self::sqlite()
        }
    }

    /// An empty PostgreSQL deployment, if this machine has PostgreSQL.
    pub async fn postgres() -> Option<Self> {
        // Starting a cluster blocks.
        let database = tokio::task::spawn_blocking(fresh_database).await.unwrap()?;
        Some(Self::on(database))
    }

    /// An empty PostgreSQL deployment in a database that the test made.
    pub fn on(database: FreshDatabase) -> Self {
        Self::of(Database::Postgres(database), &[])
    }

    fn of(database: Database, flags: &[&str]) -> Self {
        unending::look_out();
        Self {
            folder: tempfile::tempdir().unwrap(),
            database,
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            base_path: String::new(),
        }
    }

    /// Where another node keeps what is its own: the same root key, and another URL of the database.
    pub fn beside(&self, url: &str) -> Self {
        let place = Self::of(Database::Shared(url.to_owned()), &[]);
        let root_key = place.root_key_file();
        std::fs::create_dir_all(root_key.parent().unwrap()).unwrap();
        std::fs::copy(self.root_key_file(), root_key).unwrap();
        place
    }

    /// The same with more flags.
    pub fn with(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|&flag| flag.to_owned()));
        self
    }

    /// The same with no flags.
    pub fn bare(mut self) -> Self {
        self.flags.clear();
        self
    }

    /// The same with the base URL `http://127.0.0.1:PORT{path}`, whatever the port turns out to be.
    pub fn below(mut self, path: &str) -> Self {
        path.clone_into(&mut self.base_path);
        self
    }

    pub fn root_key_file(&self) -> PathBuf {
        self.folder.path().join("keys/root.key")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn database_url(&self) -> String {
        match &self.database {
            Database::Sqlite => {
                format!("sqlite:{}", self.folder.path().join("tenmint.db").display())
            }
            Database::Postgres(database) => database.url().to_owned(),
            Database::Shared(url) => url.clone(),
        }
    }

    /// Does something to the database that only somebody who holds it can do.
    pub async fn execute(&self, sql: &str) {
        use sqlx::{AssertSqlSafe, Connection};
        let (url, sql) = (self.database_url(), AssertSqlSafe(sql.to_owned()));
        if self.is_sqlite() {
            let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        } else {
            let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
    }

    /// The first column of each row, as text.
    pub async fn query(&self, sql: &str) -> Vec<String> {
        use sqlx::{AssertSqlSafe, Connection};
        let (url, sql) = (self.database_url(), AssertSqlSafe(sql.to_owned()));
        if self.is_sqlite() {
            let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
            sqlx::query_scalar(sql)
                .fetch_all(&mut connection)
                .await
                .unwrap()
        } else {
            let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
            sqlx::query_scalar(sql)
                .fetch_all(&mut connection)
                .await
                .unwrap()
        }
    }

    /// How PostgreSQL would run a query, asked on one connection after `before`.
    pub async fn explain(&self, before: &str, explain: &str) -> String {
        use sqlx::{AssertSqlSafe, Connection};
        let mut connection = sqlx::PgConnection::connect(&self.database_url())
            .await
            .unwrap();
        let before = sqlx::raw_sql(AssertSqlSafe(before.to_owned()));
        before.execute(&mut connection).await.unwrap();
        let rows = sqlx::raw_sql(AssertSqlSafe(explain.to_owned()))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let line = |row: &sqlx::postgres::PgRow| sqlx::Row::get::<String, _>(row, 0);
        let lines: Vec<_> = rows.iter().map(line).collect();
        connection.close().await.unwrap();
        lines.join("\n")
    }

    pub fn is_sqlite(&self) -> bool {
        matches!(self.database, Database::Sqlite)
    }

    pub fn settings(&self) -> Settings {
        let (url, root) = (self.database_url(), self.root_key_file());
        let mut line = vec!["tenmint".to_owned()];
        if !self.flags.iter().any(|flag| flag == "--listen") {
            line.extend(["--listen".into(), "127.0.0.1:0".into()]);
        }
        line.extend(["--database-url".into(), url]);
        line.extend(["--root-key-file".into(), root.to_str().unwrap().into()]);
        line.extend(self.flags.iter().cloned());
        Line::parse_from(line).settings
    }

    /// Starts a server here whose clock stands at the present.
    pub async fn start(self) -> Server {
        self.start_at(start_of_time()).await
    }

    /// The same with the clock at another time.
    pub async fn start_at(self, time: Timestamp) -> Server {
        match Server::start(self, Clock::manual(time)).await {
            Ok(server) => server,
            Err((why, _)) => panic!("the server did not start: {why}"),
        }
    }
}

impl Server {
    pub async fn on_sqlite() -> Self {
        Place::sqlite().start().await
    }

    pub async fn on_postgres() -> Option<Self> {
        Some(Place::postgres().await?.start().await)
    }

    /// Starts a server at a place, or says why it did not start and gives the place back.
    pub async fn start(place: Place, clock: Clock) -> Result<Self, (StartError, Place)> {
        let mut settings = place.settings();
        let listener = TcpListener::bind(settings.listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        if !place.base_path.is_empty() {
            settings.issuer = Some(format!("http://{address}{}", place.base_path));
        }
        let base = settings.base(address).unwrap();
        let began = Instant::now();
        let app = loop {
            let opened = App::open(&settings, base.clone(), clock.clone(), Role::Server).await;
            match opened {
                Ok(app) => break app,
                // A program that another test begins holds every lock of this process for a moment.
                Err(StartError::Store(StoreError::InUse(_))) if began.elapsed() < LENT => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(why) => return Err((why, place)),
            }
        };
        let name = Name::new("tests").unwrap();
        let operator = first_start::operator_key(&app.management, name, None)
            .await
            .unwrap();
        let (stop, stopped) = oneshot::channel();
        let surface = tenmint::http::surface(Arc::clone(&app));
        let limits = (&settings).into();
        let running = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            let _ = tenmint::serve::run(listener, surface, limits, stopped).await;
        });
        let mut changes = app.management.generations.listen();
        let jobs = app.start_jobs();
        // Whoever begins to hear of changes forgets everything, which no test is to meet with.
        let _ = tokio::time::timeout(LISTENS, changes.changed()).await;
        Ok(Self {
            base: app.mint.base.as_str().to_owned(),
            address,
            clock,
            operator: operator.secret.expose().to_owned(),
            http: Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
            stop: Some(stop),
            running: Some(running),
            jobs: Some(jobs),
            app,
            place,
        })
    }

    /// Stops the server gracefully; what lasts is at the place.
    pub async fn stop(mut self) -> Place {
        self.app.begin_draining();
        drop(self.stop.take());
        self.running.take().unwrap().await.unwrap();
        self.jobs.take().unwrap().stop().await;
        self.app.close().await;
        let empty = Place::of(Database::Sqlite, &[]);
        std::mem::replace(&mut self.place, empty)
    }

    /// A second node on the same PostgreSQL database, under the same root key and clock.
    pub async fn another_node(&self) -> Self {
        self.another_node_by(&self.place.database_url(), &[]).await
    }

    /// The same by another URL of that database, with flags of its own.
    pub async fn another_node_by(&self, url: &str, flags: &[&str]) -> Self {
        let place = self.place.beside(url).with(flags);
        match Self::start(place, self.clock.clone()).await {
            Ok(server) => server,
            Err((why, _)) => panic!("the second node did not start: {why}"),
        }
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// The operator's key as a client has it.
    pub fn operator_key(&self) -> Key {
        let ulid = self.operator.rsplit('_').nth(1).unwrap();
        Key {
            id: format!("key_{ulid}"),
            secret: self.operator.clone(),
        }
    }

    /// A request to a path below the base URL, sent to where the server really listens.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(
            method,
            format!("http://{}{}{path}", self.address, self.place.base_path),
        )
    }

    pub async fn get(&self, path: &str) -> Reply {
        Reply::of(self.request(Method::GET, path)).await
    }

    /// A management request under a Bearer credential, with a JSON body unless it is null.
    pub async fn call(&self, bearer: &str, method: Method, path: &str, body: Value) -> Reply {
        let mut request = self.request(method, path).bearer_auth(bearer);
        if !body.is_null() {
            request = request.json(&body);
        }
        Reply::of(request).await
    }

    /// The same as operator.
    pub async fn operate(&self, method: Method, path: &str, body: Value) -> Reply {
        self.call(&self.operator, method, path, body).await
    }

    /// Creates and bootstraps an organization; gives its management key.
    pub async fn organization(&self, id: &str) -> Key {
        self.organization_signing_with(id, "ES256").await
    }

    pub async fn organization_signing_with(&self, id: &str, alg: &str) -> Key {
        let created = self
            .operate(Method::POST, "/v1/organizations", json!({ "id": id }))
            .await;
        created.expect(StatusCode::CREATED);
        let path = format!("/v1/organizations/{id}/bootstrap");
        let done = self
            .operate(Method::POST, &path, json!({ "alg": alg }))
            .await;
        done.expect(StatusCode::CREATED);
        Key::of(&done.body["management_key"])
    }

    /// Makes a key under a management credential.
    pub async fn key(&self, manager: &Key, body: Value) -> Key {
        let made = self
            .call(&manager.secret, Method::POST, "/v1/api-keys", body)
            .await;
        made.expect(StatusCode::CREATED);
        Key::of(&made.body)
    }

    /// Makes a key with these scopes.
    pub async fn key_with(&self, manager: &Key, scopes: &[&str]) -> Key {
        self.key(manager, json!({ "name": "test", "scopes": scopes }))
            .await
    }

    /// An exchange at the deployment issuer, by HTTP Basic, with further parameters.
    pub async fn exchange(&self, key: &Key, parameters: &[(&str, &str)]) -> Reply {
        self.exchange_at("", key, parameters).await
    }

    /// An exchange at `{base}{issuer}`.
    pub async fn exchange_at(&self, issuer: &str, key: &Key, parameters: &[(&str, &str)]) -> Reply {
        Reply::of(self.exchange_request(issuer, key, parameters)).await
    }

    /// The same, to be sent.
    pub fn exchange_request(
        &self,
        issuer: &str,
        key: &Key,
        parameters: &[(&str, &str)],
    ) -> RequestBuilder {
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(parameters);
        self.request(Method::POST, &format!("{issuer}/oauth/token"))
            .basic_auth(&key.id, Some(&key.secret))
            .form(&form)
    }

    /// A token that must be issued.
    pub async fn token(&self, key: &Key, parameters: &[(&str, &str)]) -> String {
        let reply = self.exchange(key, parameters).await;
        reply.expect(StatusCode::OK);
        reply.body["access_token"].as_str().unwrap().to_owned()
    }

    /// A token for the management plane.
    pub async fn management_token(&self, key: &Key, parameters: &[(&str, &str)]) -> String {
        let mut all = vec![("resource", self.base.as_str())];
        all.extend(parameters);
        self.token(key, &all).await
    }
}

impl Reply {
    pub async fn of(request: RequestBuilder) -> Self {
        Self::read(request.send().await.unwrap()).await
    }

    pub async fn read(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self {
            status,
            headers,
            text,
            body,
        }
    }

    /// Requires a status; shows the whole reply otherwise.
    #[track_caller]
    pub fn expect(&self, status: StatusCode) -> &Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Requires a status and an error code: `error` on the OAuth plane, `code` elsewhere.
    #[track_caller]
    pub fn refuses(&self, status: u16, code: &str) -> &Self {
        let given = self.body["error"].as_str().or(self.body["code"].as_str());
        assert_eq!(
            (self.status.as_u16(), given),
            (status, Some(code)),
            "{}",
            self.text
        );
        self
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl Key {
    /// From an answer that shows a key with its secret.
    #[track_caller]
    pub fn of(body: &Value) -> Self {
        let text = |member: &str| {
            body[member]
                .as_str()
                .unwrap_or_else(|| panic!("{body}"))
                .to_owned()
        };
        Self {
            id: text("id"),
            secret: text("secret"),
        }
    }
}

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Value {
    segment(token, 1)
}

/// The header of a token, unverified.
pub fn header(token: &str) -> Value {
    segment(token, 0)
}

fn segment(token: &str, index: usize) -> Value {
    use base64::Engine;
    let segment = token.split('.').nth(index).unwrap();
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(segment)
        .unwrap();
    serde_json::from_slice(&json).unwrap()
}
