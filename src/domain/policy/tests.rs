//! Policies: their bounds, their edits, and which of two is the stricter.

use super::*;
use proptest::prelude::*;

fn policy(json: &Value) -> Result<Policy, serde_json::Error> {
    serde_json::from_value(json.clone())
}

#[test]
fn every_bound_has_bounds() {
    for (rule, least, most) in [
        ("max_key_lifetime_days", 1, 36_500),
        ("max_active_keys", 0, 1_000_000),
        ("min_prefix_ipv4", 0, 32),
        ("min_prefix_ipv6", 0, 128),
        ("token_lifetime_seconds", 60, 3_600),
        ("revoke_unused_after_days", 8, 3_650),
    ] {
        for good in [least, most] {
            assert!(policy(&json!({ rule: good })).is_ok(), "{rule}: {good}");
        }
        for bad in [
            json!(least - 1),
            json!(most + 1),
            json!(1.5),
            json!("9"),
            json!(true),
        ] {
            let refused = policy(&json!({ rule: bad })).unwrap_err().to_string();
            let told = format!("write a whole number from {least} to {most}");
            assert!(refused.contains(&told), "{rule}: {refused}");
        }
    }
    for bad in [
        json!([]),
        json!(["/api"]),
        json!("urn:a"),
        json!(["urn:a#x"]),
        json!([1]),
    ] {
        assert!(
            policy(&json!({ "allowed_audiences": bad })).is_err(),
            "{bad}"
        );
    }
    assert!(policy(&json!({ "require_expiry": 1 })).is_err());
    assert!(policy(&json!({ "no_such_rule": 1 })).is_err());
}

#[test]
fn an_edit_changes_what_it_says() {
    let before = policy(&json!({ "max_active_keys": 5, "require_expiry": true })).unwrap();
    let edit: PolicyEdit =
        serde_json::from_str(r#"{"max_active_keys":null,"min_prefix_ipv4":8}"#).unwrap();
    let after = edit.apply(&before);
    let expected = json!({ "require_expiry": true, "min_prefix_ipv4": 8 });
    assert_eq!(json!(after), expected);
    assert_eq!(
        Value::Object(before.differences(&after)),
        json!({ "max_active_keys": { "from": 5, "to": null },
            "min_prefix_ipv4": { "from": null, "to": 8 } })
    );
}

#[test]
fn only_what_is_edited_is_held_against_the_bound() {
    let bound = policy(&json!({ "max_active_keys": 5, "require_expiry": true })).unwrap();
    let old = policy(&json!({ "max_active_keys": 9 })).unwrap();
    let more = policy(&json!({ "max_active_keys": 9, "min_prefix_ipv4": 1 })).unwrap();
    assert_eq!(more.loosened(&old, &bound), None);
    let looser = more.loosened(&Policy::default(), &bound).unwrap();
    assert_eq!((looser.rule, &*looser.bound), (Rule::MaxActiveKeys, "5"));
    let off = policy(&json!({ "require_expiry": false })).unwrap();
    let looser = off.loosened(&old, &bound).unwrap();
    assert_eq!((looser.rule, &*looser.bound), (Rule::RequireExpiry, "true"));
}

fn some_policy() -> impl Strategy<Value = Policy> {
    let number = |range: std::ops::RangeInclusive<u32>| prop::option::of(range);
    let rate = || prop::option::of((1u32..9, 1u32..9));
    let numbers = (
        number(1..=9),
        number(0..=9),
        number(0..=32),
        number(0..=128),
    );
    let more = (number(60..=70), number(8..=12), rate(), rate());
    let flags = prop::array::uniform4(prop::option::of(any::<bool>()));
    let audiences = prop::option::of(prop::sample::subsequence(vec!["urn:a", "urn:b"], 1..=2));
    (numbers, more, flags, audiences).prop_map(|(numbers, more, flags, audiences)| {
        let rate = |rate: Option<(u32, u32)>| {
            rate.map(|(limit, window)| json!({ "limit": limit, "window_seconds": window }))
        };
        let all = json!({
            "max_key_lifetime_days": numbers.0, "max_active_keys": numbers.1,
            "min_prefix_ipv4": numbers.2, "min_prefix_ipv6": numbers.3,
            "token_lifetime_seconds": more.0, "revoke_unused_after_days": more.1,
            "default_rate_limit": rate(more.2), "max_rate_limit": rate(more.3),
            "require_expiry": flags[0], "require_networks": flags[1],
            "own_issuer_only": flags[2], "exchange_only": flags[3],
            "allowed_audiences": audiences,
        });
        policy(&all).unwrap()
    })
}

proptest! {
    #[test]
    fn the_effective_policy_is_never_looser_than_either(
        operator in some_policy(),
        own in some_policy(),
    ) {
        let both = own.stricter(&operator);
        for bound in [&operator, &own] {
            prop_assert_eq!(both.loosened(&Policy::default(), bound), None);
            let (Value::Object(both), Value::Object(bound)) = (json!(both), json!(bound)) else {
                unreachable!()
            };
            prop_assert!(bound.keys().all(|rule| both.contains_key(rule)));
        }
        // Nor is it stricter than needed: it is one of them where one is within the other.
        prop_assert_eq!(both.stricter(&own), both.clone());
        prop_assert_eq!(own.stricter(&own), own);
    }

    #[test]
    fn a_stricter_policy_lifts_nothing(before in some_policy(), more in some_policy()) {
        let effective = |own: &Policy| Effective::of(&Policy::default(), own);
        let after = effective(&before.stricter(&more));
        prop_assert_eq!(effective(&before).lifted(&after), None);
    }
}

#[test]
fn a_rule_that_binds_keys_in_force_is_lifted_by_whatever_no_longer_says_it() {
    let effective = |own: Value| Effective::of(&Policy::default(), &policy(&own).unwrap());
    let audiences = json!({ "allowed_audiences": ["urn:a", "urn:b"] });
    for (before, after, lifted) in [
        (
            json!({ "exchange_only": true }),
            json!({}),
            Some(Rule::ExchangeOnly),
        ),
        (
            json!({ "exchange_only": true }),
            json!({ "exchange_only": false }),
            Some(Rule::ExchangeOnly),
        ),
        (json!({ "exchange_only": false }), json!({}), None),
        (
            json!({ "own_issuer_only": true }),
            json!({}),
            Some(Rule::OwnIssuerOnly),
        ),
        (audiences.clone(), json!({}), Some(Rule::AllowedAudiences)),
        (
            audiences.clone(),
            json!({ "allowed_audiences": ["urn:b", "urn:c"] }),
            Some(Rule::AllowedAudiences),
        ),
        (audiences, json!({ "allowed_audiences": ["urn:b"] }), None),
        // With others, it is one of these that is told: it concerns every key.
        (
            json!({ "exchange_only": true, "own_issuer_only": true }),
            json!({}),
            Some(Rule::OwnIssuerOnly),
        ),
    ] {
        let found = effective(before.clone()).lifted(&effective(after.clone()));
        assert_eq!(found, lifted, "{before} {after}");
    }
}
