//! Verifying tokens that tenmint itself is shown, against the keys of one issuer.

use std::collections::HashSet;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, Validation};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::domain::audience::Resource;
use crate::domain::claims::PresentedClaims;
use crate::domain::signing_key::{Algorithm, Kid, PublicJwk};
use crate::domain::timestamp::Timestamp;

/// One public key to verify with, ready for use.
pub struct TrustedKey {
    kid: Kid,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// What a token must say to count.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Its `iss`.
    pub issuer: &'a str,
    /// Its `aud`, alone.
    pub audience: &'a Resource,
    /// The instant at which it must be in force.
    pub now: Timestamp,
}

/// Why a token does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a JWT that tenmint could have made.
    #[error("malformed token")]
    Malformed,
    /// Signed by no key that is trusted here, or not at all.
    #[error("untrusted signature")]
    Signature,
    /// Of another `iss`.
    #[error("token of another issuer")]
    Issuer,
    /// For another `aud`, or for several.
    #[error("token for another audience")]
    Audience,
    /// Past its `exp`.
    #[error("expired token")]
    Expired,
    /// Before its `nbf`.
    #[error("token not yet valid")]
    NotYetValid,
}

/// What was signed by a trusted key: nothing of it has been looked at, but its signature.
pub struct Signed<T> {
    /// Its `typ`: what kind of thing it is, which is for the caller to insist on.
    pub typ: Option<String>,
    /// The key that signed it.
    pub kid: Kid,
    /// What it says.
    pub claims: T,
}

/// Token headers are attacker's text: of all they say, only these count, and `kid` chooses
/// among keys already held. `jku`, `jwk` and `x5u` are never followed.
#[derive(Deserialize)]
struct HeaderView {
    typ: Option<String>,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Envelope {
    iss: String,
    #[serde(flatten)]
    claims: PresentedClaims,
}

impl TrustedKey {
    /// A public key to trust under this `kid`.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] when the JWK is not of its algorithm.
    pub fn new(kid: Kid, algorithm: Algorithm, public: &PublicJwk) -> Result<Self, TokenError> {
        let key = match (algorithm, public) {
            (Algorithm::ES256, PublicJwk::Ec { x, y, .. }) => DecodingKey::from_ec_components(x, y),
            (Algorithm::EdDSA, PublicJwk::Okp { x, .. }) => DecodingKey::from_ed_components(x),
            (Algorithm::RS256, PublicJwk::Rsa { n, e }) => DecodingKey::from_rsa_components(n, e),
            _ => return Err(TokenError::Malformed),
        }
        .map_err(|_| TokenError::Malformed)?;
        Ok(Self {
            kid,
            algorithm,
            key,
        })
    }

