//! The application: everything built once from settings, then shared.

pub mod existing;
pub mod metrics;
pub mod root_keys;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::check::{Checker, Tokens};
use crate::clock::Clock;
use crate::credentials::Credentials;
use crate::credentials::generations::Generations;
use crate::credentials::issuers::Issuers;
use crate::credentials::limits::Limits;
use crate::crypto::Crypto;
use crate::crypto::jose::provider;
use crate::crypto::random;
use crate::crypto::root_key::RootKeyError;
use crate::crypto::root_key_file::RootKeyFileError;
use crate::domain::client_address::{Gateways, TrustedProxies};
use crate::domain::issuer::BaseUrl;
use crate::domain::scope::ScopeSet;
use crate::domain::timestamp::Timestamp;
use crate::feed::{Bounds, Feeds};
use crate::gateway::Gateway;
use crate::issue::Mint;
use crate::jobs::{Jobs, Work};
use crate::manage::announcement::Announcement;
use crate::manage::refusal::Refusal;
use crate::manage::signing_keys::RsaMaker;
use crate::manage::{Management, first_start};
use crate::settings::{Settings, SettingsError};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::lock::ServerLock;
use crate::store::migrate::Migrated;
use crate::usage::Usage;
use metrics::Metrics;

/// The environment variable that can hold the root keys themselves, separated by commas. A file
/// is better: variables are shown by many tools and inherited by children.
pub const ROOT_KEY_VARIABLE: &str = "TENMINT_ROOT_KEY";

/// A running deployment, less its listeners.
pub struct App {
    /// Issues tokens.
    pub mint: Arc<Mint>,
    /// Tells what credentials are worth that services were shown.
    pub checker: Arc<Checker>,
    /// Tells gateways what to let through.
    pub gateway: Gateway,
    /// Tells offline validators what to refuse.
    pub feeds: Feeds,
    /// Manages keys and organizations.
    pub management: Arc<Management>,
    /// Counts what keys are used for.
    pub usage: Arc<Usage>,
    /// Times what is asked most.
    pub metrics: Metrics,
    /// Whose word about client addresses is taken.
    pub proxies: TrustedProxies,
    /// Which peers are gateways.
    pub gateways: Gateways,
    /// What a new key holds when no scopes are given; `None`: some must be.
    pub default_scopes: Option<ScopeSet>,
    /// Where root keys come from; `None` when that is the environment.
    pub root_key_file: Option<PathBuf>,
    flush_interval: Duration,
    store: Store,
    draining: AtomicBool,
    _lock: Option<ServerLock>,
}

/// Why tenmint did not start; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The root key's file.
    #[error(transparent)]
    RootKeyFile(#[from] RootKeyFileError),
    /// The root key in the environment.
    #[error("the root key in {ROOT_KEY_VARIABLE} cannot be used: {0}")]
    RootKeyVariable(RootKeyError),
    /// There is a database, and not the root key that belongs to it.
    #[error(
        "this database belongs to root key {expected}, and there is no root key at {}: restore \
         it from its backup. Without it no API key of this database verifies and no signing \
         key opens", path.display()
    )]
    RootKeyMissing {
        /// Which root key is wanted.
        expected: String,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There are root keys, of another database, or from before the last rotation.
    #[error(
        "this database belongs to root key {expected}, and given is {given} ({place}): put the \
         right root key in place (after a rotation, the file of a server that holds it), or name \
         another database"
    )]
    RootKeyWrong {
        /// Which root key is wanted.
        expected: String,
        /// Where root keys come from.
        place: String,
        /// Which were given.
        given: String,
    },
    /// API keys or signing keys would not work.
    #[error(
        "what is in this database still needs root key {missing}, which was current until \
         {until}, and {} only holds {given}: put it back beside {expected}, from a backup or \
         another server. `tenmint root-key status` says what needs it; `tenmint root-key drop \
         {missing} --force` gives that up",
        place
    )]
    RootKeyStillNeeded {
        /// Which root key is missing.
        missing: String,
        /// When another took its place.
        until: Timestamp,
        /// Where root keys come from.
        place: String,
        /// Which root key is current.
        expected: String,
        /// Which were given.
        given: String,
    },
    /// There is nothing to look at.
    #[error("there is no tenmint deployment at {0}: look at DATABASE_URL")]
    NoDeployment(String),
    /// First start could not be completed.
    #[error("first start failed: {0}")]
    FirstStart(Refusal),
}

