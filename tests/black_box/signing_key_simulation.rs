//! 200 issuers for 400 days: rotations by time and by hand, nodes that crash at random instants,
//! validators that cache the JWKS for as long as any are known to. Not one genuine token refused.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{AssertSqlSafe, SqlitePool};
use tenmint::app::{App, Role};
use tenmint::clock::Clock;
use tenmint::credentials::generations::Generations;
use tenmint::domain::issuer::Issuer;
use tenmint::domain::organization::OrganizationId;
use tenmint::domain::secret::ApiKeySecret;
use tenmint::domain::signing_key::Algorithm as Signs;
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

use crate::support::server::Place;

const ISSUERS: usize = 200;
const DAYS: i64 = 400;
const NODES: usize = 3;

/// How long the validators of each issuer go on with a JWKS. None ever fetches it before that,
/// also not when it meets a `kid` that it does not know.
const CACHES: [Duration; 3] = [
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_hours(2),
];

/// A node: its own threads, caches and connections. Crashed, all of it is gone.
struct Node {
    app: Arc<App>,
    runtime: Runtime,
}

struct Tenant {
    id: OrganizationId,
    issuer: Issuer,
    secret: String,
    validators: [Option<Cached>; CACHES.len()],
}

/// A JWKS as some validator has it.
struct Cached {
    fetched: Timestamp,
    keys: HashMap<String, Jwk>,
}

/// A token that validators meet again until it expires.
struct Token {
    tenant: usize,
    text: String,
    expires: Timestamp,
}

struct World {
    place: Place,
    /// The test's own look at the database.
    database: SqlitePool,
    runtime: Runtime,
    clock: Clock,
    nodes: Vec<Node>,
    tenants: Vec<Tenant>,
    tokens: Vec<Token>,
    random: u64,
    lead: Duration,
    crashes: usize,
    validations: usize,
    /// A genuine token that a validator refused.
    refused: Option<String>,
}

#[test]
fn not_one_genuine_token_is_refused_in_four_hundred_days() {
    let mut world = World::new(seed(), ISSUERS, Duration::from_mins(130));
    let end = world.clock.now().unix() + DAYS * 86_400;
    while world.clock.now().unix() < end {
        world.step();
        assert_eq!(world.refused, None, "after {} crashes", world.crashes);
    }
    world.finish();
}

/// The simulation can tell: with a lead that the slowest validators do not know of, it does.
#[test]
fn a_lead_shorter_than_a_validators_cache_is_found_out() {
    let mut world = World::new(seed(), 10, Duration::from_mins(110));
    let end = world.clock.now().unix() + DAYS * 86_400;
    while world.refused.is_none() {
        assert!(world.clock.now().unix() < end, "nobody noticed");
        world.step();
    }
    let refused = world.refused.take().unwrap();
    assert!(refused.contains("is not in a JWKS of"), "{refused}");
    world.end();
}

fn seed() -> u64 {
    let seed = std::env::var("TENMINT_SIMULATION_SEED");
    seed.map_or(0x7e4_417, |seed| seed.parse().unwrap())
}

impl World {
    fn new(random: u64, issuers: usize, lead: Duration) -> Self {
        let seconds = format!("{}s", lead.as_secs());
        // Nobody pulls the plug here: threads crash, and what they wrote stays written.
        let place = Place::sqlite_in_memory().with(&["--signing-key-lead", &seconds]);
        let start = Timestamp::from_unix(1_800_000_000).unwrap();
        let clock = Clock::manual(start);
        let nodes = (0..NODES).map(|_| Node::start(&place, &clock)).collect();
        let runtime = Runtime::new().unwrap();
        let database = SqlitePoolOptions::new().max_connections(1);
        let database = runtime.block_on(database.connect(&place.database_url()));
        let mut world = Self {
            place,
            database: database.unwrap(),
            runtime,
            clock,
            nodes,
            tenants: Vec::new(),
            tokens: Vec::new(),
            random,
            lead,
            crashes: 0,
            validations: 0,
            refused: None,
        };
        for n in 0..issuers {
            let tenant = world.nodes[0].tenant(&format!("org{n}"));
            world.tenants.push(tenant);
            // Made within some days, as customers come.
            world.clock.advance(Duration::from_mins(10));
        }
        world
    }

