//! Reading a JWKS (RFC 7517 §5): each key with its own algorithm, and with no other.

use serde::Deserialize;
use serde_json::Value;

use crate::crypto::jose::trust::TrustedKey;
use crate::domain::signing_key::{Algorithm, Kid, PublicJwk};

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Named {
    kid: String,
    alg: Algorithm,
    r#use: Option<String>,
    #[serde(flatten)]
    public: PublicJwk,
}

/// The keys that can be verified with; `None` when it is no JWKS. Keys of other kinds are passed
/// over, as RFC 7517 §5 asks.
///
/// A key must say its `alg`, as the mint's do: what it is not said to sign with is not guessed.
pub(super) fn read(document: &[u8]) -> Option<Vec<TrustedKey>> {
    let jwks: Jwks = serde_json::from_slice(document).ok()?;
    let mut keys: Vec<TrustedKey> = Vec::new();
    for jwk in jwks.keys {
        let Some(key) = usable(jwk) else { continue };
        // Of two under one name, the first: a later one does not displace it.
        if keys.iter().all(|known| known.kid() != key.kid()) {
            keys.push(key);
        }
    }
    Some(keys)
}

fn usable(jwk: Value) -> Option<TrustedKey> {
    let Named {
        kid,
        alg,
        r#use,
        public,
    } = serde_json::from_value(jwk).ok()?;
    if !matches!(r#use.as_deref(), None | Some("sig")) {
        return None;
    }
    let is_of_known_form = match &public {
        PublicJwk::Ec { crv, .. } => crv == "P-256",
        PublicJwk::Okp { crv, .. } => crv == "Ed25519",
        PublicJwk::Rsa { .. } => true,
    };
    is_of_known_form
        .then(|| TrustedKey::new(Kid::new(&kid), alg, &public).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kids(document: &Value) -> Vec<String> {
        let keys = read(document.to_string().as_bytes()).unwrap();
        keys.iter().map(|key| key.kid().to_string()).collect()
    }

    #[test]
    fn keys_that_do_not_fit_are_passed_over() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let good = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "alg": "EdDSA", "kid": "a" });
        let with = |name: &str, value: Value| {
            let mut jwk = good.clone();
            jwk["kid"] = "b".into();
            jwk[name] = value;
            jwk
        };
        let document = json!({ "keys": [
            with("alg", json!("ES256")),
            with("alg", json!("HS256")),
            with("alg", json!("none")),
            with("alg", Value::Null),
            with("crv", json!("X25519")),
            with("kty", json!("oct")),
            with("use", json!("enc")),
            with("kid", json!(5)),
            5,
            null,
            good,
            with("kid", json!("a")),
            with("use", json!("sig")),
        ]});
        assert_eq!(kids(&document), ["a", "b"]);
    }

    #[test]
    fn what_is_no_jwks_is_none() {
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, "null", r#"{"keys":5}"#] {
            assert!(read(text.as_bytes()).is_none(), "{text}");
        }
        assert!(read(br#"{"keys":[]}"#).unwrap().is_empty());
    }
}
