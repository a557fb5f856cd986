//! Filters and orders of lists of API keys: what is shown is what was asked for, all of it once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenmint::store::api_keys::LISTS;

use crate::on_both_engines;
use crate::support::many_keys;
use crate::support::server::{Key, Place, Server};

on_both_engines!(
    each_filter_holds_for_what_is_shown_and_for_nothing_else,
    a_search_takes_its_characters_for_themselves,
    metadata_is_compared_entry_by_entry,
    a_key_unused_since_an_instant_was_made_before_it_and_not_used_after,
    every_order_shows_every_key_once,
    what_happens_between_pages_disturbs_no_order,
    a_scope_is_found_among_thousands_page_by_page,
    a_deep_page_costs_what_the_first_does,
);

/// What a list shows, page by page: ids in its order. `between` runs before each further page.
async fn walk(
    server: &Server,
    manager: &Key,
    query: &[(&str, &str)],
    between: impl AsyncFn(&[String]),
) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut request = server.request(Method::GET, "/v1/api-keys").query(query);
        if let Some(cursor) = &cursor {
            request = request.query(&[("cursor", cursor)]);
        }
        let request = request.bearer_auth(&manager.secret);
        let reply = crate::support::server::Reply::of(request).await;
        reply.expect(StatusCode::OK);
        let data = reply.body["data"].as_array().unwrap();
        seen.extend(
            data.iter()
                .map(|row| row["id"].as_str().unwrap().to_owned()),
        );
        match reply.body["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return seen,
        }
        between(&seen).await;
    }
}

async fn listed(server: &Server, manager: &Key, query: &[(&str, &str)]) -> BTreeSet<String> {
    let ids = walk(server, manager, query, async |_| {}).await;
    let set: BTreeSet<_> = ids.iter().cloned().collect();
    assert_eq!(set.len(), ids.len(), "each once: {query:?}");
    set
}

async fn post(server: &Server, manager: &Key, path: &str) {
    let done = server
        .call(&manager.secret, Method::POST, path, Value::Null)
        .await;
    done.expect(StatusCode::OK);
}

