//! Making RSA keys, which ring does not do. ring alone signs with them, and verifies.

use ring::rand::{SecureRandom, SystemRandom};
use rsa::RsaPrivateKey;
use rsa::pkcs8::EncodePrivateKey;
use rsa::rand_core::{self, CryptoRng, RngCore};
use zeroize::Zeroizing;

use crate::domain::signing_key::RsaBits;

/// A new RSA private key with the exponent 65537, in PKCS#8 DER. Takes from a tenth of a second to
/// many seconds of a core, by its size and by luck.
///
/// # Panics
/// When the operating system has no randomness to give.
pub(super) fn generate(bits: RsaBits) -> Zeroizing<Vec<u8>> {
    let key = RsaPrivateKey::new(&mut Random(SystemRandom::new()), bits.get().into())
        .expect("there are primes of every such size");
    let der = key
        .to_pkcs8_der()
        .expect("a key of two primes has a PKCS#8 form");
    Zeroizing::new(der.as_bytes().to_vec())
}

/// The operating system's randomness, as the `rsa` crate takes it.
struct Random(SystemRandom);

impl CryptoRng for Random {}

impl RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0
            .fill(bytes)
            .expect("the operating system gives random bytes");
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}
