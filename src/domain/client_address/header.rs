//! The headers in which a proxy says for whom it forwards: their syntax.

use std::borrow::Cow;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

use super::UnknownAddress;

/// The one header in which trusted proxies say for whom they forward.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ForwardingHeader {
    /// `X-Forwarded-For`: addresses separated by commas.
    XForwardedFor,
    /// `Forwarded`, of RFC 7239.
    Forwarded,
}

impl ForwardingHeader {
    /// The name of the header in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }

    /// The last element of a list, and the list before it if there is more.
    ///
    /// A list is cut from the right, quoted strings included, so that a quotation
    /// mark a client left open cannot swallow what a proxy wrote after it.
    pub(super) fn split_last(self, list: &[u8]) -> (Option<&[u8]>, &[u8]) {
        let mut in_quotes = false;
        for (at, byte) in list.iter().enumerate().rev() {
            match byte {
                b',' if !in_quotes => return (Some(&list[..at]), &list[at + 1..]),
                b'"' if self == Self::Forwarded => {
                    let backslashes = list[..at].iter().rev().take_while(|byte| **byte == b'\\');
                    let is_escaped = in_quotes && backslashes.count() % 2 == 1;
                    in_quotes ^= !is_escaped;
                }
                _ => {}
            }
        }
        (None, list)
    }

    /// The address in one element of the list. Canonical: never IPv4-mapped.
    pub(super) fn address(self, element: &[u8]) -> Result<IpAddr, UnknownAddress> {
        let malformed = UnknownAddress::Malformed { header: self };
        let element = str::from_utf8(element).map_err(|_| malformed)?;
        let element = element.trim_matches(OPTIONAL_SPACE);
        let (node, bare) = match self {
            Self::XForwardedFor => (Cow::Borrowed(element), element.parse().ok()),
            Self::Forwarded => (Cow::Owned(parameter_for(element)?), None),
        };
        let name = node.split(':').next().unwrap_or_default();
        if name.eq_ignore_ascii_case("unknown") || name.starts_with('_') {
            return Err(UnknownAddress::Hidden { header: self });
        }
        let address: IpAddr = bare.or_else(|| address_of_node(&node)).ok_or(malformed)?;
        Ok(address.to_canonical())
    }
}

/// Not the name of a forwarding header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("this header carries no client address: write `X-Forwarded-For` or `Forwarded`")]
pub struct NotAForwardingHeader;

impl FromStr for ForwardingHeader {
    type Err = NotAForwardingHeader;

    /// Reads the name of a header, in any case.
    fn from_str(name: &str) -> Result<Self, NotAForwardingHeader> {
        [Self::XForwardedFor, Self::Forwarded]
            .into_iter()
            .find(|header| header.name().eq_ignore_ascii_case(name))
            .ok_or(NotAForwardingHeader)
    }
}

const OPTIONAL_SPACE: [char; 2] = [' ', '\t'];

/// The address of a node (RFC 7239 §6): IPv4, or IPv6 in brackets, with or
/// without a port.
fn address_of_node(node: &str) -> Option<IpAddr> {
    let (address, port) = if let Some(bracketed) = node.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        (IpAddr::V6(address.parse().ok()?), port)
    } else {
        let (address, port) = node.split_at(node.find(':').unwrap_or(node.len()));
        (IpAddr::V4(address.parse().ok()?), port)
    };
    (port.is_empty() || is_port(port.strip_prefix(':')?)).then_some(address)
}

/// A port, which may be a made-up name like the address before it.
fn is_port(port: &str) -> bool {
    let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match port.strip_prefix('_') {
        Some(name) => !name.is_empty() && name.bytes().all(of_a_name),
        None => (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// The parameter `for` of an element of `Forwarded`.
fn parameter_for(element: &str) -> Result<String, UnknownAddress> {
    let malformed = UnknownAddress::Malformed {
        header: ForwardingHeader::Forwarded,
    };
    let parameters = parameters(element).ok_or(malformed)?.into_iter();
    let mut values = parameters.filter(|(name, _)| name.eq_ignore_ascii_case("for"));
    let (_, node) = values.next().ok_or(UnknownAddress::NoFor)?;
    match values.next() {
        Some(_) => Err(malformed),
        None => Ok(node),
    }
}

/// The names and values of an element of `Forwarded` (RFC 7239 §4).
fn parameters(element: &str) -> Option<Vec<(&str, String)>> {
    let mut parameters = Vec::new();
    let mut rest = element;
    loop {
        rest = rest.trim_start_matches(OPTIONAL_SPACE);
        if !rest.is_empty() && !rest.starts_with(';') {
            let (name, after) = token(rest)?;
            let (value, after) = value(after.strip_prefix('=')?)?;
            parameters.push((name, value));
            rest = after.trim_start_matches(OPTIONAL_SPACE);
        }
        match rest.strip_prefix(';') {
            Some(after) => rest = after,
            None => return rest.is_empty().then_some(parameters),
        }
    }
}

/// A token or a quoted string (RFC 9110 §5.6.4), and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (token, after) = token(text)?;
        return Some((token.to_owned(), after));
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' => value.push(characters.next()?),
            other => value.push(other),
        }
    }
}

