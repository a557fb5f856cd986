//! What befalls PostgreSQL under two nodes: exchanges go on for `STALE_LIMIT`, then wait; nothing that
//! was acknowledged is lost; and nobody has to do anything but bring the database back.

use std::time::{Duration, Instant};

use reqwest::StatusCode;

use crate::support::left_out::say;
use crate::support::nodes::{Nodes, block};
use crate::support::postgres::{Server, server_of_its_own};
use crate::support::server::{Key, Place};
use crate::support::watch::{Seen, Watch, made, story};

/// `STALE_LIMIT` of both nodes.
pub const LIMIT: Duration = Duration::from_secs(5);

/// Longer than that, and than anybody waits for the database.
const LONG: Duration = Duration::from_secs(11);

pub const FLAGS: [&str; 2] = ["--stale-limit", "5s"];

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_killed_is_missed_for_as_long_as_it_is_away() {
    let Some((mut server, nodes)) = two_nodes().await else {
        return;
    };
    let under = Under::load(&nodes).await;
    let struck = struck(|| server.kill());
    tokio::time::sleep(LONG).await;
    block(|| server.start());
    for seen in under.told("killed", &nodes, struck).await {
        assert_issued_and_then_not(&seen, struck);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_paused_is_missed_for_as_long_as_it_sleeps() {
    let Some((mut server, nodes)) = two_nodes().await else {
        return;
    };
    let under = Under::load(&nodes).await;
    let struck = struck(|| server.pause());
    tokio::time::sleep(LONG).await;
    block(|| server.resume());
    for seen in under.told("paused", &nodes, struck).await {
        assert_issued_and_then_not(&seen, struck);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_database_is_not_noticed_by_those_who_exchange() {
    let Some((mut server, nodes)) = two_nodes().await else {
        return;
    };
    let under = Under::load(&nodes).await;
    let began = Instant::now();
    let struck = struck(|| server.stop());
    block(|| server.start());
    let away = began.elapsed();
    let seen = under.told("restarted", &nodes, struck).await;
    // However slow the machine.
    if away + Duration::from_secs(3) < LIMIT {
        let refused = |seen: &Seen| seen.status != 200;
        assert!(!seen.iter().any(|seen| seen.iter().any(refused)));
    }
}

/// Every connection is lost a moment after it was used: those to whom they were lent meet with none
/// that is dead, though what is held is asked for anew as soon as changes are heard again.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_end_all_at_once_are_not_noticed_by_those_who_exchange() {
    const CONNECTIONS: usize = 16;
    const END: &str = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity
         WHERE datname = current_database() AND backend_type = 'client backend'
         AND pid <> pg_backend_pid()";
    let Some(place) = Place::postgres().await else {
        return;
    };
    let url = place.database_url();
    let nodes = Nodes::on(place, &[&url], &[]).await;
    let node = &nodes.all[0];
    let kept = node.make(&nodes.acme).await.unwrap();
    nodes.warm(&kept).await;
    for round in 0..2 {
        let exchanges = Watch::exchanges(node, &kept);
        let makes = [(); CONNECTIONS].map(|()| Watch::makes(node, &nodes.acme));
        tokio::time::sleep(Duration::from_millis(300)).await;
        for makes in makes {
            makes.end().await;
        }
        let ended = nodes.place().query(END).await;
        assert!(ended.len() > 4, "{ended:?}");
        tokio::time::sleep(Duration::from_millis(900)).await;
        for seen in exchanges.end().await {
            assert_eq!(seen.status, 200, "round {round}: {seen:?}");
        }
    }
}

/// A node goes on with what it knows, for a while.
pub fn assert_issued_and_then_not(seen: &[Seen], struck: Instant) {
    let after: Vec<_> = seen.iter().filter(|seen| seen.asked > struck).collect();
    assert_eq!(after[0].status, 200, "a node that knows enough refuses");
    assert!(after.iter().any(|seen| seen.status == 503));
}

/// Does something to the database; when it was done.
pub fn struck(strike: impl FnOnce()) -> Instant {
    block(strike);
    Instant::now()
}

/// Two nodes on a server that the test may harm.
async fn two_nodes() -> Option<(Server, Nodes)> {
    let server = block(server_of_its_own)?;
    let place = Place::on(block(|| server.fresh_database()));
    let url = place.database_url();
    let nodes = Nodes::on(place, &[&url, &url], &FLAGS).await;
    Some((server, nodes))
}

/// Clients of two nodes, and what was acknowledged before.
pub struct Under {
    kept: Key,
    revoked: Key,
    revoked_at: Instant,
    /// At each node, of the key that is kept and of the one that was revoked.
    exchanges: Vec<(Watch, Watch)>,
    makes: Vec<Watch>,
}

impl Under {
    /// Every node exchanges two keys and makes others; one of the two was just revoked at the first.
    pub async fn load(nodes: &Nodes) -> Self {
        let first = &nodes.all[0];
        let kept = first.make(&nodes.acme).await.unwrap();
        let revoked = first.make(&nodes.acme).await.unwrap();
        nodes.warm(&kept).await;
        nodes.warm(&revoked).await;
        let exchange = |node| {
            let of = |key| Watch::exchanges(node, key);
            (of(&kept), of(&revoked))
        };
        let exchanges = nodes.all.iter().map(exchange).collect();
        let make = |node| Watch::makes(node, &nodes.acme);
        let makes = nodes.all.iter().map(make).collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(first.act(&nodes.acme, &revoked, "revoke").await);
        Self {
            kept,
            revoked,
            revoked_at: Instant::now(),
            exchanges,
            makes,
        }
    }

    /// The database is there again: waits until all is well, and judges what clients saw. Gives the
    /// exchanges of the key that is kept, by node.
    pub async fn told(self, what: &str, nodes: &Nodes, struck: Instant) -> Vec<Vec<Seen>> {
        let all: Vec<_> = (0..nodes.all.len()).collect();
        let what = format!("database {what}");
        self.told_of(&what, nodes, &all, struck).await
    }

    /// The same, where some of the nodes were cut off.
    pub async fn told_of(
        self,
        what: &str,
        nodes: &Nodes,
        cut_off: &[usize],
        struck: Instant,
    ) -> Vec<Vec<Seen>> {
        let back = struck.elapsed();
        let recovered = nodes.recover().await;
        say(&format!(
            "{what}: back after {:.1} s, all well {:.1} s later",
            back.as_secs_f32(),
            recovered.as_secs_f32()
        ));
        let (mut kept, mut acknowledged) = (Vec::new(), Vec::new());
        for (node, (of_kept, of_revoked)) in self.exchanges.into_iter().enumerate() {
            let (of_kept, of_revoked) = (of_kept.end().await, of_revoked.end().await);
            say(&format!(
                "  exchange at {node}: {}",
                story(&of_kept, struck)
            ));
            // The node that answered the revoke knows; another hears of it, or trusts nothing.
            let bound = if node == 0 { Duration::ZERO } else { LIMIT };
            let late = self.revoked_at + bound;
            let late = |seen: &&Seen| seen.status == 200 && seen.asked > late;
            assert_eq!(
                of_revoked.iter().filter(late).count(),
                0,
                "issued to a revoked key"
            );
            for seen in of_kept.iter().chain(&of_revoked) {
                assert_clear(seen, &[200, 401]);
            }
            assert!(of_kept.iter().all(|seen| seen.status != 401));
            kept.push(of_kept);
        }
        for (node, makes) in self.makes.into_iter().enumerate() {
            let seen = makes.end().await;
            say(&format!(
                "  making a key at {node}: {}",
                story(&seen, struck)
            ));
            for seen in &seen {
                assert_clear(seen, &[201]);
            }
            acknowledged.extend(made(&seen));
        }
        // Away for longer than anything held may be used.
        for seen in cut_off.iter().map(|node| &kept[*node]) {
            let meanwhile = |seen: &&Seen| seen.asked + seen.took < struck + back;
            let late = |seen: &&Seen| seen.status == 200 && seen.asked > struck + LIMIT;
            let late = seen.iter().filter(meanwhile).filter(late);
            assert_eq!(late.count(), 0, "it issues on what it heard too long ago");
        }
        assert!(!acknowledged.is_empty());
        for node in &nodes.all {
            let reply = node.exchange(&self.kept).await.unwrap();
            reply.expect(StatusCode::OK);
            let reply = node.exchange(&self.revoked).await.unwrap();
            reply.refuses(401, "invalid_client");
            for key in &acknowledged {
                node.exchange(key).await.unwrap().expect(StatusCode::OK);
            }
        }
        kept
    }
}

/// Whoever is refused is told in the standard's form to come again.
pub fn assert_clear(seen: &Seen, well: &[u16]) {
    if well.contains(&seen.status) {
        return;
    }
    let refusal = seen.refusal.as_ref();
    let clear = refusal.is_some_and(|refusal| refusal.retry_after && refusal.has_form);
    assert!(seen.status == 503 && clear, "{seen:?}");
}
