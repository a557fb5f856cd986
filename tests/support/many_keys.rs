//! Keys by the thousand, as rows: nobody holds their secrets.

use super::key_rows::insert;
use super::server::Place;

/// Adds `count` keys to an organization, older than any other, numbered from 1 behind `from`;
/// see [`insert`].
pub async fn add(place: &Place, organization: &str, from: u32, count: u32) {
    place.execute(&insert(organization, from, count)).await;
}
