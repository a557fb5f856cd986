//! What a line of an import says of a key's string: the string, or what a platform kept in its place.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;
use zeroize::Zeroize;

use super::fields::Fields;
use crate::crypto::imported::Kept;
use crate::domain::hex::unhex;
use crate::domain::secret::ForeignSecret;

/// Shortest beginning of a string that tells it from others.
const SHORTEST_PREFIX: usize = 8;

/// What a platform kept in place of a string.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct HashField {
    sha256: Option<String>,
    sha512: Option<String>,
    bcrypt: Option<String>,
    argon2: Option<String>,
}

/// Reads the fields that tell of the string.
///
/// # Errors
/// Why they tell of none, with the name of the field and none of its content.
pub(super) fn kept(fields: &mut Fields) -> Result<Kept, String> {
    let hash = fields.take::<HashField>("hash")?;
    let prefix = fields.take::<String>("prefix")?;
    let secret = fields.take::<String>("secret")?;
    let slow = match (secret, hash) {
        (Some(mut text), None) => {
            let secret = ForeignSecret::import(&text);
            text.zeroize();
            return match (secret, prefix) {
                (Ok(secret), None) => Ok(Kept::of(&secret)),
                (Err(why), _) => Err(format!("secret: {why}")),
                (Ok(_), Some(_)) => Err(needless()),
            };
        }
        (None, Some(hash)) => match hash {
            HashField {
                sha256: Some(text),
                sha512: None,
                bcrypt: None,
                argon2: None,
            } if prefix.is_none() => return digest(&text).map(Kept::Sha256),
            HashField {
                sha256: None,
                sha512: Some(text),
                bcrypt: None,
                argon2: None,
            } if prefix.is_none() => return digest(&text).map(Kept::Sha512),
            HashField {
                sha256: None,
                sha512: None,
                bcrypt: Some(text),
                argon2: None,
            } if text.starts_with("$2") => text,
            HashField {
                sha256: None,
                sha512: None,
                bcrypt: None,
                argon2: Some(text),
            } if text.starts_with("$argon2") => text,
            HashField { sha256, sha512, .. } if sha256.is_some() || sha512.is_some() => {
                return Err(match prefix {
                    Some(_) => needless(),
                    None => "hash: give one".to_owned(),
                });
            }
            _ => {
                return Err("hash: give one of sha256, sha512, bcrypt ($2b$…), argon2 \
                            ($argon2id$…)"
                    .to_owned());
            }
        },
        _ => return Err("give secret or hash, and not both".to_owned()),
    };
    let prefix = prefix.ok_or(
        "prefix: say how the string begins, far enough to tell it from others: nothing else of it \
         can be looked up",
    )?;
    let visible = prefix.bytes().all(|byte| byte.is_ascii_graphic());
    if !visible || !(SHORTEST_PREFIX..=64).contains(&prefix.len()) {
        return Err(format!(
            "prefix: write {SHORTEST_PREFIX} to 64 visible ASCII characters"
        ));
    }
    Kept::slow(slow, prefix).map_err(|why| format!("hash: {why}"))
}

fn needless() -> String {
    "prefix: goes with bcrypt and argon2 alone".to_owned()
}

/// In hexadecimal digits, or base64.
fn digest<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let read = unhex(text)
        .or_else(|| STANDARD.decode(text).ok())
        .or_else(|| STANDARD_NO_PAD.decode(text).ok());
    read.and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| format!("hash: write {N} bytes in hexadecimal digits or base64"))
}
