//! What is kept of strings that other systems gave out.

use argon2::{Algorithm, Argon2, Params, Version};

use super::kept::{sha256, sha512};
use super::*;
use crate::crypto::hex;

const TEXT: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";

fn secret(text: &str) -> ForeignSecret {
    ForeignSecret::parse(text).unwrap()
}

fn id(n: u128) -> KeyId {
    KeyId::new(ulid::Ulid(n))
}

fn every_kind() -> Vec<Kept> {
    let bcrypt = bcrypt::hash_with_salt(TEXT, 4, [7; 16]).unwrap();
    let mut output = [0; 32];
    let params = Params::new(64, 1, 1, Some(32)).unwrap();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(TEXT.as_bytes(), b"somesaltsomesalt", &mut output)
        .unwrap();
    let argon2 = format!(
        "$argon2id$v=19$m=64,t=1,p=1${}${}",
        BASE64.encode(b"somesaltsomesalt"),
        BASE64.encode(output)
    );
    let prefix = || TEXT[..12].to_owned();
    vec![
        Kept::of(&secret(TEXT)),
        Kept::Sha512(sha512(&secret(TEXT))),
        Kept::slow(bcrypt.to_string(), prefix()).unwrap(),
        Kept::slow(argon2, prefix()).unwrap(),
    ]
}

#[test]
fn a_string_is_found_and_proved_for_its_own_key_under_its_own_root_key_alone() {
    let (root, elsewhere) = (RootKey::generate(), RootKey::generate());
    let (seal, imports) = (Seal::new(&root), Imports::new(&root));
    for kept in every_kind() {
        let stored = imports.import(id(1), &kept, &seal);
        let verify = |of: KeyId, text: &str| imports.verify(of, &secret(text), &stored.hash, &seal);
        assert_eq!(verify(id(1), TEXT), Ok(true));
        assert_eq!(verify(id(1), "sk_live_4eC39HqLyjWDarjtT1zdp7dd"), Ok(false));
        // Moved to another key, it proves nothing.
        assert_ne!(verify(id(2), TEXT), Ok(true));
        let other = Imports::new(&elsewhere);
        let moved = other.verify(id(1), &secret(TEXT), &stored.hash, &Seal::new(&elsewhere));
        assert_ne!(moved, Ok(true));
        assert!(
            imports
                .lookups(&secret(TEXT), &[12])
                .any(|one| one == stored.lookup)
        );
        assert!(
            !other
                .lookups(&secret(TEXT), &[12])
                .any(|one| one == stored.lookup)
        );
        assert!(is_imported(&stored.hash));
    }
}

#[test]
fn what_is_stored_holds_nothing_of_what_was_given() {
    let root = RootKey::generate();
    let (seal, imports) = (Seal::new(&root), Imports::new(&root));
    let digest = hex(&sha256(&secret(TEXT)));
    for kept in every_kind() {
        let stored = format!("{:?}", imports.import(id(1), &kept, &seal));
        for known in [TEXT, &TEXT[..12], "$2b$", "argon2id", &digest[..16]] {
            assert!(!stored.contains(known), "{stored}");
        }
    }
}

#[test]
fn a_string_is_told_to_be_another_in_whatever_form_it_came_where_that_can_be_known() {
    let imports = Imports::new(&RootKey::generate());
    let secret = secret(TEXT);
    let whole = imports.unique(&Kept::of(&secret));
    for digest in [Kept::Sha256(sha256(&secret)), Kept::Sha512(sha512(&secret))] {
        let unique = imports.unique(&digest);
        assert!(unique.iter().all(|one| whole.contains(one)));
        assert_eq!(unique.len(), 1);
    }
    for found_by in &whole {
        assert!(imports.lookups(&secret, &[]).any(|one| one == *found_by));
    }
}
