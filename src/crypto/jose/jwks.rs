//! The JWKS document: what resource servers validate with (RFC 7517 §5).

use serde::Serialize;

use crate::domain::signing_key::{Algorithm, Kid, PublicJwk};

#[derive(Serialize)]
struct Jwks<'a> {
    keys: Vec<Jwk<'a>>,
}

#[derive(Serialize)]
struct Jwk<'a> {
    #[serde(flatten)]
    public: &'a PublicJwk,
    r#use: &'static str,
    alg: &'static str,
    kid: &'a Kid,
}

/// The document that publishes these keys.
#[must_use]
pub fn document(keys: &[(&Kid, Algorithm, &PublicJwk)]) -> String {
    let keys = keys.iter().map(|(kid, algorithm, public)| Jwk {
        public,
        r#use: "sig",
        alg: algorithm.as_str(),
        kid,
    });
    serde_json::to_string(&Jwks {
        keys: keys.collect(),
    })
    .expect("public keys are JSON")
}