async fn each_filter_holds_for_what_is_shown_and_for_nothing_else(server: Server) {
    let acme = server.organization("acme").await;
    server
        .place()
        .execute(
            "INSERT INTO roles (organization_id, name, scopes, created_at, revision)
             VALUES ('acme', 'reader', 'files.read logs:a/**', 1, 1)",
        )
        .await;
    let manager = json!({ "name": "Manager", "scopes": ["*", "api_keys.*"] });
    let manager = server.key(&acme, manager).await;
    let alpha = json!({ "name": "Alpha CI", "scopes": ["files.*"], "external_id": "e1",
        "metadata": { "plan": "pro", "region": "eu" }, "expires_at": "2040-01-01T00:00:00Z" });
    let alpha = server.key(&acme, alpha).await;
    let beta = json!({ "name": "beta", "scopes": ["write"], "roles": ["reader"],
        "external_id": "e2", "metadata": { "plan": "pro" }, "expires_at": "2041-01-01T00:00:00Z" });
    let beta = server.key(&manager, beta).await;
    let gamma = json!({ "name": "gamma ci", "scopes": ["files.read:x/*"], "external_id": "e1",
        "metadata": { "plan": "free" } });
    let gamma = server.key(&manager, gamma).await;
    let body = json!({ "name": "delta", "scopes": ["files.write"], "roles": ["reader"] });
    let path = "/v1/organizations/acme/api-keys";
    let delta = Key::of(&server.operate(Method::POST, path, body).await.body);
    post(
        &server,
        &acme,
        &format!("/v1/api-keys/{}/disable", gamma.id),
    )
    .await;

    let names: BTreeMap<_, _> = [
        (&acme.id, "acme"),
        (&manager.id, "manager"),
        (&alpha.id, "alpha"),
        (&beta.id, "beta"),
        (&gamma.id, "gamma"),
        (&delta.id, "delta"),
    ]
    .into();
    let lower = beta.id.to_ascii_lowercase();
    let (by_manager, beta_id) = (manager.id.clone(), beta.id.clone());
    let cases: Vec<(Vec<(&str, &str)>, &str)> = vec![
        (vec![], "acme alpha beta delta manager"),
        (vec![("status", "disabled")], "gamma"),
        (
            vec![("status", "unrevoked")],
            "acme alpha beta delta gamma manager",
        ),
        (vec![("search", "CI"), ("status", "all")], "alpha gamma"),
        (vec![("search", " ci "), ("status", "all")], "alpha gamma"),
        (vec![("search", &beta_id)], "beta"),
        (vec![("search", &lower)], "beta"),
        (vec![("search", &beta_id[1..])], ""),
        (vec![("search", "key_")], "acme alpha beta delta manager"),
        (vec![("external_id", "e1")], "alpha"),
        (
            vec![("external_id", "e1"), ("status", "all")],
            "alpha gamma",
        ),
        (vec![("external_id", "e")], ""),
        (vec![("external_id", "E1")], ""),
        (vec![("metadata[plan]", "pro")], "alpha beta"),
        (
            vec![("metadata[plan]", "pro"), ("metadata[region]", "eu")],
            "alpha",
        ),
        (vec![("metadata[plan]", "Pro")], ""),
        (vec![("metadata[region]", "pro")], ""),
        (vec![("role", "reader")], "beta delta"),
        (vec![("role", "reade")], ""),
        (
            vec![("scope", "files.read:x/1")],
            "acme alpha beta delta manager",
        ),
        (
            vec![("scope", "files.read:x/1"), ("status", "disabled")],
            "gamma",
        ),
        (
            vec![("scope", "files.read")],
            "acme alpha beta delta manager",
        ),
        (vec![("scope", "files.*")], "acme alpha manager"),
        (vec![("scope", "files")], "acme manager"),
        (vec![("scope", "logs:a/b")], "acme beta delta manager"),
        (vec![("scope", "api_keys.read")], "acme manager"),
        (vec![("created_by", &by_manager)], "beta"),
        (
            vec![("created_by", &by_manager), ("status", "all")],
            "beta gamma",
        ),
        (vec![("created_by", "operator")], "acme delta"),
        (vec![("created_by", &acme.id)], "alpha manager"),
        (vec![("expires_before", "2040-06-01T00:00:00Z")], "alpha"),
        (vec![("expires_before", "2040-01-01T00:00:00Z")], ""),
        (vec![("expires_before", "2040-01-01T00:00:01Z")], "alpha"),
        (
            vec![("expires_before", "9999-12-31T23:59:59Z")],
            "alpha beta",
        ),
        (
            vec![
                ("role", "reader"),
                ("external_id", "e2"),
                ("created_by", &by_manager),
            ],
            "beta",
        ),
        (vec![("role", "reader"), ("external_id", "e1")], ""),
        (
            vec![
                ("role", "reader"),
                ("created_by", "operator"),
                ("search", "DEL"),
            ],
            "delta",
        ),
        (
            vec![
                ("scope", "files.read"),
                ("metadata[plan]", "pro"),
                ("search", "a"),
            ],
            "alpha beta",
        ),
    ];
    for (query, expected) in cases {
        let expected: Vec<_> = expected.split_whitespace().collect();
        for sort in [
            "-created_at",
            "created_at",
            "name",
            "-name",
            "expires_at",
            "-expires_at",
        ] {
            for limit in ["2", "100"] {
                let mut query = query.clone();
                query.extend([("sort", sort), ("limit", limit)]);
                if limit == "100" && sort != "name" {
                    continue;
                }
                let mut shown: Vec<_> = listed(&server, &acme, &query)
                    .await
                    .iter()
                    .map(|id| names[id])
                    .collect();
                shown.sort_unstable();
                assert_eq!(shown, expected, "{query:?}");
            }
        }
    }
    // What is another's makes no difference, and is not shown as such.
    let other = server.organization("other").await;
    let theirs = server.key_with(&other, &["read"]).await;
    let operator = server.operator_key().id;
    for maker in [&theirs.id, &other.id, &operator] {
        assert!(
            listed(&server, &acme, &[("created_by", maker)])
                .await
                .is_empty()
        );
    }
    assert!(
        listed(&server, &acme, &[("search", &theirs.id)])
            .await
            .is_empty()
    );
}

