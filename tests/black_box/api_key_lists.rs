//! Lists of API keys: pages and filters, also while keys come and go underneath.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::server::{Key, Server};

on_both_engines!(
    each_status_has_its_list,
    pages_hold_every_key_once_newest_first,
    keys_that_come_and_go_between_pages_disturb_none,
    a_list_holds_no_key_of_another_organization,
    what_a_list_does_not_know_is_refused,
);

struct Page {
    ids: Vec<String>,
    next: Option<String>,
}

async fn page(server: &Server, manager: &Key, query: &str) -> Page {
    let path = format!("/v1/api-keys{query}");
    let reply = server
        .call(&manager.secret, Method::GET, &path, Value::Null)
        .await;
    reply.expect(StatusCode::OK);
    assert!(!reply.text.contains("\"secret\""));
    let data = reply.body["data"].as_array().unwrap();
    let id = |row: &Value| row["id"].as_str().unwrap().to_owned();
    Page {
        ids: data.iter().map(id).collect(),
        next: reply.body["next_cursor"].as_str().map(str::to_owned),
    }
}

async fn make(server: &Server, manager: &Key, count: usize) -> Vec<String> {
    let mut made = Vec::new();
    for _ in 0..count {
        // A millisecond apart at least: ids made within one have no order.
        server.advance(1);
        made.push(server.key_with(manager, &["a"]).await.id);
    }
    made
}

async fn revoke(server: &Server, manager: &Key, id: &str) {
    let path = format!("/v1/api-keys/{id}/revoke");
    let revoked = server
        .call(&manager.secret, Method::POST, &path, Value::Null)
        .await;
    revoked.expect(StatusCode::OK);
}

async fn each_status_has_its_list(server: Server) {
    let acme = server.organization("acme").await;
    let lasting = server.key_with(&acme, &["a"]).await.id;
    let brief = json!({ "name": "brief", "scopes": ["a"], "expires_in_days": 1 });
    let expired = server.key(&acme, brief.clone()).await.id;
    let revoked = server.key_with(&acme, &["a"]).await.id;
    let both = server.key(&acme, brief).await.id;
    revoke(&server, &acme, &revoked).await;
    revoke(&server, &acme, &both).await;

    let of = async |status: &str| -> BTreeSet<String> {
        let page = page(&server, &acme, &format!("?status={status}")).await;
        page.ids.into_iter().collect()
    };
    let set = |ids: &[&String]| ids.iter().map(|&id| id.clone()).collect::<BTreeSet<_>>();
    assert_eq!(of("active").await, set(&[&acme.id, &lasting, &expired]));
    server.advance(86_400);
    assert_eq!(of("active").await, set(&[&acme.id, &lasting]));
    assert_eq!(of("expired").await, set(&[&expired]));
    assert_eq!(of("revoked").await, set(&[&revoked, &both]));
    let all = set(&[&acme.id, &lasting, &expired, &revoked, &both]);
    assert_eq!(of("all").await, all);
}

async fn pages_hold_every_key_once_newest_first(server: Server) {
    let acme = server.organization("acme").await;
    let mut all = vec![acme.id.clone()];
    all.extend(make(&server, &acme, 6).await);
    all.reverse();
    for limit in [1, 2, 3, 6, 7, 8, 100] {
        let mut seen = Vec::new();
        let mut query = format!("?limit={limit}");
        loop {
            let page = page(&server, &acme, &query).await;
            assert!(page.ids.len() == limit || page.next.is_none());
            seen.extend(page.ids);
            let Some(next) = page.next else { break };
            query = format!("?limit={limit}&cursor={next}");
        }
        assert_eq!(seen, all, "limit {limit}");
    }
    // The one page that holds exactly all is the last one.
    assert_eq!(page(&server, &acme, "?limit=7").await.next, None);
}

async fn keys_that_come_and_go_between_pages_disturb_none(server: Server) {
    let acme = server.organization("acme").await;
    let old = make(&server, &acme, 9).await;
    let mut seen = Vec::new();
    let mut query = "?limit=3&status=active".to_owned();
    let mut gone = Vec::new();
    loop {
        let page = page(&server, &acme, &query).await;
        seen.extend(page.ids);
        let Some(next) = page.next else { break };
        // New keys come before the first page; the very key of the cursor is revoked, and one
        // that was not shown yet.
        make(&server, &acme, 2).await;
        revoke(&server, &acme, seen.last().unwrap()).await;
        if let Some(unseen) = old.iter().find(|&id| !seen.contains(id)) {
            revoke(&server, &acme, unseen).await;
            gone.push(unseen.clone());
        }
        query = format!("?limit=3&status=active&cursor={next}");
    }
    let mut expected: Vec<_> = old.iter().rev().chain([&acme.id]).cloned().collect();
    expected.retain(|id| !gone.contains(id));
    assert_eq!(seen, expected);
    assert!(!gone.is_empty());
}

