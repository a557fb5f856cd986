//! The promises of scopes: the published vectors, and their laws checked against brute force.

use std::str::FromStr;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Scope, ScopeError, ScopeSet};
use crate::domain::management::ManagementAction;

#[derive(Deserialize)]
struct Vectors {
    management_actions: Vec<String>,
    parse: Vec<ParseVector>,
    covers: Vec<CoversVector>,
}

#[derive(Deserialize)]
struct ParseVector {
    input: Value,
    canonical: Option<String>,
    error: Option<bool>,
}

#[derive(Deserialize)]
struct CoversVector {
    held: Scope,
    asked: Scope,
    covers: bool,
    why: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../docs/scope-vectors.json")).unwrap()
}

fn scope(text: &str) -> Scope {
    text.parse().unwrap()
}

#[test]
fn the_published_management_actions_are_all_of_them() {
    let actions = ManagementAction::ALL.map(ManagementAction::as_str);
    assert_eq!(vectors().management_actions, actions);
}

#[test]
fn the_published_parse_vectors_hold() {
    for ParseVector {
        input,
        canonical,
        error,
    } in vectors().parse
    {
        assert_eq!(canonical.is_none(), error == Some(true), "{input}");
        let parsed = serde_json::from_value::<Scope>(input.clone()).ok();
        let text = parsed.as_ref().map(Scope::to_string);
        assert_eq!(text, canonical, "{input}");
        if let Value::String(input) = input {
            assert_eq!(Scope::from_str(&input).ok(), parsed, "{input}");
        }
    }
}

#[test]
fn the_published_covers_vectors_hold() {
    for vector in vectors().covers {
        let (held, asked) = (vector.held, vector.asked);
        assert_eq!(
            held.covers(&asked),
            vector.covers,
            "{held} {asked}: {}",
            vector.why
        );
    }
}

#[test]
fn a_scope_never_holds_or_repeats_an_api_key() {
    let key = "tmsk_01JABCDEFGHJKMNPQRSTVWXYZ0_abcdefghijklmnop";
    for input in [
        json!(key),
        json!(format!("read:{key}")),
        json!(format!("read:projects/{key}/**")),
        json!(format!("READ {key}")),
        json!({ "action": key }),
        json!({"action": "read", "resource": key}),
        json!({"action": "read", key: "a"}),
    ] {
        let refusal = serde_json::from_value::<Scope>(input).unwrap_err();
        assert!(!refusal.to_string().contains(key), "{refusal}");
    }
}

#[test]
fn a_long_text_is_not_repeated_in_its_refusal() {
    for input in [
        json!("X".repeat(200)),
        json!("X".repeat(100_000)),
        json!(format!("read:{}", "*x".repeat(90))),
        json!({"action": "read", "X".repeat(100_000): 1}),
    ] {
        let refusal = serde_json::from_value::<Scope>(input).unwrap_err();
        assert!(refusal.to_string().len() < 300, "{refusal}");
    }
}

#[test]
fn a_field_is_given_once() {
    let twice = r#"{"action":"read","resource":"a","resource":"b"}"#;
    let refusal = serde_json::from_str::<Scope>(twice).unwrap_err();
    assert!(refusal.to_string().contains("duplicate field `resource`"));
}

#[test]
fn a_refusal_says_what_to_write() {
    for (text, advice) in [
        ("Read", "`Read` is not an action: write words of a-z"),
        ("fi*", "end in `.*`"),
        ("read:a//b", "single slashes"),
        ("read:a b", "a space does not belong here"),
        ("read:a:b", "`:` does not belong here"),
        ("a\"b", "the character U+0022 does not belong here"),
    ] {
        let refusal = Scope::from_str(text).unwrap_err().to_string();
        assert!(refusal.contains(advice), "{refusal}");
    }
}

/// Raw texts over a small alphabet, so that they often meet: the words make one
/// management action, `usage.read`.
fn raw_scope() -> impl Strategy<Value = String> {
    let words = prop::collection::vec(prop::sample::select(vec!["usage", "read", "a"]), 1..=3);
    let action = prop_oneof![
        1 => Just("*".to_owned()),
        4 => (words, any::<bool>()).prop_map(|(words, is_open)| {
            words.join(".") + if is_open { ".*" } else { "" }
        }),
    ];
    let segments = prop::collection::vec(prop::sample::select(vec!["x", "y", "*"]), 1..=3);
    let filter = prop_oneof![
        2 => Just(String::new()),
        1 => Just(":**".to_owned()),
        6 => (segments, any::<bool>()).prop_map(|(segments, is_open)| {
            format!(":{}{}", segments.join("/"), if is_open { "/**" } else { "" })
        }),
    ];
    (action, filter).prop_map(|(action, filter)| action + &filter)
}

fn scope_set() -> impl Strategy<Value = ScopeSet> {
    prop::collection::vec(raw_scope(), 0..6)
        .prop_map(|texts| ScopeSet::new(texts.iter().map(|text| scope(text))).unwrap())
}

