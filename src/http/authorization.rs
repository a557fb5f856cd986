//! The `Authorization` header: at most one, of a scheme that is understood (RFC 9110 §11.6.2).

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

/// What the header says.
pub enum Authorization<'a> {
    /// There is none.
    Absent,
    /// More than one: which counts is not ours to guess.
    Several,
    /// HTTP Basic (RFC 7617), its halves form-decoded as RFC 6749 §2.3.1 asks; `None` when
    /// they cannot be made out.
    Basic(Option<BasicPair>),
    /// Bearer (RFC 6750 §2.1).
    Bearer(&'a str),
    /// A scheme that is not understood here.
    Other,
}

/// The decoded halves of HTTP Basic. Cannot print itself.
pub struct BasicPair {
    text: Zeroizing<String>,
    colon: usize,
}

/// Padding is optional: clients in the wild leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads the header.
#[must_use]
pub fn read(headers: &HeaderMap) -> Authorization<'_> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let Some(line) = lines.next() else {
        return Authorization::Absent;
    };
    if lines.next().is_some() {
        return Authorization::Several;
    }
    // The scheme by itself: a refusal names it, be what follows missing or no text.
    let line = line.as_bytes();
    let end = line.iter().position(|byte| *byte == b' ');
    let (scheme, credentials) = line.split_at(end.unwrap_or(line.len()));
    let credentials = std::str::from_utf8(credentials).unwrap_or("").trim();
    if scheme.eq_ignore_ascii_case(b"basic") {
        Authorization::Basic(basic(credentials))
    } else if scheme.eq_ignore_ascii_case(b"bearer") {
        Authorization::Bearer(credentials)
    } else {
        Authorization::Other
    }
}

fn basic(credentials: &str) -> Option<BasicPair> {
    let decoded = BASE64.decode(credentials).ok()?;
    let text = match String::from_utf8(decoded) {
        Ok(text) => Zeroizing::new(text),
        Err(no_text) => {
            drop(Zeroizing::new(no_text.into_bytes()));
            return None;
        }
    };
    let colon = text.find(':')?;
    let pair = BasicPair { text, colon };
    // Counted to the end: many bytes at once rather than one by one.
    let encoded = pair.text.bytes().filter(|b| matches!(b, b'%' | b'+'));
    if encoded.count() == 0 {
        return Some(pair);
    }
    let (id, secret) = (form_decode(pair.id())?, form_decode(pair.secret())?);
    Some(BasicPair {
        text: Zeroizing::new([id.as_str(), &secret].join(":")),
        colon: id.len(),
    })
}

impl BasicPair {
    /// The client id.
    pub fn id(&self) -> &str {
        &self.text[..self.colon]
    }

    /// The client secret.
    pub fn secret(&self) -> &str {
        &self.text[self.colon + 1..]
    }
}

/// One form-encoded value (`%` escapes, `+` for a space). A bad escape is refused: lenient
/// decoders disagree about what it means.
fn form_decode(text: &str) -> Option<Zeroizing<String>> {
    let bytes = text.as_bytes();
    let mut decoded = Zeroizing::new(Vec::with_capacity(bytes.len()));
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        decoded.push(match byte {
            b'%' => {
                let digits = bytes.get(at..at + 2)?;
                at += 2;
                let hex = |digit: u8| char::from(digit).to_digit(16);
                u8::try_from(hex(digits[0])? * 16 + hex(digits[1])?).ok()?
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(std::mem::take(&mut *decoded))
        .ok()
        .map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(line: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, line.parse().unwrap());
        headers
    }

    fn basic_pair(line: &str) -> Option<(String, String)> {
        match read(&header(line)) {
            Authorization::Basic(Some(pair)) => {
                Some((pair.id().to_owned(), pair.secret().to_owned()))
            }
            _ => None,
        }
    }

    #[test]
    fn basic_halves_are_form_decoded() {
        let pair = Some(("key-1".to_owned(), "a:b c".to_owned()));
        // key%2D1:a:b+c, and key-1:a:b%20c unpadded
        assert_eq!(basic_pair("Basic a2V5JTJEMTphOmIrYw=="), pair);
        assert_eq!(basic_pair("bAsIc a2V5LTE6YTpiJTIwYw"), pair);
        // a%3Ab:c%3Ad, and a:b:c:d
        let colons = |id: &str, secret: &str| Some((id.to_owned(), secret.to_owned()));
        assert_eq!(basic_pair("Basic YSUzQWI6YyUzQWQ="), colons("a:b", "c:d"));
        assert_eq!(basic_pair("Basic YTpiOmM6ZA=="), colons("a", "b:c:d"));
    }

    #[test]
    fn what_is_not_basic_is_not_guessed_at() {
        // not base64, no colon, a bad escape, not UTF-8
        for bad in [
            "Basic !!",
            "Basic bm9jb2xvbg==",
            "Basic YTolWlo=",
            "Basic YTolMg==",
            "Basic /zr/",
        ] {
            assert!(
                matches!(read(&header(bad)), Authorization::Basic(None)),
                "{bad}"
            );
        }
    }

    #[test]
    fn two_headers_are_two_answers_and_so_none() {
        let mut headers = header("Bearer a");
        headers.append(header::AUTHORIZATION, "Bearer b".parse().unwrap());
        assert!(matches!(read(&headers), Authorization::Several));
        assert!(matches!(read(&HeaderMap::new()), Authorization::Absent));
        assert!(matches!(
            read(&header("Bearer  a")),
            Authorization::Bearer("a")
        ));
        assert!(matches!(read(&header("Digest a")), Authorization::Other));
    }

    #[test]
    fn a_scheme_is_known_by_its_name_whatever_follows() {
        assert!(matches!(read(&header("Bearer")), Authorization::Bearer("")));
        assert!(matches!(read(&header("Basic")), Authorization::Basic(None)));
        for bytes in [&b"bearer \xe9"[..], b"BEARER \xff\xfe"] {
            let mut headers = HeaderMap::new();
            let line = http::HeaderValue::from_bytes(bytes).unwrap();
            headers.insert(header::AUTHORIZATION, line);
            assert!(matches!(read(&headers), Authorization::Bearer("")));
        }
        assert!(matches!(read(&header("Bearerx")), Authorization::Other));
    }
}
