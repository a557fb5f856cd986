//! A node of the simulation: its own threads, caches, connections, and its own clock.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use tenmint::app::{App, Role};
use tenmint::clock::Clock;
use tenmint::credentials::generations::Generations;
use tenmint::domain::issuer::Issuer;
use tenmint::domain::organization::OrganizationId;
use tenmint::domain::secret::ApiKeySecret;
use tenmint::domain::signing_key::Algorithm;
use tenmint::domain::timestamp::Timestamp;
use tenmint::issue::{AskedScope, Exchange};
use tenmint::jobs;
use tenmint::manage::bootstrap::{ManagementKey, Order, bootstrap};
use tenmint::manage::caller::Actor;
use tenmint::manage::idempotency::Once;
use tenmint::manage::organizations;
use tenmint::manage::refusal::Refusal;
use tenmint::manage::signing_keys::{Rotation, rotate};
use tenmint::store::changes::Change;
use tokio::runtime::Runtime;

use super::validator::Validator;
use crate::support::server::Place;

/// Crashed, all of it is gone but the clock.
pub(super) struct Node {
    app: Arc<App>,
    runtime: Runtime,
    pub(super) clock: Clock,
}

/// An issuer with an API key, and who validates its tokens.
pub(super) struct Tenant {
    pub(super) id: OrganizationId,
    issuer: Issuer,
    secret: String,
    pub(super) validators: Vec<Validator>,
}

impl Node {
    pub(super) fn start(place: &Place, clock: Clock) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let settings = place.settings();
        let base = settings.base("127.0.0.1:4711".parse().unwrap()).unwrap();
        // Beside each other, as a command works beside a server: SQLite has one server alone.
        let app = App::open(&settings, base, clock.clone(), Role::Beside);
        let app = runtime.block_on(app).unwrap();
        Self {
            app,
            runtime,
            clock,
        }
    }

    pub(super) fn stop(self) {
        self.runtime.shutdown_background();
    }

    /// Does what is due by its clock.
    pub(super) fn pass(&self) {
        let pass = jobs::signing_keys::pass(&self.app.management);
        self.runtime.block_on(pass).unwrap();
    }

    /// Begins a pass, and is gone after so long, wherever it was. Its clock goes on.
    pub(super) fn crash_at_work(self, after: Duration) -> Clock {
        let management = Arc::clone(&self.app.management);
        self.runtime
            .spawn(async move { jobs::signing_keys::pass(&management).await });
        std::thread::sleep(after);
        // Until its threads are gone: one that had no processor meanwhile would take the lease later,
        // as no process does that crashed.
        self.runtime.shutdown_timeout(Duration::from_mins(1));
        self.clock
    }

    /// Whose keys a pass would change.
    pub(super) fn would_change(&self) -> BTreeSet<OrganizationId> {
        let management = &self.app.management;
        let (store, now) = (&management.store, self.clock.now());
        self.runtime.block_on(async {
            let due = store.due_signing_keys(now, None, 100).await.unwrap();
            let schedule = management.schedule().await.unwrap();
            let mut would: BTreeSet<_> = due.into_iter().collect();
            for with_rsa in [false, true] {
                let follow = store.signing_keys_to_follow(&schedule, with_rsa, now, None, 100);
                would.extend(follow.await.unwrap());
            }
            would
        })
    }

    /// Hears of what others changed, as it would within milliseconds.
    pub(super) fn catch_up(&self, organization: &OrganizationId) {
        let generations: &Generations = &self.app.management.generations;
        generations.raise(&Change::Organization(organization.clone()));
    }

    pub(super) fn tenant(&self, id: &str, validators: Vec<Validator>) -> Tenant {
        let management = &self.app.management;
        self.runtime.block_on(async {
            let actor = Actor::CommandLine;
            let chosen = Some(id.parse().unwrap());
            let once = Once::default();
            organizations::create(Arc::clone(management), actor, chosen, None, once)
                .await
                .unwrap();
            let id: OrganizationId = id.parse().unwrap();
            let order = Order {
                algorithm: None,
                rsa_bits: None,
                management_key: ManagementKey::First,
            };
            let made = bootstrap(
                Arc::clone(management),
                Actor::CommandLine,
                id.clone(),
                order,
                Once::default(),
            );
            Tenant {
                issuer: Issuer::Organization(id.clone()),
                id,
                secret: made.await.unwrap().secret.unwrap().expose().to_owned(),
                validators,
            }
        })
    }

    /// Publishes a next key, unless one is published.
    pub(super) fn rotate(&self, tenant: &Tenant, algorithm: Option<Algorithm>) {
        let rotation = Rotation {
            algorithm,
            rsa_bits: None,
            emergency: false,
        };
        let done = self.runtime.block_on(rotate(
            Arc::clone(&self.app.management),
            Actor::CommandLine,
            tenant.id.clone(),
            rotation,
            Once::default(),
        ));
        match done {
            Ok(_) | Err(Refusal::SigningKeyUnderWay(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }

    /// A token, and when it expires by this node's clock.
    pub(super) fn issue(&self, tenant: &Tenant) -> (String, Timestamp) {
        let asked = Exchange {
            issuer: &tenant.issuer,
            secret: Some(ApiKeySecret::parse(&tenant.secret).unwrap().into()),
            scope: AskedScope::Everything,
            resources: Vec::new(),
            address: Some([127, 0, 0, 1].into()),
            user_agent: None,
        };
        let mut standing = None;
        let issued = self.app.mint.exchange(asked, &mut standing);
        let issued = self.runtime.block_on(issued).unwrap();
        let lifetime = Duration::from_secs(issued.expires_in);
        (issued.token, self.clock.now().plus(lifetime))
    }

    pub(super) fn jwks(&self, tenant: &Tenant) -> JwkSet {
        let identity = self.app.mint.issuers.published(&tenant.id);
        let identity = self.runtime.block_on(identity).unwrap().unwrap();
        serde_json::from_str(&identity.identity.jwks).unwrap()
    }
}