    /// The name it goes by.
    #[must_use]
    pub const fn kid(&self) -> &Kid {
        &self.kid
    }
}

/// Verifies a token: form, signature, `typ`, issuer, times and audience (RFC 9068 §4).
///
/// # Errors
/// The first thing wrong with it, see [`TokenError`].
pub fn verify(
    token: &str,
    keys: &[TrustedKey],
    expected: Expected<'_>,
) -> Result<PresentedClaims, TokenError> {
    let claims = verify_for_anybody(token, keys, expected.issuer, expected.now)?;
    if claims.aud.is_exactly(expected.audience) {
        Ok(claims)
    } else {
        Err(TokenError::Audience)
    }
}

/// The same whatever the audience: for what is done about a token, never on its word.
///
/// # Errors
/// The first thing wrong with it, see [`TokenError`].
pub fn verify_for_anybody(
    token: &str,
    keys: &[TrustedKey],
    issuer: &str,
    now: Timestamp,
) -> Result<PresentedClaims, TokenError> {
    let find = |named: &str| keys.iter().find(|key| key.kid.as_str() == named);
    let signed = signed::<Envelope>(token, find)?;
    if !matches!(signed.typ.as_deref(), Some("at+jwt" | "JWT")) {
        return Err(TokenError::Malformed);
    }
    let envelope = signed.claims;
    if envelope.iss != issuer {
        return Err(TokenError::Issuer);
    }
    require_in_force(&envelope.claims, now)?;
    Ok(envelope.claims)
}

/// Requires that what a token says counts at this instant: for whoever verified it before.
///
/// # Errors
/// [`TokenError::Expired`] or [`TokenError::NotYetValid`].
pub fn require_in_force(claims: &PresentedClaims, now: Timestamp) -> Result<(), TokenError> {
    if claims.exp <= now {
        return Err(TokenError::Expired);
    }
    // One second of grace: two nodes' clocks never agree to the second.
    if claims.nbf.is_some_and(|nbf| nbf > now.unix() + 1) {
        return Err(TokenError::NotYetValid);
    }
    Ok(())
}

/// Verifies form and signature, by the key that `find` knows under the token's `kid`, with that
/// key's algorithm and no other (RFC 8725 §3.1).
///
/// # Errors
/// [`TokenError::Malformed`] or [`TokenError::Signature`].
pub fn signed<'k, T: DeserializeOwned>(
    token: &str,
    find: impl FnOnce(&str) -> Option<&'k TrustedKey>,
) -> Result<Signed<T>, TokenError> {
    let header = header(token)?;
    let named = header.kid.ok_or(TokenError::Malformed)?;
    if header.crit.is_some() {
        return Err(TokenError::Malformed);
    }
    let trusted = find(&named).ok_or(TokenError::Signature)?;
    let data =
        jsonwebtoken::decode::<T>(token, &trusted.key, &trusted.validation()).map_err(|error| {
            match error.kind() {
                ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => TokenError::Signature,
                _ => TokenError::Malformed,
            }
        })?;
    Ok(Signed {
        typ: header.typ,
        kid: trusted.kid.clone(),
        claims: data.claims,
    })
}

impl TrustedKey {
    /// Signature and algorithm alone: `jsonwebtoken` reads the wall clock by itself, and
    /// here time is an argument.
    fn validation(&self) -> Validation {
        let mut validation = Validation::new(match self.algorithm {
            Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
            Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
        });
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims = HashSet::new();
        validation
    }
}

fn header(token: &str) -> Result<HeaderView, TokenError> {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let mut segments = token.split('.');
    let (Some(first), Some(_), Some(_), None) = (
        segments.next(),
        segments.next(),
        segments.next(),
        segments.next(),
    ) else {
        return Err(TokenError::Malformed);
    };
    let json = URL_SAFE_NO_PAD
        .decode(first)
        .map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| TokenError::Malformed)
}

#[cfg(test)]
#[cfg(feature = "server")]
mod tests {
    use super::*;
    use crate::crypto::jose::key_pair::{KeyPair, thumbprint};
    use crate::crypto::jose::provider;
    use crate::crypto::jose::signer::{Signer, TokenType};
    use crate::domain::audience::Audience;
    use crate::domain::claims::Claims;
    use crate::domain::network::NetworkSet;
    use crate::domain::secret::KeyId;
    use serde_json::value::to_raw_value;

    const ISSUER: &str = "https://auth.example";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    fn keys(algorithm: Algorithm) -> (Signer, TrustedKey) {
        provider::install();
        let pair = KeyPair::generate(algorithm.into()).pair;
        let public = pair.public();
        let kid = thumbprint(&public);
        let trusted = TrustedKey::new(kid.clone(), algorithm, &public).unwrap();
        (
            Signer::new(pair, algorithm, &kid, TokenType::AtJwt),
            trusted,
        )
    }

    fn token(signer: &Signer, audience: &str) -> String {
        let networks = to_raw_value(&NetworkSet::any()).unwrap();
        let id = KeyId::new(ulid::Ulid(1)).to_string();
        signer.sign(&Claims {
            iss: ISSUER,
            sub: &id,
            client_id: &id,
            aud: &Audience::one(audience.parse().unwrap()),
            iat: at(1_000),
            nbf: at(1_000),
            exp: at(1_600),
            jti: "one",
            scope: "read",
            org: &"acme".parse().unwrap(),
            allowed_ip_cidrs: Some(&networks),
        })
    }

    fn check(token: &str, key: &TrustedKey, now: i64) -> Result<PresentedClaims, TokenError> {
        let audience = ISSUER.parse().unwrap();
        let expected = Expected {
            issuer: ISSUER,
            audience: &audience,
            now: at(now),
        };
        verify(token, std::slice::from_ref(key), expected)
    }

