//! What is remembered of what gateways demand, and what is not.

use axum::http::Request;

use super::*;

fn parts(query: &str, lines: &[&str]) -> Parts {
    let mut request = Request::get(format!("/gateway/verify?{query}"));
    for line in lines {
        request = request.header(REQUIRE_SCOPE, *line);
    }
    request.body(()).unwrap().into_parts().0
}

fn audiences() -> Audiences {
    let platform = vec!["https://api.example".parse().unwrap()];
    Audiences::new(platform, &"https://auth.example".parse().unwrap()).unwrap()
}

fn remembered_by(demands: &Demands) -> usize {
    match demands {
        Demands::InQuery(known) => known.slots.iter().filter_map(OnceLock::get).count(),
        Demands::InHeaders => 0,
    }
}

#[test]
fn what_a_query_string_says_is_the_same_each_time_and_what_headers_add_is_forgotten() {
    let (demands, audiences) = (Demands::in_query(), audiences());
    let said = "scope=read:a&exchange=true&audience=https%3A%2F%2Fapi.example";
    let read = |lines: &[&str]| demands.read(&parts(said, lines), &audiences).unwrap();
    let alone = read(&[]);
    assert_eq!(alone.scopes.to_parameter(), "read:a");
    assert!(alone.exchange && alone.audience.is_some());
    assert_eq!(
        read(&["write", "read:b"]).scopes.to_parameter(),
        "read:a write read:b"
    );
    assert_eq!(read(&[]), alone);
    assert_eq!(remembered_by(&demands), 1);
}

#[test]
fn nothing_is_remembered_of_what_is_wrong_or_long() {
    let (demands, audiences) = (Demands::in_query(), audiences());
    let long = format!("scope={}", ["read"; 64].join("+")) + &"&scope=".repeat(40);
    for _ in 0..2 {
        assert!(
            demands
                .read(&parts("scope=read&x=1", &[]), &audiences)
                .is_err()
        );
        assert!(
            demands
                .read(&parts("scope=read", &["a b  c"]), &audiences)
                .is_err()
        );
        let read = demands.read(&parts(&long, &[]), &audiences).unwrap();
        assert_eq!(read.scopes.to_parameter(), "read");
    }
    assert_eq!(
        remembered_by(&demands),
        1,
        "of a bad header the query is good"
    );
}

#[test]
fn what_finds_no_room_is_read_each_time() {
    let (demands, audiences) = (
        Demands::InQuery(Remembered::with_room_for(2 * PLACES)),
        audiences(),
    );
    for _ in 0..2 {
        for n in 0..100 {
            let scope = format!("read:{n}");
            let read = demands.read(&parts(&format!("scope={scope}"), &[]), &audiences);
            assert_eq!(read.unwrap().scopes.to_parameter(), scope);
        }
    }
    assert_eq!(remembered_by(&demands), 2 * PLACES);
}
