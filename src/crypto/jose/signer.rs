//! Signing access tokens: one key pair, parsed once, with its header already encoded. What else is
//! signed names its own type.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::key_pair::KeyPair;
use crate::domain::claims::Claims;
use crate::domain::signing_key::{Algorithm, Kid};

/// The `typ` of access tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TokenType {
    /// `at+jwt`, as RFC 9068 §2.1 wants.
    #[default]
    AtJwt,
    /// `JWT`, for validators that refuse the other.
    Jwt,
}

/// Signs tokens with one signing key.
pub struct Signer {
    pair: KeyPair,
    algorithm: Algorithm,
    kid: Kid,
    /// The JOSE header in base64url, and the dot after it.
    header: String,
}

impl TokenType {
    /// The value of `typ`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AtJwt => "at+jwt",
            Self::Jwt => "JWT",
        }
    }
}

impl Signer {
    /// A signer whose tokens name `kid` and `token_type`.
    #[must_use]
    pub fn new(pair: KeyPair, algorithm: Algorithm, kid: &Kid, token_type: TokenType) -> Self {
        Self {
            pair,
            algorithm,
            kid: kid.clone(),
            header: header(token_type.as_str(), algorithm, kid),
        }
    }

    /// What it signs with.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The signed token in compact form (RFC 7515 §7.1).
    #[must_use]
    pub fn sign(&self, claims: &Claims<'_>) -> String {
        self.sign_under(&self.header, claims)
    }

    /// Signs something that is no access token, and says so by another `typ`.
    #[must_use]
    pub fn sign_as(&self, typ: &str, claims: &impl Serialize) -> String {
        self.sign_under(&header(typ, self.algorithm, &self.kid), claims)
    }

    fn sign_under(&self, header: &str, claims: &impl Serialize) -> String {
        // Encoded in one go: piece by piece, as serde writes, costs several times as much.
        let claims = serde_json::to_vec(claims).expect("claims are JSON");
        let encoded = claims.len().div_ceil(3) * 4;
        // The dot, and the signature.
        let last = 1 + self.pair.signature_len().div_ceil(3) * 4;
        let mut token = String::with_capacity(header.len() + encoded + last);
        token.push_str(header);
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.pair.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }
}

/// A JOSE header in base64url, and the dot after it.
fn header(typ: &str, algorithm: Algorithm, kid: &Kid) -> String {
    let header = format!(r#"{{"typ":"{typ}","alg":"{algorithm}","kid":"{kid}"}}"#);
    format!("{}.", URL_SAFE_NO_PAD.encode(header))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audience::Audience;
    use crate::domain::claims::{KeyClaims, longest_token};
    use crate::domain::issuer::Issuer;
    use crate::domain::network::NetworkSet;
    use crate::domain::scope::ScopeSet;
    use crate::domain::secret::KeyId;
    use crate::domain::timestamp::Timestamp;

    #[test]
    fn no_key_signs_a_longer_token_than_was_reckoned_with() {
        let pem = include_str!("../../../tests/support/private_keys/openssl_rsa4096.pem");
        let base = "https://auth.example".parse().unwrap();
        let organization = "acme".parse().unwrap();
        let audience = Audience::one("https://api.example".parse().unwrap());
        let scopes = ScopeSet::parse_parameter("read:projects/42/** inference").unwrap();
        let id = KeyId::new(ulid::Ulid(1));
        let of_key = KeyClaims::with(id, &scopes, &NetworkSet::any());
        let reckoned = longest_token(&base, &audience, &organization, &of_key);

        let (algorithm, brought) = KeyPair::from_pem(pem).unwrap();
        let kid = "k".repeat(Kid::MAX).parse().unwrap();
        let signer = Signer::new(brought.pair, algorithm, &kid, TokenType::AtJwt);
        let token = signer.sign(&Claims {
            iss: &Issuer::Organization(organization.clone()).name(&base),
            sub: &of_key.id,
            client_id: &of_key.id,
            aud: &audience,
            iat: Timestamp::MAX,
            nbf: Timestamp::MAX,
            exp: Timestamp::MAX,
            jti: "0123456789012345678901",
            scope: &of_key.scope,
            org: &organization,
            allowed_ip_cidrs: of_key.networks.as_deref(),
        });
        // Three bytes in four characters: it may be reckoned one group too long.
        assert!((token.len()..=token.len() + 4).contains(&reckoned));
    }
}
