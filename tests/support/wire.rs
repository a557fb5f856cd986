//! Answers as they go over the wire, less what differs from run to run: for inline snapshots.

use serde_json::Value;
use tenmint::domain::timestamp::Timestamp;

use super::server::{Reply, Server};

/// Headers that are part of what an answer says.
const TELLING: [&str; 4] = ["content-type", "www-authenticate", "allow", "retry-after"];

/// The status, the telling headers and the JSON of an answer. Times are shown as they lie to
/// the server's clock; ids, secrets and the like by their kind.
pub fn shown(server: &Server, reply: &Reply) -> String {
    let mut lines = vec![reply.status.as_u16().to_string()];
    for name in TELLING {
        if let Some(value) = reply.header(name) {
            lines.push(format!("{name}: {value}"));
        }
    }
    let body = calm(server, reply.body.clone());
    lines.push(serde_json::to_string_pretty(&body).unwrap());
    lines.join("\n")
}

/// The same of any JSON.
pub fn calm(server: &Server, value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(calm_text(server, &text)),
        Value::Array(entries) => entries.into_iter().map(|v| calm(server, v)).collect(),
        Value::Object(members) => {
            let calm = |(name, value): (String, Value)| match value {
                // Jitter makes it another for each issuer.
                Value::String(_) if name == "rotates_at" => (name, "[rotates_at]".into()),
                value => (name, calm(server, value)),
            };
            Value::Object(members.into_iter().map(calm).collect())
        }
        other => other,
    }
}

fn calm_text(server: &Server, text: &str) -> String {
    let text = text.replace(&server.base, "{base}");
    let mut calm = String::new();
    let mut rest = &*text;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !belongs_to_a_word(c))
            .unwrap_or(rest.len());
        calm.push_str(&calm_word(server, &rest[..end]));
        rest = &rest[end..];
        let between = rest.find(belongs_to_a_word).unwrap_or(rest.len());
        calm.push_str(&rest[..between]);
        rest = &rest[between..];
    }
    calm
}

fn belongs_to_a_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_:-".contains(c)
}

fn calm_word(server: &Server, word: &str) -> String {
    if let Ok(time) = word.parse::<Timestamp>() {
        return match time.unix() - server.clock.now().unix() {
            0 => "[now]".to_owned(),
            seconds => format!("[now{seconds:+}s]"),
        };
    }
    for kind in ["key_", "req_", "org_"] {
        if word.strip_prefix(kind).is_some_and(|rest| rest.len() == 26) {
            return format!("{kind}[ulid]");
        }
    }
    let parts: Vec<&str> = word.split('_').collect();
    if let [prefix, ulid, secret] = parts[..]
        && (ulid.len(), secret.len()) == (26, 60)
    {
        return format!("{prefix}_[ulid]_[secret]");
    }
    match word.strip_prefix("sha256:") {
        Some(digits) if digits.len() == 16 => "sha256:[digest]".to_owned(),
        _ if word.len() == 43 && !word.contains(':') => "[kid]".to_owned(),
        _ => word.to_owned(),
    }
}

/// An inline snapshot of an answer: `assert_wire!(server, reply, @"…")`. Both engines assert the
/// same one.
#[macro_export]
macro_rules! assert_wire {
    ($server:expr, $reply:expr, @$expected:literal) => {
        insta::allow_duplicates! {
            insta::assert_snapshot!($crate::support::wire::shown(&$server, &$reply), @$expected)
        }
    };
}