async fn a_search_takes_its_characters_for_themselves(server: Server) {
    let acme = server.organization("acme").await;
    let names = [
        "50%_off!", "50x_off!", "50%xoff!", "a\\b", "a'b", "Žofie", "plain",
    ];
    let mut ids = BTreeMap::new();
    for name in names {
        let body = json!({ "name": name, "scopes": ["read"] });
        ids.insert(name, server.key(&acme, body).await.id);
    }
    for (search, expected) in [
        ("50%_OFF!", vec!["50%_off!"]),
        ("%", vec!["50%_off!", "50%xoff!"]),
        ("_", vec!["50%_off!", "50x_off!"]),
        ("!", vec!["50%_off!", "50x_off!", "50%xoff!"]),
        ("\\", vec!["a\\b"]),
        ("'", vec!["a'b"]),
        ("Žofi", vec!["Žofie"]),
        // Letters beyond A to Z are what they are.
        ("žofi", vec![]),
    ] {
        let shown = listed(&server, &acme, &[("search", search)]).await;
        let expected: BTreeSet<_> = expected.iter().map(|name| ids[name].clone()).collect();
        assert_eq!(shown, expected, "{search}");
    }
}

async fn metadata_is_compared_entry_by_entry(server: Server) {
    let acme = server.organization("acme").await;
    // What looks like the entry `":":","` to whoever looks at the text alone.
    let like = json!({ "name": "like", "scopes": ["a"], "metadata": { "x,": ":", "y": "z" } });
    server.key(&acme, like).await;
    let quoted = json!({ "name": "quoted", "scopes": ["a"], "metadata": { "a\"k": "v" } });
    server.key(&acme, quoted).await;
    let real = json!({ "name": "real", "scopes": ["a"],
        "metadata": { ":": ",", "k": "v", "p%_": "100%", "é": "\\\"", "last": "x" } });
    let real = server.key(&acme, real).await.id;
    for (name, value) in [
        (":", ","),
        ("k", "v"),
        ("p%_", "100%"),
        ("é", "\\\""),
        ("last", "x"),
    ] {
        let parameter = format!("metadata[{name}]");
        for more in [None, Some(("metadata[last]", "x"))] {
            let mut query = vec![(parameter.as_str(), value)];
            query.extend(more.filter(|_| name != "last"));
            let shown = listed(&server, &acme, &query).await;
            assert_eq!(shown, BTreeSet::from([real.clone()]), "{query:?}");
        }
    }
    for (name, value) in [
        ("metadata[p%_]", "100x"),
        ("metadata[K]", "v"),
        ("metadata[k]", "V"),
    ] {
        assert!(listed(&server, &acme, &[(name, value)]).await.is_empty());
    }
}

async fn a_key_unused_since_an_instant_was_made_before_it_and_not_used_after(server: Server) {
    let acme = server.organization("acme").await;
    let used = server.key_with(&acme, &["read"]).await;
    let idle = server.key_with(&acme, &["read"]).await;
    server.exchange(&used, &[]).await.expect(StatusCode::OK);
    server.advance(1_000);
    let since = server.clock.now().to_string();
    server.advance(1_000);
    server.exchange(&used, &[]).await.expect(StatusCode::OK);
    let newer = server.key_with(&acme, &["read"]).await;
    let query = [("unused_since", since.as_str()), ("scope", "read")];
    // Uses are written a little later than they happen.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let shown = listed(&server, &acme, &query).await;
        assert!(shown.contains(&idle.id) && !shown.contains(&newer.id));
        if !shown.contains(&used.id) {
            break;
        }
        assert!(Instant::now() < deadline, "its use was never seen");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let now = server.clock.now().plus(Duration::from_secs(1)).to_string();
    let shown = listed(&server, &acme, &[("unused_since", now.as_str())]).await;
    assert!(shown.contains(&used.id) && shown.contains(&newer.id));
}

