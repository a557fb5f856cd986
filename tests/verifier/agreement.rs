//! The verifier and the mint's own check agree on every token, and with the rules as written.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tenmint::crypto::jose::trust::{self, Expected, TrustedKey};
use tenmint::domain::network::NetworkSet;
use tenmint::domain::signing_key::Algorithm;
use tenmint::verifier::{Request, Verifier};
use tokio::runtime::Runtime;

use crate::issuer::{AUDIENCE, Issuer, SigningKey};

/// One issuer for all cases.
struct World {
    runtime: Runtime,
    issuer: Issuer,
    /// Without leeway, as the mint's own check; the second remembers nothing.
    verifiers: [Verifier; 2],
    trusted: TrustedKey,
    stranger: SigningKey,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let issuer = runtime.block_on(Issuer::start());
    let verifier = |remembered| {
        let builder = issuer.builder().leeway(Duration::ZERO).allow_typ_jwt();
        builder.remember(remembered).build().unwrap()
    };
    let public = issuer.key.pair.public();
    let kid = issuer.key.kid.clone();
    World {
        verifiers: [verifier(10), verifier(0)],
        trusted: TrustedKey::new(kid, issuer.key.algorithm, &public).unwrap(),
        stranger: SigningKey::new(Algorithm::ES256),
        runtime,
        issuer,
    }
});

/// What a token says and who signs it, mostly as it should be.
#[derive(Clone, Debug)]
struct Case {
    genuine: bool,
    typ: &'static str,
    iss: &'static str,
    aud: Value,
    begins: i64,
    ends: i64,
    scope: &'static str,
    networks: Option<Value>,
    asked: &'static str,
    ip: IpAddr,
}

fn mostly<T: Clone + std::fmt::Debug + 'static>(good: T, others: Vec<T>) -> BoxedStrategy<T> {
    prop_oneof![4 => Just(good), 1 => prop::sample::select(others)].boxed()
}

fn cases() -> impl Strategy<Value = Case> {
    let aud = mostly(
        json!(AUDIENCE),
        vec![json!("https://x.example"), json!([AUDIENCE]), json!([])],
    );
    let networks = prop::sample::select(vec![
        None,
        Some(json!(["203.0.113.0/24"])),
        Some(json!(["203.0.113.0/25", "::/0"])),
        Some(json!([])),
        Some(json!(["203.0.113.1/24"])),
        Some(json!(null)),
    ]);
    let scope = prop::sample::select(vec!["read", "read:a/**", "*", "files.* read:a", ""]);
    let asked = prop::sample::select(vec!["read", "read:a", "read:a/b", "files.x", "usage.read"]);
    let ip = prop::sample::select(vec!["203.0.113.7", "203.0.113.200", "::1"]);
    (
        mostly(true, vec![false]),
        mostly("at+jwt", vec!["JWT", "x+jwt"]),
        mostly("", vec!["/orgs/acme", "/"]),
        aud,
        mostly(0, vec![-5, 2, 100]),
        mostly(600, vec![0, 1, -1]),
        (scope, networks, asked, ip),
    )
        .prop_map(|(genuine, typ, iss, aud, begins, ends, rest)| Case {
            genuine,
            typ,
            iss,
            aud,
            begins,
            ends,
            scope: rest.0,
            networks: rest.1,
            asked: rest.2,
            ip: rest.3.parse().unwrap(),
        })
}

fn token(world: &World, case: &Case) -> String {
    let issuer = &world.issuer;
    let now = issuer.clock.now().unix();
    let mut claims = issuer.claims(&json!({
        "iss": format!("{}{}", issuer.url, case.iss), "aud": case.aud, "scope": case.scope,
        "nbf": now + case.begins, "exp": now + case.ends,
    }));
    if let Some(networks) = &case.networks {
        claims["allowed_ip_cidrs"] = networks.clone();
    }
    let mut header = issuer.key.header();
    header["typ"] = case.typ.into();
    let signer = if case.genuine {
        &issuer.key
    } else {
        &world.stranger
    };
    signer.sign(&header, &claims)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn one_token_has_one_verdict(case in cases()) {
        let world = &*WORLD;
        let token = token(world, &case);
        let audience = AUDIENCE.parse().unwrap();
        let now = world.issuer.clock.now();
        let expected = Expected { issuer: &world.issuer.url, audience: &audience, now };
        let keys = std::slice::from_ref(&world.trusted);
        let by_the_mint = trust::verify(&token, keys, expected).is_ok();

        // By the rules as they are written, without a line of either.
        let is_good = case.genuine
            && case.typ != "x+jwt"
            && case.iss.is_empty()
            && (case.aud == json!(AUDIENCE) || case.aud == json!([AUDIENCE]))
            && case.begins <= 0
            && case.ends > 0;
        // To the mint, a token whose networks cannot be made out is none at all.
        let networks = case.networks.clone().map(serde_json::from_value::<NetworkSet>);
        let is_legible = !matches!(networks, Some(Err(_)));
        prop_assert_eq!(by_the_mint, is_good && is_legible, "the mint");

        let allowed = networks
            .is_none_or(|networks| networks.is_ok_and(|networks| networks.contains(case.ip)));
        let held: Vec<tenmint::domain::scope::Scope> =
            case.scope.split(' ').filter_map(|scope| scope.parse().ok()).collect();
        let covered = held.iter().any(|held| held.covers(&case.asked.parse().unwrap()));
        let request = Request { ip: Some(case.ip) };
        for verifier in world.verifiers.iter().chain(&world.verifiers) {
            let verdict = world.runtime.block_on(verifier.verify(&token, &request));
            prop_assert_eq!(verdict.is_ok(), is_good && allowed, "the verifier");
            if let Ok(verified) = verdict {
                prop_assert_eq!(verified.require(case.asked).is_ok(), covered);
            }
        }
    }
}