async fn a_list_holds_no_key_of_another_organization(server: Server) {
    let acme = server.organization("acme").await;
    let other = server.organization("other").await;
    make(&server, &acme, 3).await;
    let theirs = make(&server, &other, 1).await;
    // Not even with a cursor of the other's.
    let cursor = page(&server, &acme, "?limit=1").await.next.unwrap();
    for query in [
        "?status=all".to_owned(),
        format!("?status=all&cursor={cursor}"),
    ] {
        let listed = page(&server, &other, &query).await.ids;
        assert!(
            listed
                .iter()
                .all(|id| *id == other.id || theirs.contains(id))
        );
    }
    let path = "/v1/organizations/other/api-keys?status=all";
    let listed = server.operate(Method::GET, path, Value::Null).await;
    assert_eq!(listed.body["data"].as_array().unwrap().len(), 2);
}

async fn what_a_list_does_not_know_is_refused(server: Server) {
    let acme = server.organization("acme").await;
    let keys = [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=1.5",
        "limit=",
        "limit=ten",
        "limit=99999999999999999999",
        "limit=1&limit=2",
        "cursor=",
        "cursor=key_",
        "cursor=x",
        "cursor=key_01arz3ndektsv4rrffq69g5fav",
        "cursor=%00",
        "cursor=%FF",
        "status=",
        "status=Active",
        "status=deleted",
        "status=all&status=all",
        "sort=",
        "sort=id",
        "search=",
        "search=%20",
        "search=a%00b",
        "external_id=",
        "role=A",
        "role=a&role=b",
        "scope=",
        "scope=a%20b",
        "scope=a..b",
        "created_by=key_1",
        "created_by=Operator",
        "created_by=operator:key_00000000000000000000000001",
        "expires_before=tomorrow",
        "metadata=a",
        "metadata[]=a",
        "metadata[a=b",
        "metadata[a]=",
        "metadata[a]=b&metadata[a]=b",
        "metadata[a]=b&metadata%5Ba%5D=c",
        "transitive=true",
        "include_creator=true",
        // Cursors of other making: no JSON, no place, a name that is none.
        "cursor=e30",
        "cursor=WyItY3JlYXRlZF9hdCJd",
        "sort=name&cursor=WyJuYW1lIiwiXHUwMDAwIiwia2V5XzAxQVJaM05ERUtUU1Y0UlJGRlE2OUc1RkFWIl0",
        "page=2",
        "offset=1",
        "Limit=1",
        "=",
        "limit",
    ];
    for query in keys {
        for path in ["/v1/api-keys", "/v1/organizations/acme/api-keys"] {
            let path = format!("{path}?{query}");
            let refused = server.operate(Method::GET, &path, Value::Null).await;
            refused.refuses(422, "invalid_query");
        }
    }
    for query in [
        "limit=0",
        "status=all",
        "cursor=Acme",
        "cursor=",
        "sort=name",
    ] {
        let path = format!("/v1/organizations?{query}");
        let refused = server.operate(Method::GET, &path, Value::Null).await;
        refused.refuses(422, "invalid_query");
    }
    // A cursor is of one order.
    let first = page(&server, &acme, "?limit=1&sort=created_at").await;
    assert_eq!(first.next, None, "there is one key");
    server.key_with(&acme, &["a"]).await;
    let sorts = [
        "created_at",
        "-created_at",
        "name",
        "-name",
        "expires_at",
        "-expires_at",
    ];
    for sort in sorts {
        let first = page(&server, &acme, &format!("?limit=1&sort={sort}")).await;
        let cursor = first.next.unwrap();
        for other in sorts {
            let path = format!("/v1/api-keys?sort={other}&cursor={cursor}");
            let reply = server
                .call(&acme.secret, Method::GET, &path, Value::Null)
                .await;
            if other == sort {
                reply.expect(StatusCode::OK);
            } else {
                reply.refuses(422, "invalid_query");
            }
        }
    }
}
