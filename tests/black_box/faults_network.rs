//! A node's network loses the database: the cable of a network namespace is pulled. Nothing comes back,
//! not even a refusal; whoever the node's clients are, they still reach it.

use std::time::Duration;

use reqwest::StatusCode;
use url::Url;

use crate::faults::{FLAGS, LIMIT, Under, assert_issued_and_then_not, struck};
use crate::support::cables::Cables;
use crate::support::nodes::{Nodes, Seat, block};
use crate::support::postgres::server_of_its_own;
use crate::support::server::Place;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_network_loses_the_database_stops_issuing_and_its_neighbour_does_not() {
    let Some(mut cables) = block(Cables::laid) else {
        return;
    };
    let Some(mut server) = block(server_of_its_own) else {
        return;
    };
    block(|| server.listen_also_at(&cables.database));
    let place = Place::on(block(|| server.fresh_database()));
    let near = place.database_url();
    let mut far = Url::parse(&near).unwrap();
    far.set_host(Some(&cables.database)).unwrap();
    let within = cables.within();
    let by = within.each_ref().map(String::as_str);
    let listen = format!("{}:0", cables.node);
    let seats = [
        Seat::here(&near),
        Seat {
            url: far.as_str(),
            by: &by,
            listen: &listen,
        },
    ];
    let nodes = Nodes::seated(place, &seats, &FLAGS).await;
    let [near, far] = [&nodes.all[0], &nodes.all[1]];
    let doomed = near.make(&nodes.acme).await.unwrap();
    nodes.warm(&doomed).await;
    let under = Under::load(&nodes).await;

    let struck = struck(|| cables.pull());
    let (mut issued, mut refused, mut revoked) = (0, 0, false);
    while struck.elapsed() < LIMIT * 2 || !revoked {
        // It cannot hear of anything. Issued on what it knows, and not for long.
        let asked = struck.elapsed();
        match far.exchange(&doomed).await.unwrap().status {
            StatusCode::OK => {
                assert!(asked <= LIMIT, "issued {asked:?} after it was cut off");
                issued += 1;
            }
            status => {
                assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
                refused += 1;
            }
        }
        // What an act of the other had locked stays so until the database ends that act.
        if revoked {
            let reply = near.exchange(&doomed).await.unwrap();
            reply.refuses(401, "invalid_client");
        } else {
            assert!(asked < Duration::from_mins(1), "its neighbour cannot write");
            revoked = near.act(&nodes.acme, &doomed, "revoke").await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(issued > 0 && refused > 0, "{issued} {refused}");
    assert!(near.is_ready().await && !far.is_ready().await);

    block(|| cables.plug_in());
    let what = "one of two nodes cut off from the database";
    let seen = under.told_of(what, &nodes, &[1], struck).await;
    assert!(seen[0].iter().all(|seen| seen.status == 200));
    assert_issued_and_then_not(&seen[1], struck);
    let reply = far.exchange(&doomed).await.unwrap();
    reply.refuses(401, "invalid_client");
}