async fn every_order_shows_every_key_once(server: Server) {
    let acme = server.organization("acme").await;
    for (at, name) in ["b", "A", "a", "B", "ä", "Z", "_", "~", "a", "é"]
        .iter()
        .enumerate()
    {
        server.advance(1);
        let mut body = json!({ "name": name, "scopes": ["read"] });
        if at % 3 != 0 {
            body["expires_in_days"] = json!(1 + at % 4);
        }
        server.key(&acme, body).await;
    }
    let all = server
        .call(
            &acme.secret,
            Method::GET,
            "/v1/api-keys?limit=100",
            Value::Null,
        )
        .await;
    let all = all.body["data"].as_array().unwrap().clone();
    let text = |row: &Value, member: &str| row[member].as_str().map(str::to_owned);
    let expected = |sort: &str| -> Vec<String> {
        let mut rows: Vec<_> = all
            .iter()
            .map(|row| {
                let id = text(row, "id").unwrap();
                let value = match sort.trim_start_matches('-') {
                    "created_at" => String::new(),
                    "name" => text(row, "name").unwrap().to_ascii_lowercase(),
                    _ => text(row, "expires_at").unwrap_or_else(|| "never".to_owned()),
                };
                (value, id)
            })
            .collect();
        rows.sort();
        if sort.starts_with('-') {
            rows.reverse();
        }
        rows.into_iter().map(|(_, id)| id).collect()
    };
    for sort in [
        "created_at",
        "-created_at",
        "name",
        "-name",
        "expires_at",
        "-expires_at",
    ] {
        for limit in ["1", "2", "3", "5", "100"] {
            let query = [("sort", sort), ("limit", limit)];
            let shown = walk(&server, &acme, &query, async |_| {}).await;
            assert_eq!(shown, expected(sort), "{sort}, {limit}");
        }
    }
}

async fn what_happens_between_pages_disturbs_no_order(server: Server) {
    for sort in [
        "created_at",
        "-created_at",
        "name",
        "-name",
        "expires_at",
        "-expires_at",
    ] {
        let name = format!("o{}", sort.replace('-', "z"));
        let acme = server.organization(&name).await;
        let mut stay = BTreeSet::from([acme.id.clone()]);
        let mut others = Vec::new();
        for at in 0..12 {
            server.advance(1);
            let mut body = json!({ "name": format!("k{}", at % 5), "scopes": ["read"] });
            if at % 2 == 0 {
                body["expires_in_days"] = json!(1 + at % 3);
            }
            let made = server.key(&acme, body).await.id;
            if at % 3 == 0 {
                others.push(made);
            } else {
                stay.insert(made);
            }
        }
        let others = std::sync::Mutex::new(others);
        let query = [("sort", sort), ("limit", "2")];
        let shown = walk(&server, &acme, &query, async |_| {
            let body = json!({ "name": "k2", "scopes": ["read"], "expires_in_days": 2 });
            let made = server.key(&acme, body).await.id;
            let other = others.lock().unwrap().pop();
            let Some(other) = other else { return };
            let path = format!("/v1/api-keys/{other}");
            let renamed = json!({ "name": "k0", "expires_in_days": 1 });
            let done = server
                .call(&acme.secret, Method::PATCH, &path, renamed)
                .await;
            done.expect(StatusCode::OK);
            post(&server, &acme, &format!("/v1/api-keys/{made}/revoke")).await;
        })
        .await;
        for id in &stay {
            let times = shown.iter().filter(|shown| *shown == id).count();
            assert_eq!(times, 1, "{sort}");
        }
    }
}

