//! Key strings that are well made and yet nobody's secret.

use tenmint::crypto::key_mint::KeyMint;
use tenmint::crypto::root_key::RootKey;
use ulid::Ulid;

use super::server::{Key, Server};

/// An id of the right form that is given to no key.
pub const NOBODY: &str = "key_01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// A string for this id with the deployment's own tag: such as a secret that was rotated out,
/// or what a thief of the root key could make.
pub fn with_genuine_tag(server: &Server, id: &str) -> Key {
    of(server.app.management.crypto.mint(ulid(id)).expose(), id)
}

/// A string for this id that another deployment made.
pub fn of_another_deployment(id: &str) -> Key {
    let mint = KeyMint::new(&RootKey::generate());
    let secret = mint.mint(&"tmsk".parse().unwrap(), ulid(id));
    of(secret.expose(), id)
}

/// This secret under this id.
pub fn of(secret: &str, id: &str) -> Key {
    let (id, secret) = (id.to_owned(), secret.to_owned());
    Key { id, secret }
}

/// The ULID in the id of a key.
pub fn ulid(id: &str) -> Ulid {
    id.strip_prefix("key_").unwrap().parse().unwrap()
}
