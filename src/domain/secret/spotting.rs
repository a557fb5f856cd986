//! Spotting API keys and private keys in other people's text, so that none is stored, echoed or
//! logged.

use std::borrow::Cow;

const ULID: usize = 26;
/// How much of a secret must follow an id before a text is taken to hold a key: a truncated
/// key is no credential, but most of its secret is still not for other people's eyes.
const TELLING: usize = 16;
/// How the first line of a private key in PEM ends (RFC 7468 §4), of whatever kind it is.
const PRIVATE_KEY: &str = "PRIVATE KEY-----";

/// Whether a text holds something that is, or was cut from, an API key.
#[must_use]
pub fn contains_api_key(text: &str) -> bool {
    next_api_key(text).is_some()
}

/// The text with the secret part of every API key in it blacked out, and without what follows the
/// first line of a private key in PEM.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    if let Some(at) = text.find(PRIVATE_KEY) {
        return Cow::Owned(format!("{}[private key]", redact(&text[..at])));
    }
    let Some(mut found) = next_api_key(text) else {
        return Cow::Borrowed(text);
    };
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        clean.push_str(&rest[..found.start]);
        clean.push_str("[secret]");
        rest = &rest[found.end..];
        match next_api_key(rest) {
            Some(next) => found = next,
            None => break,
        }
    }
    clean.push_str(rest);
    Cow::Owned(clean)
}

/// The secret part (after `_<ULID>_`) of the first API key in `text`.
fn next_api_key(text: &str) -> Option<std::ops::Range<usize>> {
    let bytes = text.as_bytes();
    (0..bytes.len().saturating_sub(ULID + 1 + TELLING)).find_map(|at| {
        let start = at + ULID + 2;
        let id = bytes.get(at + 1..start - 1)?;
        let framed = bytes[at] == b'_' && *bytes.get(start - 1)? == b'_';
        if !framed || !id.iter().all(u8::is_ascii_alphanumeric) {
            return None;
        }
        let length = bytes[start..]
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric())
            .count();
        (length >= TELLING).then(|| start..start + length)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{ApiKeySecret, KeyId};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_of_a_private_key_is_repeated() {
        for kind in ["", "RSA ", "ENCRYPTED "] {
            let text = format!("invalid: -----BEGIN {kind}PRIVATE KEY-----\\nMIIEvQ== and more");
            let clean = redact(&text);
            assert_eq!(clean, format!("invalid: -----BEGIN {kind}[private key]"));
        }
    }

    proptest! {
        #[test]
        fn looking_never_panics(text in ".*") {
            let _ = redact(&text);
        }

        #[test]
        fn a_key_is_found_and_blacked_out_wherever_it_stands(before in ".{0,9}", after in "[^a-zA-Z0-9].{0,9}|", cut in 0usize..44) {
            let key = ApiKeySecret::compose(
                &"tmsk".parse().unwrap(), KeyId::new(ulid::Ulid(1 << 90)), || 9, |_| 7,
            );
            let shown = &key.expose()[..key.expose().len() - cut];
            let text = format!("{before}{shown}{after}");
            prop_assert!(contains_api_key(&text));
            let clean = redact(&text);
            prop_assert!(!contains_api_key(&clean));
            prop_assert!(!clean.contains(&key.expose()[32..48]));
        }
    }
}
