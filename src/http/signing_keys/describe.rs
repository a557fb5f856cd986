//! Signing keys in the OpenAPI document.

use super::{ImportBody, RevokedView, RotateBody, RotatedView, SigningKeyView};
use crate::http::openapi::Operation;

/// Every operation.
pub fn describe() -> Vec<Operation> {
    vec![
        Operation::get(
            "/v1/signing-keys",
            "listSigningKeys",
            "Lists signing keys, the newest first",
        )
        .paged()
        .answers_page::<SigningKeyView>("A page of signing keys"),
        Operation::get(
            "/v1/signing-keys/{kid}",
            "getSigningKey",
            "Shows a signing key",
        )
        .answers::<SigningKeyView>(200, "The signing key"),
        Operation::post(
            "/v1/signing-keys/rotate",
            "rotateSigningKey",
            "Publishes the next signing key, or signs with it at once in an emergency",
        )
        .once()
        .may_take::<RotateBody>()
        .answers::<RotatedView>(200, "Sent before; the key as it is now")
        .answers::<RotatedView>(201, "The key that is rotated to"),
        Operation::post(
            "/v1/organizations/{org}/signing-keys/import",
            "importSigningKey",
            "Takes a private key that was made elsewhere as a signing key",
        )
        .takes::<ImportBody>()
        .answers::<SigningKeyView>(201, "The signing key"),
        Operation::post(
            "/v1/signing-keys/{kid}/revoke",
            "revokeSigningKey",
            "Withdraws a signing key for good",
        )
        .answers::<RevokedView>(
            200,
            "It is withdrawn; how long that is not known everywhere",
        ),
    ]
}