    /// The next thing happens, whatever that is: some time later, or just when something is due.
    fn step(&mut self) {
        let now = self.clock.now();
        let due = "SELECT CAST(MIN(due_at) AS TEXT) FROM signing_keys WHERE due_at IS NOT NULL";
        let due = self.ask(due).and_then(|due| due.parse::<i64>().ok());
        let later = i64::try_from(60 + self.below(8 * 3_600)).unwrap();
        let wait = match due.map(|due| due - now.unix()) {
            Some(wait) if (1..later).contains(&wait) => wait,
            Some(wait) if wait <= 0 => 1 + i64::try_from(self.below(120)).unwrap(),
            _ => later,
        };
        self.clock
            .advance(Duration::from_secs(u64::try_from(wait).unwrap()));
        self.meet_tokens_again();

        // Some validators fetch at the worst moment: just before anything changes.
        for tenant in 0..self.tenants.len() {
            if self.below(200) == 0 {
                self.forget(tenant);
                self.issue(tenant);
            }
        }
        if self.below(40) == 0 {
            self.rotate_by_hand();
        }
        let before = self.changed_since(now);
        self.lead();
        let after = self.changed_since(now);
        for tenant in after.iter().filter(|id| !before.contains(id)) {
            let tenant = self
                .tenants
                .iter()
                .position(|known| known.id.as_str() == tenant);
            if let Some(tenant) = tenant {
                self.issue(tenant);
            }
        }
        let anybody = self.index(self.tenants.len());
        self.issue(anybody);
        self.nothing_is_late();
    }

    /// A node does what is due; one in sixteen crashes at it, and comes back.
    fn lead(&mut self) {
        let node = self.index(NODES);
        if self.below(16) > 0 {
            self.nodes[node].pass();
            return;
        }
        let patience = Duration::from_micros(self.below(6_000));
        let crashing = self.nodes.remove(node);
        crashing.crash_at_work(patience);
        self.crashes += 1;
        let fresh = Node::start(&self.place, &self.clock);
        self.nodes.push(fresh);
        // What it held, it holds for two minutes at most.
        self.clock.advance(Duration::from_secs(121));
        let other = self.index(NODES - 1);
        self.nodes[other].pass();
    }

