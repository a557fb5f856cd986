//! API keys in the OpenAPI document.

use utoipa::PartialSchema;

use super::body::{EditBody, NewKeyBody, RevokeBody};
use super::bulk::{BulkBody, BulkView};
use super::dry_run::DryRunView;
use super::rotate::RotateBody;
use super::view::KeyView;
use super::{CreatedView, EditedView};
use crate::domain::api_key::{KeyOrder, Maker, Search, StatusFilter};
use crate::domain::role::RoleName;
use crate::domain::scope::Scope;
use crate::domain::text::{ExternalId, Metadata};
use crate::domain::timestamp::Timestamp;
use crate::http::openapi::Operation;
use crate::http::openapi::words::one_of;

/// Every operation.
pub fn describe() -> Vec<Operation> {
    let (all, one, the_key) = ("/v1/api-keys", "/v1/api-keys/{id}", "The key");
    let mut operations = vec![
        list(all),
        Operation::post(all, "createApiKey", "Makes an API key")
            .once()
            .takes::<NewKeyBody>()
            .answers_tagged::<CreatedView>(201, "The key, with its secret")
            .answers_tagged::<CreatedView>(200, "Sent before; the key, without its secret"),
        Operation::post(
            "/v1/api-keys/revoke",
            "revokeApiKeys",
            "Revokes many keys at once",
        )
        .takes::<BulkBody>()
        .answers::<BulkView>(200, "How many, and the first of them"),
        Operation::get(one, "getApiKey", "Shows an API key")
            .answers_tagged::<KeyView>(200, the_key),
        Operation::patch(one, "editApiKey", "Edits an API key, as a merge patch")
            .flag("dry_run", "Only tells what the edit would do")
            .conditional()
            .takes::<EditBody>()
            .answers_either::<EditedView, DryRunView>(200, "The key as it is now, or would be"),
    ];
    operations.extend(switches(the_key));
    operations
}

fn switches(the_key: &str) -> Vec<Operation> {
    vec![
        Operation::post(
            "/v1/api-keys/{id}/disable",
            "disableApiKey",
            "Switches a key off",
        )
        .answers_tagged::<KeyView>(200, the_key),
        Operation::post(
            "/v1/api-keys/{id}/enable",
            "enableApiKey",
            "Switches a key on again",
        )
        .answers_tagged::<KeyView>(200, the_key),
        Operation::post(
            "/v1/api-keys/{id}/revoke",
            "revokeApiKey",
            "Ends a key for good",
        )
        .may_take::<RevokeBody>()
        .answers_tagged::<KeyView>(200, the_key),
        Operation::post(
            "/v1/api-keys/{id}/rotate",
            "rotateApiKey",
            "Makes another secret",
        )
        .once()
        .conditional()
        .may_take::<RotateBody>()
        .answers_tagged::<CreatedView>(200, "The key, with its new secret"),
        Operation::post(
            "/v1/api-keys/{id}/rotate/finish",
            "finishApiKeyRotation",
            "Ends the secret before now",
        )
        .conditional()
        .answers_tagged::<KeyView>(200, the_key),
    ]
}

fn list(path: &'static str) -> Operation {
    let sort = one_of(&KeyOrder::ALL.map(KeyOrder::as_str));
    Operation::get(path, "listApiKeys", "Lists API keys")
        .query("status", "Active ones, if not said", StatusFilter::schema())
        .query(
            "search",
            "In the name, or at the beginning of the id",
            Search::schema(),
        )
        .query(
            "external_id",
            "Held for this customer",
            ExternalId::schema(),
        )
        .query_map::<Metadata>("metadata", "With these entries: metadata[plan]=pro")
        .query("role", "Holding this role", RoleName::schema())
        .query("scope", "Able to do all of this", Scope::schema())
        .query(
            "created_by",
            "Made by this key, or operator",
            Maker::schema(),
        )
        .query("expires_before", "Ending before this", Timestamp::schema())
        .query(
            "unused_since",
            "Made before this and never used since",
            Timestamp::schema(),
        )
        .query("sort", "Newest first, if not said", sort)
        .paged()
        .answers_page::<KeyView>("A page of keys")
}
