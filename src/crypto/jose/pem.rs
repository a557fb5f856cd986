//! Private keys that somebody brings along, in PEM (RFC 7468): read, and if not, why not.

use rsa::pkcs1;
use rsa::pkcs8::der::pem::Decoder;
use rsa::pkcs8::{ObjectIdentifier, PrivateKeyInfo};
use zeroize::Zeroizing;

use super::key_pair::{Generated, KeyPair};
use crate::domain::signing_key::{Algorithm, RsaBits};

/// Why a PEM file is not taken, and what makes one of it that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// There is no PEM block.
    #[error(
        "this is not PEM: send the whole file, from the line BEGIN PRIVATE KEY to the line END \
         PRIVATE KEY, with its line breaks"
    )]
    NotPem,
    /// There are several.
    #[error("there are {0} PEM blocks here: send the block of the private key alone")]
    Several(usize),
    /// Its private key is under a password.
    #[error(
        "this private key is encrypted: openssl pkey -in key.pem -out plain.pem asks for its \
         password and writes what can be read here"
    )]
    Encrypted,
    /// An RSA key in a form of its own.
    #[error(
        "BEGIN RSA PRIVATE KEY is PKCS#1, and PKCS#8 is wanted: openssl pkey -in key.pem \
         -out pkcs8.pem converts it"
    )]
    Pkcs1,
    /// An elliptic-curve key in a form of its own.
    #[error(
        "BEGIN EC PRIVATE KEY is SEC1, and PKCS#8 is wanted: openssl pkey -in key.pem \
         -out pkcs8.pem converts it"
    )]
    Sec1,
    /// A key of OpenSSH.
    #[error(
        "BEGIN OPENSSH PRIVATE KEY is OpenSSH's own form, and PKCS#8 is wanted: ssh-keygen -p \
         -N '' -m PKCS8 -f copy converts a copy of an RSA or ECDSA key"
    )]
    OpenSsh,
    /// A block that holds no private half.
    #[error("this is a public key or a certificate: send the private key, BEGIN PRIVATE KEY")]
    Public,
    /// A block of something else.
    #[error("this PEM block is no private key: send one that starts with BEGIN PRIVATE KEY")]
    Other,
    /// What the block holds is cut off or mistyped.
    #[error("this PEM block is damaged: it does not decode to a private key in PKCS#8")]
    Damaged,
    /// A key of a kind that tenmint does not sign with.
    #[error(
        "this is a key for {0}: P-256 keys (ES256), Ed25519 keys (EdDSA) and RSA keys (RS256) \
         are taken"
    )]
    Unsupported(&'static str),
    /// An RSA key of another size.
    #[error("this RSA key has {0} bits: keys of 2048, 3072 or 4096 bits are taken")]
    RsaSize(usize),
    /// An RSA key of another public exponent.
    #[error("this RSA key has another public exponent than 65537, which alone is taken")]
    RsaExponent,
    /// A P-256 key in fewer or other words than usual, as Java and some hardware write them.
    #[error(
        "this P-256 key is damaged, or written without its public half or its curve's name: \
         openssl ec -in key.pem -param_enc named_curve | openssl pkcs8 -topk8 -nocrypt \
         -out new.pem writes it in full"
    )]
    Incomplete,
    /// Its parts do not belong together.
    #[error("the key in this PEM block is damaged: its parts do not belong together")]
    Inconsistent,
}

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Curves and algorithms that people have keys of, under the names they know.
const ELSEWHERE: [(ObjectIdentifier, &str); 9] = [
    (ObjectIdentifier::new_unwrap("1.3.132.0.34"), "P-384"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.35"), "P-521"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.10"), "secp256k1"),
    (ObjectIdentifier::new_unwrap("1.3.101.113"), "Ed448"),
    (ObjectIdentifier::new_unwrap("1.3.101.110"), "X25519"),
    (ObjectIdentifier::new_unwrap("1.3.101.111"), "X448"),
    (ObjectIdentifier::new_unwrap("1.2.840.10040.4.1"), "DSA"),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10"),
        "RSA-PSS alone",
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.3.1"),
        "Diffie-Hellman",
    ),
];