/// A token (RFC 9110 §5.6.2), and what follows it.
fn token(text: &str) -> Option<(&str, &str)> {
    let of_a_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !of_a_token(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ForwardingHeader::{Forwarded, XForwardedFor};

    fn read(header: ForwardingHeader, element: &str) -> Result<IpAddr, UnknownAddress> {
        header.address(element.as_bytes())
    }

    #[test]
    fn an_address_may_carry_a_port() {
        for (header, element, address) in [
            (XForwardedFor, "203.0.113.7:567", "203.0.113.7"),
            (XForwardedFor, "[2001:db8::1]:80", "2001:db8::1"),
            (XForwardedFor, "[2001:db8::1]", "2001:db8::1"),
            (XForwardedFor, "2001:db8::1", "2001:db8::1"),
            (XForwardedFor, " \t203.0.113.7 ", "203.0.113.7"),
            (XForwardedFor, "::ffff:203.0.113.7", "203.0.113.7"),
            (Forwarded, "for=203.0.113.7", "203.0.113.7"),
            (Forwarded, r#"For="[2001:DB8::1]:4711""#, "2001:db8::1"),
            (Forwarded, r#"by=_x;for="203.0.113.7:_port""#, "203.0.113.7"),
            (Forwarded, r#"for="20\3.0.113.7" ; a=b;"#, "203.0.113.7"),
            (
                Forwarded,
                ";;host=\"a;for=b\";FOR=203.0.113.7;",
                "203.0.113.7",
            ),
        ] {
            assert_eq!(
                read(header, element),
                Ok(address.parse().unwrap()),
                "{element}"
            );
        }
    }

    #[test]
    fn a_list_is_cut_at_its_last_comma_outside_quotation_marks() {
        for (list, before, last) in [
            ("a", None, "a"),
            ("", None, ""),
            ("a,b,c", Some("a,b"), "c"),
            ("a,", Some("a"), ""),
            (r#"a,b="c,d""#, Some("a"), r#"b="c,d""#),
            (r#"a,b="c\",d""#, Some("a"), r#"b="c\",d""#),
            (r#"a="b\\",c="d""#, Some(r#"a="b\\""#), r#"c="d""#),
            (r#"a="b,c=d"#, Some(r#"a="b"#), "c=d"),
        ] {
            let cut = Forwarded.split_last(list.as_bytes());
            assert_eq!(cut, (before.map(str::as_bytes), last.as_bytes()), "{list}");
        }
        let cut = XForwardedFor.split_last(br#""a,b""#);
        assert_eq!(cut, (Some(&br#""a"#[..]), &br#"b""#[..]));
    }

    #[test]
    fn anything_but_an_address_is_refused() {
        let not_addresses = "1.2.3|1.2.3.4:|1.2.3.4:x|1.2.3.4:123456|[::1|[::1]x|[::1]:|[1.2.3.4]|\
            fe80::1%eth0|\"1.2.3.4\"|1.2.3.4 5.6.7.8|for=1.2.3.4|localhost|01.2.3.4|\u{e9}| |";
        for element in not_addresses.split('|') {
            let refusal = Err(UnknownAddress::Malformed {
                header: XForwardedFor,
            });
            assert_eq!(read(XForwardedFor, element), refusal, "{element}");
        }
        let malformed = r#"1.2.3.4|for|for=|for =1.2.3.4|for= 1.2.3.4|for=1.2.3.4:80|for=[::1]|\
            for="::1"|for="1.2.3.4|for="1.2.3.4"x|for=1.2.3.4;for=1.2.3.4|for=1.2.3.4 a=b|\
            for="1.2.3.4\"|for="""|for=1.2.3.4;=|for=a|for="1.2.3.4 "|=1.2.3.4|for=""#;
        for element in malformed.split('|').map(str::trim_start) {
            let refusal = Err(UnknownAddress::Malformed { header: Forwarded });
            assert_eq!(read(Forwarded, element), refusal, "{element}");
        }
        let refusal = Err(UnknownAddress::Malformed { header: Forwarded });
        assert_eq!(Forwarded.address(b"for=1.2.3.4;x=\"\xff\""), refusal);
    }

    #[test]
    fn an_element_of_forwarded_without_for_is_refused() {
        for element in ["", ";", "proto=https", "forr=1.2.3.4", r#"x="for=1.2.3.4""#] {
            assert_eq!(
                read(Forwarded, element),
                Err(UnknownAddress::NoFor),
                "{element}"
            );
        }
    }

    #[test]
    fn a_hidden_address_is_refused() {
        for (header, element) in [
            (XForwardedFor, "unknown"),
            (XForwardedFor, "_hidden"),
            (Forwarded, "for=unknown"),
            (Forwarded, "for=Unknown;proto=https"),
            (Forwarded, "for=_hidden"),
            (Forwarded, r#"for="_SEVKISEK:80""#),
        ] {
            let refusal = Err(UnknownAddress::Hidden { header });
            assert_eq!(read(header, element), refusal, "{element}");
        }
    }

    #[test]
    fn a_header_is_named_in_any_case() {
        assert_eq!("X-Forwarded-For".parse(), Ok(XForwardedFor));
        assert_eq!("FORWARDED".parse(), Ok(Forwarded));
        let other = "X-Real-IP".parse::<ForwardingHeader>();
        assert_eq!(other, Err(NotAForwardingHeader));
    }
}