    #[test]
    fn a_token_counts_between_its_times_alone() {
        for algorithm in Algorithm::ALL {
            let (signer, key) = keys(algorithm);
            let token = token(&signer, ISSUER);
            assert_eq!(check(&token, &key, 1_000).unwrap().scope, "read");
            assert_eq!(check(&token, &key, 1_599).unwrap().org, "acme");
            assert_eq!(check(&token, &key, 1_600).unwrap_err(), TokenError::Expired);
            assert_eq!(
                check(&token, &key, 998).unwrap_err(),
                TokenError::NotYetValid
            );
        }
    }

    #[test]
    fn another_audience_key_or_signature_does_not_count() {
        let (signer, key) = keys(Algorithm::ES256);
        let (other, _) = keys(Algorithm::ES256);
        let elsewhere = token(&signer, "https://api.example");
        assert_eq!(
            check(&elsewhere, &key, 1_000).unwrap_err(),
            TokenError::Audience
        );
        let stranger = token(&other, ISSUER);
        assert_eq!(
            check(&stranger, &key, 1_000).unwrap_err(),
            TokenError::Signature
        );

        let mut tampered = token(&signer, ISSUER);
        let at = tampered.find('.').unwrap() + 20;
        let to = if tampered.as_bytes()[at] == b'A' {
            "B"
        } else {
            "A"
        };
        tampered.replace_range(at..=at, to);
        assert!(check(&tampered, &key, 1_000).is_err());
    }

    #[test]
    fn a_signature_counts_under_its_own_algorithm_alone() {
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        for algorithm in Algorithm::ALL {
            let (signer, key) = keys(algorithm);
            let genuine = token(&signer, ISSUER);
            let (signed, signature) = genuine.rsplit_once('.').unwrap();
            let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
            let whole = bytes.len();
            let bent = |bytes: &[u8]| format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes));
            bytes.insert(0, 0);
            assert!(check(&bent(&bytes), &key, 1_000).is_err(), "{algorithm}");
            assert!(check(&bent(&bytes[2..]), &key, 1_000).is_err());
            assert!(check(&bent(&vec![0; whole]), &key, 1_000).is_err());
            assert!(check(&bent(&bytes[1..]), &key, 1_000).is_ok());

            let payload = signed.split_once('.').unwrap().1;
            let kid = key.kid.as_str();
            for named in [
                "RS256", "RS384", "RS512", "PS256", "ES256", "EdDSA", "HS256",
            ] {
                if named == algorithm.as_str() {
                    continue;
                }
                let header = format!(r#"{{"typ":"at+jwt","alg":"{named}","kid":"{kid}"}}"#);
                let header = URL_SAFE_NO_PAD.encode(header);
                let token = format!("{header}.{payload}.{signature}");
                assert!(
                    check(&token, &key, 1_000).is_err(),
                    "{algorithm} as {named}"
                );
            }
        }
    }

    #[test]
    fn headers_that_lie_are_refused() {
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let (signer, key) = keys(Algorithm::ES256);
        let genuine = token(&signer, ISSUER);
        let rest = genuine.split_once('.').unwrap().1;
        let kid = key.kid.as_str();
        let lies = [
            format!(r#"{{"alg":"none","kid":"{kid}","typ":"at+jwt"}}"#),
            format!(r#"{{"alg":"HS256","kid":"{kid}","typ":"at+jwt"}}"#),
            format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"at+jwt"}}"#),
            format!(r#"{{"alg":"ES256","kid":"{kid}","typ":"at+jwt","crit":["x"]}}"#),
            format!(r#"{{"alg":"ES256","kid":"{kid}","typ":"logout+jwt"}}"#),
            r#"{"alg":"ES256","kid":"../../etc/passwd","typ":"at+jwt"}"#.to_owned(),
            r#"{"alg":"ES256","typ":"at+jwt"}"#.to_owned(),
        ];
        for lie in lies {
            let token = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(&lie));
            assert!(check(&token, &key, 1_000).is_err(), "{lie}");
        }
        for text in [
            "",
            ".",
            "..",
            "a.b.c",
            "a.b",
            "a.b.c.d",
            &"x".repeat(10_000),
        ] {
            assert_eq!(check(text, &key, 1_000).unwrap_err(), TokenError::Malformed);
        }
    }
}
