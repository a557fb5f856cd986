//! Signing access tokens: one key pair, parsed once, with its header already encoded.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::write::EncoderStringWriter;

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
        let mut token = String::with_capacity(1024);
        token.push_str(&self.header);
        let mut segment = Buffered(EncoderStringWriter::from_consumer(token, &URL_SAFE_NO_PAD));
        serde_json::to_writer(&mut segment, claims).expect("claims are JSON");
        let mut token = segment.0.into_inner();

        let signature = self.pair.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }
}

/// serde_json writes; base64 encodes as it comes.
struct Buffered<'e, E: Engine>(EncoderStringWriter<'e, E, String>);

impl<E: Engine> Write for Buffered<'_, E> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
