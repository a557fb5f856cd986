//! An answer as snapshots hold it: status, headers and body, with what differs from run to run
//! replaced by placeholders.

use super::server::{Reply, Server};

/// An inline snapshot, which the test of each engine asserts in turn.
#[macro_export]
macro_rules! assert_verbatim {
    ($text:expr, @$expected:literal) => {{
        let text = $text;
        insta::allow_duplicates! { insta::assert_snapshot!(text, @$expected) }
    }};
}

/// The whole answer, less the headers that say nothing of tenmint.
pub fn verbatim(server: &Server, reply: &Reply) -> String {
    let mut headers: Vec<_> = reply
        .headers
        .iter()
        .filter(|(name, _)| !["date", "content-length"].contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    headers.sort();
    let status = reply.status.as_u16();
    let text = format!("{status}\n{}\n\n{}", headers.join("\n"), reply.text);
    steady(server, &text)
}

/// A text with the base URL, ids, tokens and entity tags replaced.
pub fn steady(server: &Server, text: &str) -> String {
    let text = text.replace(&server.base, "{base}");
    // What is random goes first: any of the rest could turn up in it.
    let text = replace_after(&text, "\"access_token\":\"", 0);
    // The members of a public key that differ from key to key.
    let members = ["x", "y", "kid"].map(|member| format!("\"{member}\":\""));
    let text = members
        .iter()
        .fold(text, |text, member| replace_after(&text, member, 43));
    let text = replace_after(&text, "\"n\":\"", 342);
    let text = replace_after(&text, "etag: \"", 16);
    let text = replace_after(&text, "req_", 26);
    replace_after(&text, "key_", 26)
}

/// Replaces what follows `prefix` by `[…]`: so many characters of base64url, or, if that
/// is zero, all that there are, dots included.
fn replace_after(text: &str, prefix: &str, length: usize) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(prefix) {
        let (before, after) = rest.split_at(at + prefix.len());
        let dotted = length == 0;
        let run = after
            .bytes()
            .take_while(|b| {
                b.is_ascii_alphanumeric() || b"-_".contains(b) || (dotted && *b == b'.')
            })
            .count();
        out.push_str(before);
        rest = after;
        if dotted || run == length {
            out.push_str("[…]");
            rest = &after[run..];
        }
    }
    out + rest
}

/// What base64url without padding says.
pub fn from_base64url(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text)
        .unwrap()
}
