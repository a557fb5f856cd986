//! What a refusal says, in JSON (RFC 6749 §5.2).

use std::borrow::Cow;

use crate::domain::secret::redact;

/// In JSON. What the standard permits in a description, JSON never escapes.
pub(super) fn render(error: &'static str, description: Cow<'static, str>) -> String {
    let description = match description {
        Cow::Borrowed(own) => Cow::Borrowed(own),
        Cow::Owned(text) => Cow::Owned(sanitize(&text)),
    };
    debug_assert!(description.chars().all(is_permitted), "{description}");
    let parts = [
        r#"{"error":""#,
        error,
        r#"","error_description":""#,
        &description,
        r#""}"#,
    ];
    parts.concat()
}

fn is_permitted(c: char) -> bool {
    matches!(c, ' '..='~') && !matches!(c, '"' | '\\')
}

/// RFC 6749 §5.2 permits printable ASCII without `"` and `\`; no secret goes out at all.
fn sanitize(description: &str) -> String {
    redact(description)
        .chars()
        .map(|c| match c {
            '"' => '\'',
            '\\' => '/',
            ' '..='~' => c,
            _ => '?',
        })
        .collect()
}
