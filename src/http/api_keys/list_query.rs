//! Query strings of lists of keys: filters, the order, and cursors that know their order.

use axum::http::Uri;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::domain::api_key::{
    KeyFilter, KeyOrder, Maker, Makers, Position, Search, SortValue, StatusFilter,
};
use crate::domain::scope::Scope;
use crate::domain::text::{ExternalId, Metadata, Name};
use crate::http::problem::Problem;
use crate::http::query::{Query, pairs, refuse};

/// Beside `limit` and `cursor`. The last stands for any number of parameters.
const FILTERS: [&str; 10] = [
    "status",
    "search",
    "external_id",
    "role",
    "scope",
    "created_by",
    "expires_before",
    "unused_since",
    "sort",
    METADATA,
];

/// How the filters of metadata are shown where the known parameters are named.
const METADATA: &str = "metadata[name]";

/// What a list was asked for.
pub(super) struct ListQuery {
    pub(super) filter: KeyFilter,
    pub(super) order: KeyOrder,
    pub(super) after: Option<Position>,
    pub(super) limit: u8,
}

impl ListQuery {
    /// Reads the query string of a list.
    ///
    /// # Errors
    /// 422 for what is not acceptable, a cursor of another order included.
    pub(super) fn parse(uri: &Uri) -> Result<Self, Problem> {
        let mut metadata = Metadata::default();
        for (name, value) in pairs(uri) {
            let Some(name) = entry(&name) else { continue };
            if value.is_empty() {
                return Err(refuse(
                    "metadata: a value is empty: give one, or leave it out",
                ));
            }
            metadata
                .insert(name, &value)
                .map_err(|why| refuse(format!("metadata: {why}")))?;
        }
        let others = pairs(uri).filter(|(name, _)| entry(name).is_none());
        let query = Query::of(others, &FILTERS)?;
        let status = StatusFilter::ALL.map(|status| (status.as_str(), status));
        let orders = KeyOrder::ALL.map(|order| (order.as_str(), order));
        let order = query.word("sort", &orders)?.unwrap_or_default();
        let filter = KeyFilter {
            status: query.word("status", &status)?.unwrap_or_default(),
            search: query
                .text("search")
                .map(Search::new)
                .transpose()
                .map_err(|why| refuse(format!("search: {why}")))?,
            external_id: query
                .text("external_id")
                .map(ExternalId::new)
                .transpose()
                .map_err(|why| refuse(format!("external_id: {why}")))?,
            metadata,
            role: query.value("role")?,
            scope: query.value::<Scope>("scope")?,
            created_by: query.value::<Maker>("created_by")?.map(Makers::only),
            expires_before: query.value("expires_before")?,
            unused_since: query.value("unused_since")?,
        };
        let after = query.text("cursor").map(|text| {
            position(text, order).ok_or_else(|| {
                refuse("write the next_cursor of a page before this one, and its sort")
            })
        });
        Ok(Self {
            filter,
            order,
            after: after.transpose()?,
            limit: query.limit(),
        })
    }
}

/// The `next_cursor` that stands for a place: nothing a caller need understand.
pub(super) fn cursor(position: &Position) -> String {
    let value = match &position.value {
        SortValue::None => Value::Null,
        SortValue::Name(name) => json!(name),
        SortValue::End(end) => json!(end),
    };
    let text = json!([position.order.as_str(), value, position.id]).to_string();
    URL_SAFE_NO_PAD.encode(text)
}

/// The place that a cursor stands for, if it is one of this order.
fn position(cursor: &str, order: KeyOrder) -> Option<Position> {
    let text = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (of, value, id): (String, Value, String) = serde_json::from_slice(&text).ok()?;
    let value = match (order, value) {
        (KeyOrder::Newest | KeyOrder::Oldest, Value::Null) => SortValue::None,
        // As the name of a key: what no name can hold, no database need be asked about.
        (KeyOrder::Name | KeyOrder::NameDescending, Value::String(name)) => {
            let name = Name::new(&name).ok()?;
            SortValue::Name(name.as_str().to_ascii_lowercase())
        }
        (KeyOrder::Expiry | KeyOrder::ExpiryDescending, end) => {
            SortValue::End(serde_json::from_value(end).ok()?)
        }
        _ => return None,
    };
    let id = id.parse().ok()?;
    (of == order.as_str()).then_some(Position { order, value, id })
}

/// The name in `metadata[name]`.
fn entry(parameter: &str) -> Option<&str> {
    parameter.strip_prefix("metadata[")?.strip_suffix(']')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::KeyId;
    use crate::domain::timestamp::Timestamp;

    #[test]
    fn a_cursor_is_read_in_its_own_order_and_no_other() {
        let end = Timestamp::from_unix(60).unwrap();
        for order in KeyOrder::ALL {
            let value = match order {
                KeyOrder::Newest | KeyOrder::Oldest => SortValue::None,
                KeyOrder::Name => SortValue::Name("ä [\"x\"] \u{10ffff}".to_owned()),
                KeyOrder::NameDescending => SortValue::Name("a".to_owned()),
                KeyOrder::Expiry => SortValue::End(Some(end)),
                KeyOrder::ExpiryDescending => SortValue::End(None),
            };
            let id = KeyId::new(ulid::Ulid(7));
            let place = Position { order, value, id };
            let text = cursor(&place);
            for other in KeyOrder::ALL {
                let expected = (other == order).then(|| place.clone());
                assert_eq!(position(&text, other), expected);
            }
        }
    }
}
