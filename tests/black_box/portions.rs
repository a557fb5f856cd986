//! What goes by the million goes in portions: all of it, whatever is asked meanwhile, and also when
//! whoever erases it is stopped in the middle.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::on_both_engines;
use crate::support::many_keys;
use crate::support::root_keys::until;
use crate::support::server::{Place, Server};

on_both_engines!(
    all_that_is_too_old_goes_however_much_there_is,
    beginnings_that_no_key_needs_go_however_many_there_are,
    a_large_organization_ends_at_once_and_its_rows_go_soon,
    whoever_starts_next_goes_on_erasing,
);

/// More than any portion, and twice that.
const MANY: u32 = 4_500;

async fn count(place: &Place, of: &str) -> u32 {
    let counted = place
        .query(&format!("SELECT CAST(COUNT(*) AS TEXT) FROM {of}"))
        .await;
    counted[0].parse().unwrap()
}

/// `select` for each number up to so many, as rows of a table.
async fn fill(place: &Place, into: &str, many: u32, select: &str) {
    let rows = format!(
        "INSERT INTO {into}
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {many})
         SELECT {select} FROM n"
    );
    place.execute(&rows).await;
}

async fn all_that_is_too_old_goes_however_much_there_is(server: Server) {
    let acme = server.organization("acme").await;
    let key = server.key_with(&acme, &["read"]).await;
    let (place, id) = (server.place(), &key.id);
    let now = server.clock.now().unix();
    let text = |n: &str| {
        format!("'r' || substr('0000000', 1, 7 - length(CAST({n} AS TEXT))) || CAST({n} AS TEXT)")
    };
    let number = text("i");
    for grain in ["hour", "day"] {
        fill(
            place,
            "usage_counts (organization_id, api_key_id, grain, starts_at, outcome, count)",
            MANY,
            &format!("'acme', '{id}', '{grain}', i, 'issued', 1"),
        )
        .await;
    }
    fill(
        place,
        "exchange_records (api_key_id, day, address, scope, count, last_seen)",
        MANY,
        &format!("'{id}', 0, {number}, '', 1, 1"),
    )
    .await;
    // Of strangers, of a key long ago, and lately of two keys, one of which had very many.
    for (prefix, many, whose, at) in [
        ("a", MANY, "NULL, NULL".to_owned(), 1),
        ("b", MANY, format!("'acme', '{id}'"), 1),
        ("c", MANY, format!("'acme', '{id}'"), now),
        ("d", 10, format!("'acme', '{}'", acme.id), now),
    ] {
        fill(
            place,
            "refusals (request_id, organization_id, api_key_id, at, cause, detail)",
            many,
            &format!("'{prefix}' || {number}, {whose}, {at}, 'expired', ''"),
        )
        .await;
    }
    fill(
        place,
        "idempotency (id, request, claim, claimed_at, result)",
        MANY,
        &format!("{number}, 'x', 'x', 1, 'done'"),
    )
    .await;
    // The clean-up of an hour later.
    server.advance(3_601);
    until("what is too old is gone", async || {
        count(place, "idempotency").await == 0
    })
    .await;
    until("the rest is gone", async || {
        count(place, "refusals WHERE request_id LIKE 'c%'").await == 1_000
    })
    .await;
    assert_eq!(
        count(place, "usage_counts WHERE starts_at <= 4500").await,
        0
    );
    assert_eq!(count(place, "exchange_records WHERE day = 0").await, 0);
    assert_eq!(count(place, "refusals WHERE at = 1").await, 0);
    assert_eq!(
        count(place, "refusals WHERE request_id LIKE 'd%'").await,
        10
    );
    // The newest of them.
    let oldest = "SELECT MIN(request_id) FROM refusals WHERE request_id LIKE 'c%'";
    assert_eq!(place.query(oldest).await, ["cr0003501"]);
}

