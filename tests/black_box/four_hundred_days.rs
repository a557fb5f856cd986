//! 200 issuers for 400 days: rotations by time and by hand, nodes that crash at random instants, whose
//! clocks differ, and that are cut off while keys change; validators that cache the JWKS for as long
//! as any are known to. Not one genuine token refused.

mod node;
mod validator;

use std::time::Duration;

use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{AssertSqlSafe, SqlitePool};
use tenmint::clock::Clock;
use tenmint::domain::signing_key::Algorithm;
use tenmint::domain::timestamp::Timestamp;
use tokio::runtime::Runtime;

use crate::support::server::Place;
use node::{Node, Tenant};
use validator::{Token, Validator};

const DAYS: i64 = 400;
const NODES: usize = 3;

/// `CLOCK_SKEW` and `STALE_LIMIT`, in seconds.
const SKEW: u64 = 60;
const STALE_LIMIT: u64 = 10;

/// By how much the clock of a validator may differ from that of whoever issued.
const VALIDATORS_SKEW: u64 = 300;

/// `TOKEN_LIFETIME`, in seconds: the longest that may be.
const TOKEN: u64 = 3_600;

const MINUTE: u64 = 60;

/// What a world is set to, and what really happens in it. Times are in seconds.
#[derive(Clone, Copy)]
struct Rules {
    issuers: usize,
    max_age: u64,
    lead: u64,
    /// How long the validators of each issuer go on with a JWKS.
    caches: &'static [u64],
    /// By how much the clocks of two nodes differ at most.
    skew: u64,
    /// For how long a node is cut off at most.
    cut_off: u64,
}

/// The shortest lead that validators of up to two hours allow.
const TIGHT: Rules = Rules {
    issuers: 200,
    max_age: 120 * MINUTE,
    lead: 120 * MINUTE + STALE_LIMIT + SKEW,
    caches: &[5 * MINUTE, 15 * MINUTE, 120 * MINUTE],
    skew: SKEW,
    cut_off: STALE_LIMIT,
};

/// Validators that always fetch: nothing but what must be keeps a key published that signs no more.
const BARE: Rules = Rules {
    issuers: 40,
    max_age: 1,
    lead: 1 + STALE_LIMIT + SKEW,
    caches: &[0, 1],
    ..TIGHT
};

struct World {
    rules: Rules,
    place: Place,
    /// The test's own look at the database.
    database: SqlitePool,
    runtime: Runtime,
    /// The true time, which no clock tells.
    now: Timestamp,
    nodes: Vec<Node>,
    /// The node that hears nothing at present.
    cut_off: Option<usize>,
    tenants: Vec<Tenant>,
    tokens: Vec<Token>,
    random: u64,
    seen: Seen,
    /// A genuine token that a validator refused.
    refused: Option<String>,
}

/// What happened, or the world proves nothing.
#[derive(Default, Debug)]
struct Seen {
    crashes: usize,
    validations: usize,
    /// Sets of keys that a node published which had not heard of a change.
    outdated: usize,
    /// Tokens that it signed with a key that was to sign no more.
    late: usize,
}

#[test]
fn not_one_genuine_token_is_refused_in_four_hundred_days() {
    World::new(TIGHT).runs_its_course();
}

#[test]
fn a_key_is_published_for_as_long_as_anybody_needs_it() {
    World::new(BARE).runs_its_course();
}

/// The simulation can tell: with a lead that the slowest validators do not know of, it does.
#[test]
fn a_lead_shorter_than_a_validators_cache_is_found_out() {
    let rules = Rules {
        max_age: 5 * MINUTE,
        lead: 110 * MINUTE,
        ..TIGHT
    };
    is_found_out(rules);
}

#[test]
fn clocks_further_apart_than_was_said_are_found_out() {
    let rules = Rules {
        skew: 30 * MINUTE,
        ..TIGHT
    };
    is_found_out(rules);
}

#[test]
fn a_node_cut_off_for_longer_than_was_said_is_found_out() {
    let rules = Rules {
        cut_off: 15 * MINUTE,
        ..TIGHT
    };
    is_found_out(rules);
}