impl KeyPair {
    /// Reads a private key that another issuer signed with: unencrypted PKCS#8 in PEM, of P-256,
    /// of Ed25519, or of RSA with 2048, 3072 or 4096 bits and the exponent 65537. Text around the
    /// block is ignored.
    ///
    /// # Errors
    /// See [`PemError`]: none of them holds a part of the text.
    pub fn from_pem(pem: &str) -> Result<(Algorithm, Generated), PemError> {
        let pkcs8 = decode(pem)?;
        let algorithm = algorithm(&pkcs8)?;
        let pair = Self::from_pkcs8(algorithm, &pkcs8).map_err(|_| match algorithm {
            Algorithm::ES256 => PemError::Incomplete,
            Algorithm::EdDSA | Algorithm::RS256 => PemError::Inconsistent,
        })?;
        if pair.signs() {
            Ok((algorithm, Generated { pair, pkcs8 }))
        } else {
            Err(PemError::Inconsistent)
        }
    }
}

/// What is in the one block of a private key.
fn decode(pem: &str) -> Result<Zeroizing<Vec<u8>>, PemError> {
    // Whoever copies a file by hand indents it and ends its lines as they may.
    let mut text = Zeroizing::new(String::with_capacity(pem.len() + 1));
    for line in pem.lines().map(str::trim).filter(|line| !line.is_empty()) {
        text.push_str(line);
        text.push('\n');
    }
    require_private_key(&text)?;
    let from = text.find(BEGIN).ok_or(PemError::Damaged)?;
    let to = text[from..].find(END).ok_or(PemError::Damaged)?;
    let block = &text[from..from + to + END.len()];
    let width = block.lines().nth(1).map_or(0, str::len);
    let mut decoder =
        Decoder::new_wrapped(block.as_bytes(), width).map_err(|_| PemError::Damaged)?;
    let mut der = Zeroizing::new(vec![0; decoder.remaining_len()]);
    decoder.decode(&mut der).map_err(|_| PemError::Damaged)?;
    Ok(der)
}

/// Requires that there is one block, of an unencrypted private key in PKCS#8.
fn require_private_key(text: &str) -> Result<(), PemError> {
    let mut labels: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----"))
        .filter(|label| !label.contains("-----"))
        .collect();
    // OpenSSL writes the curve before a key in the older form.
    if labels.len() > 1 {
        labels.retain(|label| *label != "EC PARAMETERS");
    }
    let label = match labels[..] {
        [] => return Err(PemError::NotPem),
        [label] => label,
        _ => return Err(PemError::Several(labels.len())),
    };
    let by_password = text.lines().any(|line| line == "Proc-Type: 4,ENCRYPTED");
    Err(match label {
        "PRIVATE KEY" => return Ok(()),
        "ENCRYPTED PRIVATE KEY" => PemError::Encrypted,
        "RSA PRIVATE KEY" | "EC PRIVATE KEY" if by_password => PemError::Encrypted,
        "RSA PRIVATE KEY" => PemError::Pkcs1,
        "EC PRIVATE KEY" => PemError::Sec1,
        "DSA PRIVATE KEY" => PemError::Unsupported("DSA"),
        "OPENSSH PRIVATE KEY" => PemError::OpenSsh,
        "PUBLIC KEY" | "RSA PUBLIC KEY" | "CERTIFICATE" => PemError::Public,
        _ => PemError::Other,
    })
}

/// What a private key is for, by its own account.
fn algorithm(pkcs8: &[u8]) -> Result<Algorithm, PemError> {
    let info = PrivateKeyInfo::try_from(pkcs8).map_err(|_| PemError::Damaged)?;
    let named = match info.algorithm.oid {
        pkcs1::ALGORITHM_OID => {
            require_usual_rsa(info.private_key)?;
            return Ok(Algorithm::RS256);
        }
        ED25519 => return Ok(Algorithm::EdDSA),
        EC => match info.algorithm.parameters_oid() {
            Ok(P256) => return Ok(Algorithm::ES256),
            Ok(curve) => curve,
            // A curve spelt out in numbers: it may be P-256.
            Err(_) => return Err(PemError::Incomplete),
        },
        other => other,
    };
    let known = ELSEWHERE.iter().find(|(id, _)| *id == named);
    Err(PemError::Unsupported(
        known.map_or("something else", |(_, name)| name),
    ))
}

fn require_usual_rsa(private_key: &[u8]) -> Result<(), PemError> {
    let key = pkcs1::RsaPrivateKey::try_from(private_key).map_err(|_| PemError::Damaged)?;
    let modulus = key.modulus.as_bytes();
    let unused = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let bits = modulus.len() * 8 - unused as usize;
    if RsaBits::ALL
        .iter()
        .all(|size| usize::from(size.get()) != bits)
    {
        return Err(PemError::RsaSize(bits));
    }
    if key.public_exponent.as_bytes() == [1, 0, 1] {
        Ok(())
    } else {
        Err(PemError::RsaExponent)
    }
}

#[cfg(test)]
mod tests;