async fn beginnings_that_no_key_needs_go_however_many_there_are(server: Server) {
    const KEYS: u32 = 2_500;
    server.organization("acme").await;
    let place = server.place();
    many_keys::add(place, "acme", 0, KEYS).await;
    // The ninth of each ten is neither revoked nor imported; the seventh is imported.
    let imported =
        "UPDATE api_key_secrets SET fingerprint = 'imported:0' WHERE api_key_id LIKE '%7'";
    place.execute(imported).await;
    let lookups = "INSERT INTO imported_lookups (lookup, api_key_id, one, length)
                   SELECT 'x' || id, id, 0, 12 FROM api_keys WHERE id LIKE 'key_00%'";
    place.execute(lookups).await;
    place
        .execute("INSERT INTO imported_prefixes (length) VALUES (12)")
        .await;
    let others = "INSERT INTO imported_lookups (lookup, api_key_id, one)
                  SELECT 'y' || id, id, 1 FROM api_keys WHERE id LIKE 'key_00%'";
    place.execute(others).await;
    let now = server.clock.now();
    let store = &server.app.management.store;
    store.forget_beginnings(now).await.unwrap();
    assert_eq!(
        count(place, "imported_lookups WHERE one = 0").await,
        KEYS / 10
    );
    assert_eq!(
        count(
            place,
            "imported_lookups WHERE one = 0 AND api_key_id LIKE '%7'"
        )
        .await,
        KEYS / 10
    );
    assert_eq!(count(place, "imported_lookups WHERE one = 1").await, KEYS);
}

/// More keys than an answer waits for.
const LARGE: u32 = 5_000;

async fn deleted(server: &Server) {
    let path = "/v1/organizations/acme?force=true";
    let gone = server.operate(Method::DELETE, path, Value::Null).await;
    gone.expect(StatusCode::NO_CONTENT);
}

async fn nothing_is_left(place: &Place) {
    until("nothing is left", async || {
        count(place, "erasures").await == 0
    })
    .await;
    for table in [
        "api_keys",
        "roles",
        "usage_counts",
        "refusals",
        "direct_uses",
    ] {
        let left = format!("{table} WHERE organization_id = 'acme'");
        assert_eq!(count(place, &left).await, 0, "{table}");
    }
    let secrets = "api_key_secrets WHERE api_key_id NOT IN (SELECT id FROM api_keys)";
    assert_eq!(count(place, secrets).await, 0);
    let personal = "audit_events WHERE organization_id = 'acme' AND action <> 'organization.delete'
                    AND (details <> '{}' OR address IS NOT NULL OR salt IS NOT NULL)";
    assert_eq!(count(place, personal).await, 0);
}

async fn a_large_organization_ends_at_once_and_its_rows_go_soon(server: Server) {
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    let key = server.key_with(&acme, &["read"]).await;
    let token = server.management_token(&acme, &[]).await;
    server.exchange(&key, &[]).await.expect(StatusCode::OK);
    let place = server.place();
    many_keys::add(place, "acme", 0, LARGE).await;
    many_keys::add(place, "other", LARGE, 10).await;
    // Its last keys have most of what is kept, and are the last to go.
    fill(
        place,
        "exchange_records (api_key_id, day, address, scope, count, last_seen)",
        MANY,
        &format!("'{}', i, 'a', '', 1, 1", key.id),
    )
    .await;
    fill(
        place,
        "usage_counts (organization_id, api_key_id, grain, starts_at, outcome, count)",
        MANY,
        "'acme', '', 'hour', 2000000000 + i, 'issued', 1",
    )
    .await;
    deleted(&server).await;
    // Whatever is left of it, nothing of it is found.
    let refused = server.exchange(&key, &[]).await;
    refused.refuses(401, "invalid_client");
    for bearer in [&acme.secret, &token] {
        let refused = server.call(bearer, Method::GET, "/v1/api-keys", Value::Null);
        refused.await.expect(StatusCode::UNAUTHORIZED);
    }
    for path in ["", "/api-keys", "/migration", "/usage", "/refusals"] {
        let path = format!("/v1/organizations/acme{path}");
        let none = server.operate(Method::GET, &path, Value::Null).await;
        none.refuses(404, "not_found");
    }
    nothing_is_left(place).await;
    assert_eq!(
        count(place, "api_keys WHERE organization_id = 'other'").await,
        11
    );
    server.token(&other, &[]).await;
    let line = "acme: verified 4 entries, 3 of them erased";
    crate::audit_verification::holds(&server, &["--organization", "acme"], line);
}

async fn whoever_starts_next_goes_on_erasing(server: Server) {
    server.organization("acme").await;
    many_keys::add(server.place(), "acme", 0, LARGE).await;
    // As if another node were at it, and then were no more.
    let (store, now) = (&server.app.management.store, server.clock.now());
    let minute = Duration::from_mins(1);
    store
        .take_lease("erasures", "another", now, minute)
        .await
        .unwrap();
    deleted(&server).await;
    let clock = server.clock.clone();
    let place = server.stop().await;
    let left = count(&place, "api_keys WHERE organization_id = 'acme'").await;
    assert!(left > 0, "it was not stopped in the middle");
    let server = place.start_at(clock.now().plus(minute)).await;
    nothing_is_left(server.place()).await;
}
