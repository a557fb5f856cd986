//! What OpenSSL, OpenSSH and Python's `cryptography` write: taken, or refused for what it is.

use super::*;
use crate::domain::signing_key::{KeySpec, RsaBits};

/// A file of `tests/support/private_keys`.
macro_rules! file {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/support/private_keys/",
            $name,
            ".pem"
        ))
    };
}

fn refused(pem: &str) -> PemError {
    KeyPair::from_pem(pem).err().unwrap()
}

#[test]
fn keys_that_others_made_are_taken_and_sealed_as_they_are() {
    let [small, large, largest] = RsaBits::ALL.map(KeySpec::RS256);
    for (pem, spec) in [
        (file!("openssl_p256"), KeySpec::ES256),
        (file!("openssl_ed25519"), KeySpec::EdDSA),
        (file!("openssl_rsa2048"), small),
        (file!("openssl_rsa3072"), large),
        (file!("openssl_rsa4096"), largest),
        (file!("python_p256"), KeySpec::ES256),
        (file!("python_ed25519"), KeySpec::EdDSA),
        (file!("python_rsa2048"), small),
    ] {
        let (algorithm, brought) = KeyPair::from_pem(pem).unwrap();
        assert_eq!(algorithm, spec.algorithm());
        assert_eq!(brought.pair.public().spec(), spec);
        let read = KeyPair::from_pkcs8(algorithm, &brought.pkcs8).unwrap();
        assert_eq!(read.public(), brought.pair.public());
        assert_eq!(read.sign(b"x").as_ref().len(), read.signature_len());
    }
}

#[test]
fn line_ends_indents_and_text_around_do_not_matter() {
    let pem = file!("openssl_rsa2048");
    let expected = KeyPair::from_pem(pem).unwrap().1;
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    for text in [
        pem.replace('\n', "\r\n"),
        pem.replace('\n', "\n    "),
        pem.trim_end().to_owned(),
        format!("Bag Attributes\n    localKeyID: 01\nKey Attributes: <No Attributes>\n{pem}\n\n"),
        format!("{BEGIN}\n{body}\n{END}"),
    ] {
        let read = KeyPair::from_pem(&text).unwrap().1;
        assert_eq!(read.pair.public(), expected.pair.public());
        assert_eq!(*read.pkcs8, *expected.pkcs8);
    }
}

#[test]
fn what_is_in_another_form_is_told_how_to_be_converted() {
    for (pem, error) in [
        (file!("refused_encrypted"), PemError::Encrypted),
        (file!("refused_encrypted_sec1"), PemError::Encrypted),
        (file!("refused_pkcs1"), PemError::Pkcs1),
        (file!("refused_sec1"), PemError::Sec1),
        (file!("refused_sec1_with_parameters"), PemError::Sec1),
        (file!("refused_openssh"), PemError::OpenSsh),
        (file!("refused_p256_without_public"), PemError::Incomplete),
        (file!("refused_p256_spelt_out"), PemError::Incomplete),
    ] {
        assert_eq!(refused(pem), error);
        let command = error.to_string();
        assert!(command.contains("openssl ") || command.contains("ssh-keygen "));
    }
}

#[test]
fn keys_of_other_kinds_and_sizes_are_refused_by_name() {
    for (pem, error) in [
        (file!("refused_p384"), PemError::Unsupported("P-384")),
        (
            file!("refused_secp256k1"),
            PemError::Unsupported("secp256k1"),
        ),
        (file!("refused_ed448"), PemError::Unsupported("Ed448")),
        (file!("refused_x25519"), PemError::Unsupported("X25519")),
        (
            file!("refused_rsa_pss"),
            PemError::Unsupported("RSA-PSS alone"),
        ),
        (file!("refused_rsa1024"), PemError::RsaSize(1024)),
        (file!("refused_rsa2050"), PemError::RsaSize(2050)),
        (file!("refused_rsa2056"), PemError::RsaSize(2056)),
        (file!("refused_exponent3"), PemError::RsaExponent),
        (file!("refused_public"), PemError::Public),
    ] {
        assert_eq!(refused(pem), error);
    }
}

#[test]
fn two_keys_at_once_are_one_too_many() {
    let (one, two) = (file!("openssl_p256"), file!("openssl_ed25519"));
    assert_eq!(refused(&format!("{one}{two}")), PemError::Several(2));
    let public = file!("refused_public");
    assert_eq!(
        refused(&format!("{one}{public}{two}")),
        PemError::Several(3)
    );
    // A block within a line of another is none, and hides none.
    assert_eq!(refused(&one.replace('\n', "")), PemError::NotPem);
}

#[test]
fn garbage_is_refused_and_never_repeated() {
    let pem = file!("openssl_p256");
    let middle = pem.lines().nth(2).unwrap();
    for (text, error) in [
        (String::new(), PemError::NotPem),
        ("MIGHAgEAMBMGByqGSM49".to_owned(), PemError::NotPem),
        (pem.replace('\n', "\\n"), PemError::NotPem),
        (pem.replace("PRIVATE", "PRIVETE"), PemError::Other),
        (pem.replace(END, ""), PemError::Damaged),
        (pem.replace(middle, ""), PemError::Damaged),
        (
            pem.replace(middle, &middle.replace(['a', 'b'], "*")),
            PemError::Damaged,
        ),
        (format!("{BEGIN}\n{END}\n"), PemError::Damaged),
        (format!("{BEGIN}\nAAAA\n{END}\n"), PemError::Damaged),
        (format!("{END}\n{BEGIN}\n"), PemError::Damaged),
        (format!("{BEGIN}\n-----END\n"), PemError::Damaged),
    ] {
        assert_eq!(refused(&text), error, "{text}");
        assert!(!error.to_string().contains(middle));
    }
}

#[test]
fn a_key_whose_parts_do_not_belong_together_is_refused() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let bent = |pem: &str, at: usize| {
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let mut der = STANDARD.decode(body).unwrap();
        der[at] ^= 4;
        let text = format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(der));
        KeyPair::from_pem(&text).map(|(_, read)| read.pair.public())
    };
    let ec = file!("openssl_p256");
    assert_eq!(bent(ec, 50), Err(PemError::Incomplete));
    assert_eq!(bent(ec, 100), Err(PemError::Incomplete));
    // The modulus, both primes, the exponents of both (at which ring looks when it signs), and
    // the coefficient.
    let rsa = file!("openssl_rsa2048");
    for at in [200, 620, 760, 900, 1_030, 1_160] {
        assert_eq!(bent(rsa, at), Err(PemError::Inconsistent), "byte {at}");
    }
}
