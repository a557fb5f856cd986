//! What a document shows of an answer, held against the answer.

use serde_json::Value;
use tenmint::domain::timestamp::Timestamp;

/// Runs of 26 and more letters and digits are ids and secrets.
pub fn without_ids(text: &str) -> String {
    let mut clean = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        clean.push_str(if bare.len() >= 26 { "ID" } else { bare });
        clean.push_str(&word[bare.len()..]);
    }
    clean
}

/// Whether an answer is as shown, but for ids, times, and members that were left out; or where
/// it is not.
pub fn is_as_shown(answer: &Value, shown: &Value) -> Result<(), String> {
    match (answer, shown) {
        (Value::Object(answer), Value::Object(shown)) => {
            shown.iter().try_for_each(|(name, shown)| {
                let member = answer.get(name).ok_or_else(|| format!("no {name}"))?;
                is_as_shown(member, shown).map_err(|why| format!("{name}: {why}"))
            })
        }
        (Value::Array(answer), Value::Array(shown)) if answer.len() == shown.len() => {
            let mut each = answer.iter().zip(shown);
            each.try_for_each(|(answer, shown)| is_as_shown(answer, shown))
        }
        (Value::String(answer), Value::String(shown)) if same_text(answer, shown) => Ok(()),
        _ if answer == shown => Ok(()),
        _ => Err(format!("{answer} is shown as {shown}")),
    }
}

fn same_text(answer: &str, shown: &str) -> bool {
    let is_time = |text: &str| text.parse::<Timestamp>().is_ok();
    let (answer_bare, shown_bare) = (without_ids(answer), without_ids(shown));
    match shown_bare.strip_suffix('…') {
        Some(beginning) => answer_bare.starts_with(beginning),
        None => answer_bare == shown_bare || (is_time(answer) && is_time(shown)),
    }
}
