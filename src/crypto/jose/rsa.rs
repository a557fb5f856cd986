//! Making RSA keys, which ring does not do. ring alone signs with them, and verifies.

use ring::rand::{SecureRandom, SystemRandom};
use rsa::RsaPrivateKey;
use rsa::pkcs8::EncodePrivateKey;
use rsa::rand_core::{self, CryptoRng, RngCore};
use zeroize::Zeroizing;

use crate::domain::signing_key::RsaBits;

/// A new RSA private key with the exponent 65537, in PKCS#8 DER. Takes from a tenth of a second to
/// many seconds of a core, by its size and by luck. Every few milliseconds of that, before it tries
/// another number, it calls `rest`, which may take its time.
///
/// # Panics
/// When the operating system has no randomness to give.
pub(super) fn generate(bits: RsaBits, rest: impl Fn()) -> Zeroizing<Vec<u8>> {
    let mut random = Random {
        system: SystemRandom::new(),
        rest,
    };
    let key = RsaPrivateKey::new(&mut random, bits.get().into())
        .expect("there are primes of every such size");
    let der = key
        .to_pkcs8_der()
        .expect("a key of two primes has a PKCS#8 form");
    Zeroizing::new(der.as_bytes().to_vec())
}

/// The operating system's randomness, as the `rsa` crate takes it: once for each number that may be
/// a prime.
struct Random<R> {
    system: SystemRandom,
    rest: R,
}

impl<R: Fn()> CryptoRng for Random<R> {}

impl<R: Fn()> RngCore for Random<R> {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        (self.rest)();
        self.system
            .fill(bytes)
            .expect("the operating system gives random bytes");
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_making_of_a_key_rests_many_times() {
        let rests = Cell::new(0);
        generate(RsaBits::B2048, || rests.set(rests.get() + 1));
        // A prime of 1024 bits is found among dozens of candidates, by luck among fewer.
        assert!(rests.get() > 4, "{}", rests.get());
    }
}