async fn a_scope_is_found_among_thousands_page_by_page(server: Server) {
    let acme = server.organization("acme").await;
    many_keys::add(server.place(), "acme", 0, 12_000).await;
    server
        .place()
        .execute(
            "UPDATE api_keys SET scopes = '[\"rare\"]'
             WHERE id IN ('key_00000000000000000000000002', 'key_00000000000000000000011998')",
        )
        .await;
    for sort in ["-created_at", "name", "expires_at"] {
        let query = [("scope", "rare"), ("sort", sort)];
        let shown = listed(&server, &acme, &query).await;
        let expected = [
            acme.id.as_str(),
            "key_00000000000000000000000002",
            "key_00000000000000000000011998",
        ];
        assert_eq!(shown, expected.map(str::to_owned).into(), "{sort}");
    }
}

async fn a_deep_page_costs_what_the_first_does(server: Server) {
    let acme = server.organization("acme").await;
    many_keys::add(server.place(), "acme", 0, 20_000).await;
    server.place().execute("ANALYZE").await;
    for sort in ["-created_at", "name"] {
        let time = async |cursor: Option<&str>| {
            let mut times = Vec::new();
            let mut next = None;
            for _ in 0..9 {
                let mut path = format!("/v1/api-keys?status=all&limit=100&sort={sort}");
                if let Some(cursor) = cursor {
                    path = format!("{path}&cursor={cursor}");
                }
                let begun = Instant::now();
                let reply = server
                    .call(&acme.secret, Method::GET, &path, Value::Null)
                    .await;
                times.push(begun.elapsed());
                reply.expect(StatusCode::OK);
                next = reply.body["next_cursor"].as_str().map(str::to_owned);
            }
            times.sort();
            (times[4], next)
        };
        let (first, mut cursor) = time(None).await;
        for _ in 0..150 {
            let path = format!(
                "/v1/api-keys?status=all&limit=100&sort={sort}&cursor={}",
                cursor.unwrap()
            );
            let reply = server
                .call(&acme.secret, Method::GET, &path, Value::Null)
                .await;
            cursor = reply.body["next_cursor"].as_str().map(str::to_owned);
        }
        let (deep, _) = time(cursor.as_deref()).await;
        let bound = first * 5 + Duration::from_millis(20);
        assert!(deep < bound, "{sort}: {first:?}, then {deep:?}");
    }
}

/// Whatever is asked for, keys are found along an index.
#[tokio::test(flavor = "multi_thread")]
async fn postgresql_reads_every_list_along_an_index() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    let server = place.start().await;
    for organization in ["acme", "other", "third"] {
        server.organization(organization).await;
    }
    for (at, organization) in (0..).zip(["acme", "other", "third"]) {
        many_keys::add(server.place(), organization, at * 10_000, 4_000).await;
    }
    server.place().execute("ANALYZE").await;
    let bounds = "'active', '%', '%', '%', 9223372036854775807, 101";
    let behind = "'name 5', 4000000500, 'key_00000000000000000000002000', '', 9223372036854775807";
    // All but those that follow makers, who may have made all there is: no list asks for that.
    let lists = LISTS.iter().flatten().flatten();
    for text in lists.filter(|text| !text.contains("RECURSIVE")) {
        // Both as it is planned for these parameters and for any.
        for mode in ["force_custom_plan", "force_generic_plan"] {
            let plan = server
                .place()
                .explain(
                    &format!(
                        "SET plan_cache_mode = {mode};
                     PREPARE list (text, bigint, text, text, text, text, bigint, bigint, text,
                                   text, bigint, text, text, bigint) AS {text};"
                    ),
                    &format!("EXPLAIN EXECUTE list ('acme', 1000, {bounds}, 'e7', {behind})"),
                )
                .await;
            assert!(plan.contains("Index"), "{plan}");
            assert!(
                !plan.contains("Seq Scan on api_keys"),
                "{mode}: {text}\n{plan}"
            );
        }
    }
}