/// Whether a process serves, or works beside a server that may be running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// It serves: it needs an SQLite file for itself, and migrates.
    Server,
    /// It works beside: it migrates a database only if no server can be using it.
    Beside,
    /// It works beside, and may begin a restore of the database, or finish one.
    Restore,
}

impl App {
    /// Opens, or on first start makes, the deployment that `settings` describe.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn open(
        settings: &Settings,
        base: BaseUrl,
        clock: Clock,
        role: Role,
    ) -> Result<Arc<Self>, StartError> {
        provider::install();
        let audiences = settings.audiences(&base)?;
        let cost = settings.hash_cost()?;
        let schedule = settings.schedule()?;
        let store = Store::open(&settings.database()?).await?;
        let lock = prepare(&store, role).await?;
        let held = root_keys::held(settings, &store, &clock).await?;
        if role == Role::Server {
            root_keys::require_needed(&held, &store, &clock).await?;
        }
        notice_old_copy(&store, role).await?;
        let prefix = settings.key_prefix.clone();
        let crypto = Arc::new(Crypto::new(held.keyring, prefix, cost));
        let generations = Arc::new(Generations::new(settings.stale_limit));
        let issuers = Arc::new(Issuers::new(
            store.clone(),
            Arc::clone(&crypto),
            settings.token_typ.into(),
            Arc::clone(&generations),
        ));
        let credentials = Arc::new(Credentials::new(
            store.clone(),
            Arc::clone(&crypto),
            Arc::clone(&generations),
            usize::try_from(settings.credential_cache).unwrap_or(usize::MAX),
        ));
        let usage = Arc::new(Usage::new(
            store.clone(),
            clock.clone(),
            format!("node_{}", random::ulid(clock.unix_millis())),
            settings.exchange_record.into(),
        ));
        let bounds = Bounds {
            request: settings.request_timeout,
            connections: usize::try_from(settings.max_connections).unwrap_or(usize::MAX),
            schedule,
        };
        let feeds = Feeds::new(
            store.clone(),
            Arc::clone(&issuers),
            Arc::clone(&generations),
            base.clone(),
            clock.clone(),
            bounds,
        );
        let management = Arc::new(Management {
            store: store.clone(),
            crypto,
            credentials: Arc::clone(&credentials),
            issuers: Arc::clone(&issuers),
            generations,
            usage: Arc::clone(&usage),
            audiences: audiences.clone(),
            base: base.clone(),
            token_lifetime: settings.token_lifetime,
            configured: schedule,
            announcement: Announcement::default(),
            clock: clock.clone(),
            rsa: RsaMaker::new(settings.request_timeout),
        });
        let alone = lock.as_ref().is_some_and(|lock| store.is_alone_with(lock));
        begin(&management, role, alone).await?;
        let checker = Arc::new(Checker {
            credentials: Arc::clone(&credentials),
            issuers: Arc::clone(&issuers),
            usage: Arc::clone(&usage),
            audiences: audiences.clone(),
            base: base.clone(),
            clock: clock.clone(),
            tokens: Tokens::default(),
        });
        let mint = Arc::new(Mint {
            credentials,
            limits: Limits::default(),
            issuers,
            usage: Arc::clone(&usage),
            audiences,
            base,
            lifetime: settings.token_lifetime,
            clock,
        });
        Ok(Arc::new(Self {
            gateway: Gateway::new(Arc::clone(&checker), Arc::clone(&mint)),
            mint,
            checker,
            feeds,
            management,
            usage,
            metrics: Metrics::default(),
            proxies: settings.proxies(),
            gateways: settings.gateways(),
            default_scopes: settings.default_scopes(),
            flush_interval: settings.usage_flush_interval,
            root_key_file: held.file,
            store,
            draining: AtomicBool::new(false),
            _lock: lock,
        }))
    }

    /// A new request id: `req_` and a ULID.
    #[must_use]
    pub fn request_id(&self) -> String {
        self.mint.request_id()
    }

    /// Starts everything periodic.
    #[must_use]
    pub fn start_jobs(&self) -> Jobs {
        Jobs::start(Work {
            management: Arc::clone(&self.management),
            flush_interval: self.flush_interval,
            root_key_file: self.root_key_file.clone(),
        })
    }

    /// Whether requests should be sent here: the database answers, no newer tenmint made of it what
    /// this one does not understand, and no shutdown began.
    pub async fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed) && self.store.newer_schema().await.is_ok()
    }

    /// Lets load balancers know that this node is about to go.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.feeds.close();
    }

    /// Closes the database, after what is under way on it.
    pub async fn close(&self) {
        self.store.close().await;
    }
}