/// Every concrete action or resource of one to four of these words.
fn paths(words: &[&'static str]) -> Vec<Vec<&'static str>> {
    let mut all: Vec<Vec<&str>> = vec![vec![]];
    for start in 0..(0..4).map(|depth| words.len().pow(depth)).sum() {
        let longer = words.iter().map(|word| [&all[start][..], &[word]].concat());
        let longer: Vec<_> = longer.collect();
        all.extend(longer);
    }
    all.split_off(1)
}

/// The concrete pairs that a raw text permits, by the letter of its definition.
fn permitted(raw: &str) -> Vec<bool> {
    let (action, filter) = raw.split_once(':').unwrap_or((raw, "**"));
    let actions = paths(&["usage", "read", "a"]);
    let resources = paths(&["x", "y"]);
    let permits_action = |concrete: &Vec<&str>| match action.strip_suffix(".*") {
        Some(words) => concrete.join(".").starts_with(&format!("{words}.")),
        None if action == "*" => *concrete != ["usage", "read"],
        None => concrete.join(".") == action,
    };
    let permits_resource = |concrete: &Vec<&str>| {
        let pattern: Vec<&str> = filter.split('/').collect();
        pattern == ["*"] || matches(&pattern, concrete)
    };
    let resources: Vec<bool> = resources.iter().map(permits_resource).collect();
    let permits_pairs = |action| resources.iter().map(move |resource| action && *resource);
    actions
        .iter()
        .map(permits_action)
        .flat_map(permits_pairs)
        .collect()
}

fn matches(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        (["**"], _) | ([], []) => true,
        (["*", pattern @ ..], [_, path @ ..]) => matches(pattern, path),
        ([segment, pattern @ ..], [first, path @ ..]) => segment == first && matches(pattern, path),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn covering_is_permitting_all_that_is_asked(held in raw_scope(), asked in raw_scope()) {
        let pairs: Vec<_> = permitted(&held).into_iter().zip(permitted(&asked)).collect();
        let is_included = pairs.iter().all(|(held, asked)| *held || !asked);
        prop_assert_eq!(scope(&held).covers(&scope(&asked)), is_included);
        // And equal canonical texts are equal meanings.
        let is_same = pairs.iter().all(|(held, asked)| held == asked);
        prop_assert_eq!(scope(&held) == scope(&asked), is_same);
    }

    #[test]
    fn covering_is_a_partial_order(raw in prop::collection::vec(raw_scope(), 8)) {
        let scopes: Vec<Scope> = raw.iter().map(|raw| scope(raw)).collect();
        for a in &scopes {
            prop_assert!(a.covers(a), "{a}");
            for b in &scopes {
                prop_assert!(a == b || !(a.covers(b) && b.covers(a)), "{a} {b}");
                for c in &scopes {
                    prop_assert!(a.covers(c) || !(a.covers(b) && b.covers(c)), "{a} {b} {c}");
                }
            }
        }
    }

    #[test]
    fn narrowing_never_widens(held in scope_set(), wished in scope_set(), probe in raw_scope()) {
        let narrowed = wished.iter().filter(|scope| held.covers(scope)).cloned();
        let narrowed = ScopeSet::new(narrowed).unwrap();
        prop_assert_eq!(held.uncovered(&narrowed), None);
        for asked in wished.iter().chain(&narrowed).chain([&scope(&probe)]) {
            prop_assert!(held.covers(asked) || !narrowed.covers(asked), "{held:?} {asked}");
        }
    }

    #[test]
    fn a_canonical_text_reads_back_as_itself(raw in raw_scope(), set in scope_set()) {
        let parsed = scope(&raw);
        prop_assert_eq!(&scope(parsed.as_str()), &parsed);
        prop_assert_eq!(&serde_json::from_value::<Scope>(json!(parsed)).unwrap(), &parsed);
        prop_assert_eq!(&serde_json::from_value::<ScopeSet>(json!(set)).unwrap(), &set);
        if !set.is_empty() {
            prop_assert_eq!(ScopeSet::parse_parameter(&set.to_parameter()), Ok(set));
        }
    }

    #[test]
    fn any_text_is_a_scope_or_refused_in_words_oauth_can_carry(text in "\\PC{0,20}|[a-c.:*/ ~]{0,90}|.{0,9}") {
        let allowed = |c: char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
        match text.parse::<Scope>() {
            Ok(scope) => prop_assert!(scope.as_str().chars().all(|c| allowed(c) && c != ' ')),
            Err(refusal) => prop_assert!(refusal.to_string().chars().all(allowed), "{refusal}"),
        }
        let refusal = ScopeSet::parse_parameter(&text).err();
        prop_assert!(refusal.is_none_or(|refusal| refusal.to_string().chars().all(allowed)));
    }
}

#[test]
fn every_refusal_of_a_set_is_in_words_oauth_can_carry() {
    for refusal in [
        ScopeError::TooMany,
        ScopeError::Separator,
        ScopeError::ApiKey,
    ] {
        let text = refusal.to_string();
        assert!(text.is_ascii() && !text.contains(['"', '\\']), "{text}");
    }
}
