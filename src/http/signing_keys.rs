//! `/v1/signing-keys`, and the operator's way in at `/v1/organizations/{org}/signing-keys`.

mod describe;
mod view;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::query::Query;
use super::reach::{Answer, Reach};
use super::{idempotency, json};
use crate::app::App;
use crate::domain::management::ManagementAction;
use crate::domain::signing_key::{Algorithm, Kid, PrivateKeyPem, RsaBits};
use crate::manage::signing_keys::{self as manage, Import, Rotation};

pub use describe::describe;
pub(super) use view::SigningKeyView;
use view::{RevokedView, RotatedView};

/// What to rotate to, and how fast.
#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SigningKeyRotation)]
struct RotateBody {
    /// What the new key signs with; what the active one does, if not said.
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    alg: Option<Algorithm>,
    /// For RS256; as long as the active key, or 2048 bits, if not said.
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    rsa_bits: Option<RsaBits>,
    /// Whether the new key signs at once, though no validator can know it yet.
    #[serde(default)]
    emergency: bool,
}

/// A private key that was made elsewhere.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SigningKeyImport)]
struct ImportBody {
    /// Unencrypted PKCS#8: P-256, Ed25519, or RSA of 2048, 3072 or 4096 bits.
    private_key_pem: PrivateKeyPem,
    /// Under which id validators know it; its RFC 7638 thumbprint, if not said.
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    kid: Option<Kid>,
    /// Whether validators have the key already: then it signs at once.
    #[serde(default)]
    already_published: bool,
}

/// `GET` of the collection.
pub async fn list(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    reach.require(ManagementAction::SigningKeysRead)?;
    let query = Query::parse(request.uri(), &[]).map_err(|why| reach.refuse(why))?;
    let after: Option<Kid> = query.after().map_err(|why| reach.refuse(why))?;
    let (page, schedule) = manage::list(
        &app.management,
        &reach.actor,
        &reach.organization,
        after.as_ref(),
        query.limit(),
    )
    .await
    .map_err(|why| reach.refuse_act(why))?;
    let last = page.rows.last().filter(|_| page.more);
    let list = json::List {
        data: page
            .rows
            .iter()
            .map(|key| SigningKeyView::of(key, &schedule))
            .collect(),
        next_cursor: last.map(|key| &key.kid),
    };
    Ok(json::answer(StatusCode::OK, &list))
}

/// `GET` of one signing key.
pub async fn show(State(app): State<Arc<App>>, reach: Reach) -> Answer {
    let kid = reach.kid.as_ref().expect("the route has {kid}");
    let (key, schedule) = manage::show(&app.management, &reach.actor, &reach.organization, kid)
        .await
        .map_err(|why| reach.refuse_act(why))?;
    let view = SigningKeyView::of(&key, &schedule);
    Ok(json::answer(StatusCode::OK, &view))
}

/// `POST …/rotate`: a next key is published, or signs at once in an emergency.
pub async fn rotate(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    reach.require(ManagementAction::SigningKeysRotate)?;
    let (parts, body) = request.into_parts();
    let bytes = json::take(body).await.map_err(|why| reach.refuse(why))?;
    let once = idempotency::read(&parts, &reach, &bytes).map_err(|why| reach.refuse(why))?;
    let body: RotateBody =
        json::parse_optional(&parts.headers, &bytes).map_err(|why| reach.refuse(why))?;
    let rotation = Rotation {
        algorithm: body.alg,
        rsa_bits: body.rsa_bits,
        emergency: body.emergency,
    };
    let management = Arc::clone(&app.management);
    let (actor, organization) = (reach.actor.clone(), reach.organization.clone());
    let rotated = manage::rotate(management, actor, organization, rotation, once)
        .await
        .map_err(|why| reach.refuse_act(why))?;
    let status = if rotated.replayed {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let view = RotatedView::of(&rotated);
    Ok(json::answer(status, &view))
}

/// `POST …/import`: the operator brings a key that was made elsewhere. There is no
/// `Idempotency-Key`: the same key is not taken twice.
pub async fn import(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    reach.require(ManagementAction::OrganizationsWrite)?;
    let (parts, body) = request.into_parts();
    let body: ImportBody = json::read(&parts.headers, body)
        .await
        .map_err(|why| reach.refuse(why))?;
    let import = Import {
        private_key: body.private_key_pem,
        kid: body.kid,
        already_published: body.already_published,
    };
    let management = Arc::clone(&app.management);
    let (actor, organization) = (reach.actor.clone(), reach.organization.clone());
    let (key, schedule) = manage::import(management, actor, organization, import)
        .await
        .map_err(|why| reach.refuse_act(why))?;
    let view = SigningKeyView::of(&key, &schedule);
    Ok(json::answer(StatusCode::CREATED, &view))
}

/// `POST …/{kid}/revoke`: withdraws a key for good.
pub async fn revoke(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    reach.require(ManagementAction::SigningKeysRotate)?;
    let (parts, body) = request.into_parts();
    json::nothing(&parts.headers, body)
        .await
        .map_err(|why| reach.refuse(why))?;
    let revoked = manage::revoke(
        Arc::clone(&app.management),
        reach.actor.clone(),
        reach.organization.clone(),
        reach.kid.clone().expect("the route has {kid}"),
    )
    .await
    .map_err(|why| reach.refuse_act(why))?;
    let view = RevokedView::of(&revoked);
    Ok(json::answer(StatusCode::OK, &view))
}