/// Makes what a first start needs, and says what this server serves, before anything is.
async fn begin(management: &Arc<Management>, role: Role, alone: bool) -> Result<(), StartError> {
    first_start::ensure_operator(management)
        .await
        .map_err(StartError::FirstStart)?;
    if role == Role::Server {
        // Where it fails, the job that repeats it says so: its first turn is at once.
        management.announce_first(alone).await;
    }
    Ok(())
}

/// Migrates if this process may, and refuses what is not to be worked on.
///
/// # Errors
/// See [`StoreError`].
async fn prepare(store: &Store, role: Role) -> Result<Option<ServerLock>, StoreError> {
    let lock = match role {
        Role::Server => Some(migrate(store).await?),
        Role::Beside | Role::Restore => {
            migrate_beside(store).await?;
            None
        }
    };
    if role != Role::Restore {
        store.require_restored().await?;
    }
    Ok(lock)
}

async fn migrate(store: &Store) -> Result<ServerLock, StoreError> {
    let lock = store.lock()?;
    if let Some(Migrated { from, to }) = store.migrate(&lock).await? {
        tracing::info!(from, to, "migrated the database");
    }
    Ok(lock)
}

/// Beside a running server it only looks, and takes no lock while there is nothing to do: a server
/// that starts at that moment must not be turned away.
async fn migrate_beside(store: &Store) -> Result<(), StoreError> {
    match store.require_current_schema().await {
        Err(StoreError::SchemaTooOld) => {}
        outcome => return outcome,
    }
    let lock = store.lock()?;
    // Several servers can be using PostgreSQL: leave its schema to them, unless there is none yet.
    if store.is_alone_with(&lock) || store.is_empty().await? {
        store.migrate(&lock).await?;
    }
    store.require_current_schema().await
}

/// Refuses a database that is certainly older than what was served here, and says so of one that
/// may be: it must not come unnoticed that what was revoked is in force again. Beside a server none
/// of them is worked on: an act more would make it look like the newest, and its logs would no
/// longer follow on.
async fn notice_old_copy(store: &Store, role: Role) -> Result<(), StoreError> {
    if role == Role::Restore {
        return Ok(());
    }
    store.refuse_older().await?;
    let serves = role == Role::Server;
    if store.is_untreated_copy(serves).await? {
        if !serves {
            return Err(StoreError::Copied);
        }
        tracing::error!(
            "this database is a copy of the one that was served before, as after pg_restore or a \
             move: keys that were revoked since the copy was made are in force again. Stop every \
             server and run `tenmint restore --in-place`"
        );
    }
    Ok(())
}
