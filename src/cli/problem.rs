//! Problems (RFC 9457) in words: what to do first, then what to quote.

use serde_json::{Map, Value};
use url::Url;

use super::exit::{Exit, Failed};
use super::output;

/// What a refusal says.
pub(super) fn refused(url: &Url, status: u16, text: &str, retry_after: Option<&str>) -> Failed {
    let Ok(mut problem) = serde_json::from_str::<Map<String, Value>>(text) else {
        let what = match status {
            300..400 => format!("a redirect ({status}), which is not followed"),
            _ => format!("status {status} and no reason"),
        };
        let said = not_tenmint(url, &what).to_string();
        return Failed::new(Exit::of_status(status), said).with_status(status);
    };
    let mut take = |member: &str| problem.remove(member).map(|value| output::cell(&value));
    let (detail, title) = (take("detail"), take("title"));
    let (code, pointer, id) = (take("code"), take("pointer"), take("request_id"));
    drop((take("type"), take("status")));
    let mut lines = vec![detail.or(title).unwrap_or_else(|| "refused".to_owned())];
    let mut line = |name: &str, value: &str| lines.push(format!("  {name:<8} {value}"));
    if let Some(pointer) = pointer.filter(|pointer| !pointer.is_empty()) {
        line("at", &pointer);
    }
    if let Some(seconds) = retry_after {
        line("again", &format!("in {} s", output::visible(seconds)));
    }
    for (name, value) in &problem {
        line(&output::visible(name), &output::cell(value));
    }
    let named = code.as_deref().unwrap_or("?");
    line("code", &format!("{named} ({status})"));
    if let Some(id) = id {
        line("request", &id);
    }
    let exit = match code.as_deref() {
        Some("policy_violation") => Exit::Conflict,
        _ => Exit::of_status(status),
    };
    Failed::new(exit, lines.join("\n")).with_status(status)
}

/// An answer that tenmint does not give.
pub(super) fn not_tenmint(url: &Url, what: &str) -> Failed {
    let said = format!("{url} gave {what}: is it tenmint?");
    Failed::new(Exit::Refused, said)
}
