//! Signing access tokens: one key pair, parsed once, with its header already encoded.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

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
        let typ = token_type.as_str();
        let header = format!(r#"{{"typ":"{typ}","alg":"{algorithm}","kid":"{kid}"}}"#);
        Self {
            pair,
            algorithm,
            header: format!("{}.", URL_SAFE_NO_PAD.encode(header)),
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
        /// A signature of 64 bytes in base64url, and the dot before it.
        const SIGNATURE: usize = 1 + 86;

        // Encoded in one go: piece by piece, as serde writes, costs several times as much.
        let claims = serde_json::to_vec(claims).expect("claims are JSON");
        let encoded = claims.len().div_ceil(3) * 4;
        let mut token = String::with_capacity(self.header.len() + encoded + SIGNATURE);
        token.push_str(&self.header);
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.pair.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }
}
