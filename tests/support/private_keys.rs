//! Private keys of nobody, in PEM: see `private_keys/README.md`.

macro_rules! files {
    ($($name:ident $file:literal)*) => {
        $(pub const $name: &str = include_str!(concat!("private_keys/", $file, ".pem"));)*
    };
}

files! {
    P256 "openssl_p256"
    ED25519 "openssl_ed25519"
    RSA_2048 "openssl_rsa2048"
    RSA_3072 "openssl_rsa3072"
    RSA_4096 "openssl_rsa4096"
    PYTHON_P256 "python_p256"
    PYTHON_ED25519 "python_ed25519"
    PYTHON_RSA_2048 "python_rsa2048"
    ENCRYPTED "refused_encrypted"
    PKCS1 "refused_pkcs1"
    SEC1 "refused_sec1"
    P384 "refused_p384"
    RSA_1024 "refused_rsa1024"
}

/// What is between the first line and the last, without line breaks.
pub fn body(pem: &str) -> String {
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    lines.collect()
}
