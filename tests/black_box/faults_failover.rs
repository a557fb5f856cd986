//! Failover to a promoted standby, at an address that moves with it: tenmint is told nothing, and
//! goes on with the new primary, also when the old one vanished without a word.

use std::time::Duration;

use crate::faults::{FLAGS, Under, struck};
use crate::support::line::Line;
use crate::support::nodes::{Nodes, block};
use crate::support::postgres::{Server, server_of_its_own};
use crate::support::server::Place;

#[tokio::test(flavor = "multi_thread")]
async fn nodes_go_on_with_the_standby_of_a_primary_that_was_killed() {
    failover("failed over after a crash", Server::kill).await;
}

/// As when its machine loses power or its network: connections to it never end.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_go_on_with_the_standby_of_a_primary_that_vanished() {
    failover("failed over after it vanished", Server::pause).await;
}

async fn failover(what: &str, strike: fn(&mut Server)) {
    let Some(mut server) = block(server_of_its_own) else {
        return;
    };
    let place = Place::on(block(|| server.fresh_database()));
    let url = place.database_url();
    // Every commit waits for it: whatever was acknowledged, it has.
    let standby = block(|| server.stand_by());
    let lines = [Line::to(&url).await, Line::to(&url).await];
    let urls = [&*lines[0].url, &*lines[1].url];
    let nodes = Nodes::on(place, &urls, &FLAGS).await;
    let under = Under::load(&nodes).await;
    let struck = struck(|| strike(&mut server));
    tokio::time::sleep(Duration::from_secs(1)).await;
    block(|| server.promote());
    for line in &lines {
        line.lead_to(&standby.url(&url));
    }
    under.told(what, &nodes, struck).await;
}