/// Chance decides when: threads crash, and signatures differ, as they happen to.
fn is_found_out(rules: Rules) {
    let mut world = World::new(Rules {
        issuers: 20,
        ..rules
    });
    let end = world.now.unix() + 10 * DAYS * 86_400;
    while world.refused.is_none() {
        assert!(world.now.unix() < end, "nobody noticed: {:?}", world.seen);
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

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

impl World {
    fn new(rules: Rules) -> Self {
        let text = |number: u64| format!("{number}s");
        // Nobody pulls the plug here: threads crash, and what they wrote stays written.
        let place = Place::sqlite_in_memory().with(&[
            "--signing-key-lead",
            &text(rules.lead),
            "--jwks-max-age",
            &text(rules.max_age),
            "--clock-skew",
            &text(SKEW),
            "--stale-limit",
            &text(STALE_LIMIT),
            "--token-lifetime",
            &text(TOKEN),
        ]);
        let now = Timestamp::from_unix(1_800_000_000).unwrap();
        // From the one most behind to the one most ahead.
        let nodes = (0..NODES as u64).map(|node| {
            let ahead = rules.skew * node / (NODES as u64 - 1);
            let clock = Clock::manual(now.minus(seconds(rules.skew / 2)));
            clock.advance(seconds(ahead));
            Node::start(&place, clock)
        });
        let nodes = nodes.collect();
        let runtime = Runtime::new().unwrap();
        let database = SqlitePoolOptions::new().max_connections(1);
        let database = runtime.block_on(database.connect(&place.database_url()));
        let mut world = Self {
            rules,
            place,
            database: database.unwrap(),
            runtime,
            now,
            nodes,
            cut_off: None,
            tenants: Vec::new(),
            tokens: Vec::new(),
            random: seed(),
            seen: Seen::default(),
            refused: None,
        };
        for n in 0..rules.issuers {
            let caches = rules.caches.iter().copied().map(seconds);
            let validators = caches.map(Validator::new).collect();
            let tenant = world.nodes[0].tenant(&format!("org{n}"), validators);
            world.tenants.push(tenant);
            // Made within some days, as customers come.
            world.advance(10 * MINUTE);
        }
        world
    }

    fn runs_its_course(mut self) {
        let end = self.now.unix() + DAYS * 86_400;
        while self.now.unix() < end {
            self.step();
            assert_eq!(self.refused, None, "{:?}", self.seen);
        }
        self.finish();
    }

    /// The next thing happens, whatever that is: some time later, or just when something is due.
    fn step(&mut self) {
        // The first node to think that it is time, or one that comes late.
        let leader = self.index(NODES);
        self.wait(leader);
        self.meet_tokens_again();
        // Some validators fetch at the worst moment: just before anything changes.
        for tenant in 0..self.tenants.len() {
            if self.below(200) == 0 {
                self.fetch_anew(tenant);
            }
        }
        if self.below(40) == 0 {
            self.rotate_by_hand();
        }
        let changing = self.nodes[leader].would_change();
        let changing = self
            .tenants
            .iter()
            .enumerate()
            .filter_map(|(at, tenant)| changing.contains(&tenant.id).then_some(at));
        let changing: Vec<_> = changing.collect();
        if !changing.is_empty() && self.below(3) == 0 {
            self.lead_while_another_is_cut_off(leader, &changing);
        } else {
            for &tenant in changing.iter().filter(|tenant| **tenant % 2 == 0) {
                self.fetch_anew(tenant);
            }
            self.lead(leader);
        }
        for &tenant in &changing {
            self.issue(tenant);
        }
        self.meet_tokens_again();
        let anybody = self.index(self.tenants.len());
        self.issue(anybody);
        self.nothing_is_late();
    }

    /// Waits until something is due by the clock of a node, or a while.
    fn wait(&mut self, leader: usize) {
        let due = "SELECT CAST(MIN(due_at) AS TEXT) FROM signing_keys WHERE due_at IS NOT NULL";
        let due = self.ask(due).and_then(|due| due.parse::<i64>().ok());
        // As much happens to few issuers as to many.
        let longest = 8 * 3_600 * 200 / self.rules.issuers as u64;
        let later = 60 + self.below(longest.min(2 * 86_400));
        let now = self.nodes[leader].clock.now().unix();
        let wait = due.map_or(later, |due| u64::try_from(due - now).unwrap_or(0));
        // One that slept longer than others comes late; never twice within a second.
        self.advance(wait.clamp(1, later));
    }

    /// A node does what is due; one in sixteen crashes at it, and comes back.
    fn lead(&mut self, leader: usize) {
        if self.below(16) > 0 {
            self.nodes[leader].pass();
            return;
        }
        let patience = Duration::from_micros(self.below(6_000));
        let clock = self.nodes.remove(leader).crash_at_work(patience);
        self.seen.crashes += 1;
        let fresh = Node::start(&self.place, clock);
        self.nodes.insert(leader, fresh);
        // What it held, it holds for two minutes at most, by everybody's clock.
        self.advance(121 + self.rules.skew);
        let other = self.index(NODES);
        self.nodes[other].pass();
    }

    /// A node does what is due, and another hears nothing of it for as long as may be: it signs and
    /// publishes as before, and validators fetch from it.
    fn lead_while_another_is_cut_off(&mut self, leader: usize, changing: &[usize]) {
        let other = (leader + 1 + self.index(NODES - 1)) % NODES;
        for &tenant in changing {
            let whose = &self.tenants[tenant];
            self.nodes[other].catch_up(&whose.id);
            self.nodes[other].issue(whose);
            self.nodes[other].jwks(whose);
        }
        self.cut_off = Some(other);
        self.nodes[leader].pass();
        let silence = self.rules.cut_off - self.below(2) * self.below(self.rules.cut_off);
        self.advance(silence);
        for &tenant in changing {
            self.publish_at(other, tenant);
            self.issue_at(other, tenant);
        }
        self.cut_off = None;
        // Something else may have become due meanwhile.
        self.nodes[leader].pass();
    }

    fn rotate_by_hand(&mut self) {
        let (tenant, node) = (self.index(self.tenants.len()), self.index(NODES));
        let algorithm = [None, Some(Algorithm::ES256), Some(Algorithm::EdDSA)][self.index(3)];
        self.nodes[node].rotate(&self.tenants[tenant], algorithm);
    }

    /// All validators of an issuer fetch its JWKS now.
    fn fetch_anew(&mut self, tenant: usize) {
        for validator in &mut self.tenants[tenant].validators {
            validator.forget();
        }
        self.issue(tenant);
    }

    /// All validators of an issuer fetch its JWKS from one node.
    fn publish_at(&mut self, node: usize, tenant: usize) {
        let whose = &self.tenants[tenant];
        let set = self.nodes[node].jwks(whose);
        let published = self.rows(&format!(
            "SELECT kid FROM signing_keys WHERE organization_id = '{}' AND retired_at IS NULL",
            whose.id
        ));
        let has = |kid: &String| set.find(kid).is_some();
        let is_outdated = set.keys.len() != published.len() || !published.iter().all(has);
        self.seen.outdated += usize::from(is_outdated);
        let now = self.now;
        for validator in &mut self.tenants[tenant].validators {
            validator.fetch(now, set.clone());
        }
    }

    /// Any node issues a token, and every validator of the issuer takes it.
    fn issue(&mut self, tenant: usize) {
        let node = self.index(NODES);
        self.nodes[node].catch_up(&self.tenants[tenant].id);
        self.issue_at(node, tenant);
    }

    fn issue_at(&mut self, node: usize, tenant: usize) {
        let whose = &self.tenants[tenant];
        let (text, expires) = self.nodes[node].issue(whose);
        // By the clock of a validator that is as far behind the node most ahead as may be.
        let known = seconds(VALIDATORS_SKEW - SKEW / 2);
        let token = Token::new(tenant, text, expires.plus(known));
        let active = self.ask(&format!(
            "SELECT kid FROM signing_keys WHERE organization_id = '{}'
               AND activated_at IS NOT NULL AND retiring_at IS NULL AND retired_at IS NULL",
            whose.id
        ));
        let is_late = active != Some(token.kid());
        assert!(!is_late || self.cut_off == Some(node), "{}", whose.id);
        self.seen.late += usize::from(is_late);
        self.signed_by_a_published_key(&token);
        self.validate(&token);
        self.tokens.push(token);
    }

    fn meet_tokens_again(&mut self) {
        let now = self.now;
        let mut tokens = std::mem::take(&mut self.tokens);
        tokens.retain(|token| token.expires > now);
        for token in &tokens {
            self.validate(token);
        }
        self.tokens = tokens;
    }

    fn validate(&mut self, token: &Token) {
        let (tenant, now) = (token.tenant, self.now);
        for at in 0..self.rules.caches.len() {
            if self.tenants[tenant].validators[at].fetches(now) {
                let node = self.index(NODES);
                if self.cut_off != Some(node) {
                    self.nodes[node].catch_up(&self.tenants[tenant].id);
                }
                let set = self.nodes[node].jwks(&self.tenants[tenant]);
                self.tenants[tenant].validators[at].fetch(now, set);
            }
            let whose = &self.tenants[tenant];
            match whose.validators[at].validate(token, now) {
                Ok(()) => self.seen.validations += 1,
                Err(why) => {
                    let why = format!("{}: {why}", whose.id);
                    self.refused.get_or_insert(why);
                }
            }
        }
    }

    /// The key is published, and if it is not its issuer's first, it was so for the lead before it
    /// signed.
    fn signed_by_a_published_key(&self, token: &Token) {
        let (kid, id) = (token.kid(), &self.tenants[token.tenant].id);
        let is = self.ask(&format!(
            "SELECT CASE WHEN retired_at IS NOT NULL THEN 'published no more'
                         WHEN activated_at < published_at + {}
                           AND EXISTS (SELECT 1 FROM signing_keys AS first
                                       WHERE first.organization_id = '{id}'
                                         AND first.created_at < signing_keys.created_at)
                           THEN 'known to nobody' ELSE 'published' END
             FROM signing_keys WHERE kid = '{kid}' AND organization_id = '{id}'",
            self.rules.lead
        ));
        assert_eq!(is.as_deref(), Some("published"), "{id} signs with {kid}");
    }

    /// What time was to do is done by everybody's clock: no key is overdue, and private halves are
    /// destroyed when nobody needs their keys any more, whatever the database says of when that is.
    fn nothing_is_late(&self) {
        let now = self.nodes[0].clock.now().unix();
        let needed = TOKEN + VALIDATORS_SKEW + SKEW + STALE_LIMIT + self.rules.max_age;
        let late = self.ask(&format!(
            "SELECT organization_id || ' ' || kid FROM signing_keys
             WHERE due_at <= {now} OR (retired_at IS NOT NULL AND length(sealed) > 0)
                OR (retiring_at + {needed} <= {now} AND length(sealed) > 0)"
        ));
        assert_eq!(late, None, "{:?}", self.seen);
    }

    fn finish(self) {
        let per_issuer = "SELECT CAST(MIN(n) AS TEXT) FROM (
             SELECT COUNT(*) AS n FROM signing_keys
             WHERE organization_id <> 'operator' GROUP BY organization_id)";
        let least: usize = self.ask(per_issuer).unwrap().parse().unwrap();
        let active = "SELECT CAST(COUNT(*) AS TEXT) FROM signing_keys
             WHERE activated_at IS NOT NULL AND retiring_at IS NULL";
        let (issuers, seen) = (self.rules.issuers, &self.seen);
        assert_eq!(self.ask(active).unwrap(), (issuers + 1).to_string());
        // 400 days hold four whole intervals of 90 days at most.
        assert!(least >= 5, "keys per issuer: {least}");
        let enough = seen.crashes * 2 > issuers
            && seen.validations > 50 * issuers
            && seen.outdated > issuers
            && seen.late > issuers / 4;
        assert!(enough, "{seen:?}");
        self.end();
    }

    fn end(mut self) {
        self.nodes.drain(..).for_each(Node::stop);
    }

    /// True time goes by, and every clock with it.
    fn advance(&mut self, by: u64) {
        self.now = self.now.plus(seconds(by));
        for node in &self.nodes {
            node.clock.advance(seconds(by));
        }
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