    fn rotate_by_hand(&mut self) {
        let tenant = self.index(self.tenants.len());
        let node = self.index(NODES);
        let algorithm = [None, Some(Signs::ES256), Some(Signs::EdDSA)][self.index(3)];
        let rotation = Rotation {
            algorithm,
            rsa_bits: None,
            emergency: false,
        };
        let organization = self.tenants[tenant].id.clone();
        let management = Arc::clone(&self.nodes[node].app.management);
        let done = self.nodes[node].runtime.block_on(rotate(
            management,
            Actor::CommandLine,
            organization,
            rotation,
            Once::default(),
        ));
        match done {
            Ok(_) | Err(Refusal::SigningKeyUnderWay(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }

    /// Any node issues a token, and every validator of the issuer takes it.
    fn issue(&mut self, tenant: usize) {
        let node = self.index(NODES);
        let whose = &self.tenants[tenant];
        self.nodes[node].catch_up(&whose.id);
        let (text, lifetime) = self.nodes[node].issue(whose);
        let expires = self.clock.now().plus(Duration::from_secs(lifetime));
        let token = Token {
            tenant,
            text,
            expires,
        };
        self.signed_by_a_published_key(&token);
        self.validate(&token);
        self.tokens.push(token);
    }

    fn meet_tokens_again(&mut self) {
        let now = self.clock.now();
        let tokens = std::mem::take(&mut self.tokens);
        let alive: Vec<_> = tokens
            .into_iter()
            .filter(|token| token.expires > now)
            .collect();
        for token in &alive {
            self.validate(token);
        }
        self.tokens = alive;
    }

    fn validate(&mut self, token: &Token) {
        let now = self.clock.now();
        for (at, cache) in CACHES.into_iter().enumerate() {
            let cached = &self.tenants[token.tenant].validators[at];
            let fresh = |cached: &Cached| now < cached.fetched.plus(cache);
            if !cached.as_ref().is_some_and(fresh) {
                let node = self.index(NODES);
                let tenant = &mut self.tenants[token.tenant];
                self.nodes[node].catch_up(&tenant.id);
                tenant.validators[at] = Some(Cached {
                    fetched: now,
                    keys: self.nodes[node].jwks(tenant),
                });
            }
            let tenant = &self.tenants[token.tenant];
            let cached = tenant.validators[at].as_ref().unwrap();
            let header = jsonwebtoken::decode_header(&token.text).unwrap();
            let kid = header.kid.unwrap();
            let Some(key) = cached.keys.get(&kid) else {
                let age = now.seconds_since(cached.fetched);
                let why = format!("{}: kid {kid} is not in a JWKS of {age} s ago", tenant.id);
                self.refused.get_or_insert(why);
                continue;
            };
            verify(&token.text, header.alg, key);
            self.validations += 1;
        }
    }

    /// A key that is not its issuer's first was published for the lead before it signed.
    fn signed_by_a_published_key(&self, token: &Token) {
        let kid = jsonwebtoken::decode_header(&token.text)
            .unwrap()
            .kid
            .unwrap();
        let id = &self.tenants[token.tenant].id;
        let early = self.ask(&format!(
            "SELECT kid FROM signing_keys
             WHERE kid = '{kid}' AND activated_at < published_at + {}
               AND EXISTS (SELECT 1 FROM signing_keys AS first
                           WHERE first.organization_id = '{id}'
                             AND first.created_at < signing_keys.created_at)",
            self.lead.as_secs()
        ));
        assert_eq!(early, None, "{id} signs with a key that nobody could know");
    }

    /// What time was to do is done: private halves are destroyed, and no key is overdue.
    fn nothing_is_late(&self) {
        let now = self.clock.now().unix();
        let late = self.ask(&format!(
            "SELECT organization_id || ' ' || kid FROM signing_keys
             WHERE due_at <= {now} OR (retired_at IS NOT NULL AND length(sealed) > 0)
                OR (retires_at <= {now} AND length(sealed) > 0)"
        ));
        assert_eq!(late, None, "after {} crashes", self.crashes);
    }

    fn finish(self) {
        let per_issuer = "SELECT CAST(MIN(n) AS TEXT) || ' ' || CAST(MAX(n) AS TEXT) FROM (
             SELECT COUNT(*) AS n FROM signing_keys
             WHERE organization_id <> 'operator' GROUP BY organization_id)";
        let per_issuer = self.ask(per_issuer).unwrap();
        let active = "SELECT CAST(COUNT(*) AS TEXT) FROM signing_keys
             WHERE activated_at IS NOT NULL AND retiring_at IS NULL";
        assert_eq!(self.ask(active).unwrap(), (ISSUERS + 1).to_string());
        let least = per_issuer
            .split(' ')
            .next()
            .unwrap()
            .parse::<u32>()
            .unwrap();
        // 400 days hold four whole intervals of 90 days at most.
        assert!(least >= 5, "keys per issuer: {per_issuer}");
        assert!(self.crashes > 100, "{} crashes", self.crashes);
        assert!(
            self.validations > 10_000,
            "{} validations",
            self.validations
        );
        self.end();
    }

    fn end(mut self) {
        for node in self.nodes.drain(..) {
            node.runtime.shutdown_background();
        }
    }

    /// Which organizations' keys changed since.
    fn changed_since(&self, since: Timestamp) -> Vec<String> {
        let since = since.unix();
        self.rows(&format!(
            "SELECT DISTINCT organization_id FROM signing_keys
             WHERE published_at > {since} OR activated_at > {since} OR retired_at > {since}"
        ))
    }

    /// All validators of an issuer fetch its JWKS anew next time.
    fn forget(&mut self, tenant: usize) {
        self.tenants[tenant].validators = Default::default();
    }

    fn ask(&self, sql: &str) -> Option<String> {
        self.rows(sql).into_iter().next()
    }

    fn rows(&self, sql: &str) -> Vec<String> {
        let rows = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&self.database);
        self.runtime.block_on(rows).unwrap()
    }

    fn index(&mut self, below: usize) -> usize {
        usize::try_from(self.below(below as u64)).unwrap()
    }

    /// A number below `end`: SplitMix64, so that a seed tells the whole story.
    fn below(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

impl Node {
    fn start(place: &Place, clock: &Clock) -> Self {
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
        Self { app, runtime }
    }

    fn pass(&self) {
        let pass = jobs::signing_keys::pass(&self.app.management);
        self.runtime.block_on(pass).unwrap();
    }

    /// Begins a pass, and is gone after so long, wherever it was.
    fn crash_at_work(self, after: Duration) {
        let Self { app, runtime } = self;
        let management = Arc::clone(&app.management);
        runtime.spawn(async move { jobs::signing_keys::pass(&management).await });
        std::thread::sleep(after);
        runtime.shutdown_background();
    }

    /// Hears of what others changed, as it would within milliseconds.
    fn catch_up(&self, organization: &OrganizationId) {
        let generations: &Generations = &self.app.management.generations;
        generations.raise(&Change::Organization(organization.clone()));
    }

    fn tenant(&self, id: &str) -> Tenant {
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
                validators: Default::default(),
            }
        })
    }

    fn issue(&self, tenant: &Tenant) -> (String, u64) {
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
        (issued.token, issued.expires_in)
    }

    fn jwks(&self, tenant: &Tenant) -> HashMap<String, Jwk> {
        let identity = self.app.mint.issuers.published(&tenant.id);
        let identity = self.runtime.block_on(identity).unwrap().unwrap();
        let document: Value = serde_json::from_str(&identity.identity.jwks).unwrap();
        let set: JwkSet = serde_json::from_value(document).unwrap();
        let named = set.keys.into_iter().map(|key| {
            let kid = key.common.key_id.clone().unwrap();
            (kid, key)
        });
        named.collect()
    }
}

fn verify(token: &str, algorithm: Algorithm, key: &Jwk) {
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_aud = false;
    let key = DecodingKey::from_jwk(key).unwrap();
    jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap();
}
