//! Hashes of secrets as they are held of very many keys.

use std::borrow::Cow;
use std::sync::Arc;

use crate::crypto::secret_hash::Packed;
use crate::store::api_keys::StoredHash;

/// A stored hash, in half the room if it is one of tenmint's own.
#[derive(Clone, Debug)]
pub struct HeldHash {
    /// The id of the root key that peppers it.
    pub root_key: Arc<str>,
    form: Form,
}

/// The end of a hash of tenmint's own: Argon2 lets nobody choose it, so that it tells the two hashes
/// of a key apart, and is shorter to look at than the whole.
pub(super) type End = [u8; 8];

#[derive(Clone, Debug)]
enum Form {
    Packed(Packed),
    /// What was imported, or is damaged.
    Text(Box<str>),
}

impl HeldHash {
    /// Its PHC string, or that of an imported one.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match &self.form {
            Form::Packed(packed) => packed.to_string().into(),
            Form::Text(text) => Cow::Borrowed(text),
        }
    }

    /// As it is stored.
    pub(super) fn stored(&self) -> StoredHash {
        StoredHash {
            phc: self.text().into(),
            root_key: Arc::clone(&self.root_key),
        }
    }

    pub(super) fn end(&self) -> End {
        match &self.form {
            Form::Packed(packed) => packed.end(),
            Form::Text(text) => text.as_bytes().last_chunk().copied().unwrap_or_default(),
        }
    }
}

impl From<StoredHash> for HeldHash {
    fn from(stored: StoredHash) -> Self {
        // What another tenmint wrote otherwise stays as it is: it is compared with what is stored.
        let packed = Packed::of(&stored.phc).ok();
        let packed = packed.filter(|packed| packed.to_string() == *stored.phc);
        Self {
            root_key: stored.root_key,
            form: match packed {
                Some(packed) => Form::Packed(packed),
                None => Form::Text(stored.phc),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(text: &str) -> HeldHash {
        HeldHash::from(StoredHash {
            phc: text.into(),
            root_key: "rk".into(),
        })
    }

    #[test]
    fn every_hash_is_the_text_that_it_was() {
        let own = "$argon2id$v=19$m=1024,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$\
                   AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        assert!(matches!(held(own).form, Form::Packed(_)));
        for text in [own, "", "damaged", "$imported$hmac$AAEC"] {
            assert_eq!(*held(text).stored().phc, *text);
            assert_eq!(held(text).text(), text);
        }
        // The same numbers, written otherwise.
        let otherwise = own.replace("m=1024,t=1", "t=1,m=1024");
        assert_eq!(held(&otherwise).text(), otherwise);
    }

    #[test]
    fn hashes_that_differ_have_ends_that_differ() {
        let one = "$argon2id$v=19$m=1024,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$\
                   AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        let two = one.replace("GxwdHh8", "GxwdHh9");
        assert_ne!(held(one).end(), held(&two).end());
    }
}
