//! `POST …/rotate` and `POST …/rotate/finish`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{CreatedView, Remedy, of_key, tagged};
use crate::app::App;
use crate::domain::api_key::OverlapSpan;
use crate::domain::management::ManagementAction;
use crate::http::reach::{Answer, Reach};
use crate::http::{conditional, idempotency, json};
use crate::manage::api_keys as manage;

/// How a key is rotated.
#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Rotation)]
pub(super) struct RotateBody {
    #[serde(default)]
    overlap_seconds: OverlapSpan,
}

/// `POST …/rotate`: another secret; the only answer that carries it.
pub async fn rotate(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    reach.require(ManagementAction::ApiKeysUpdate)?;
    let (parts, body) = request.into_parts();
    let bytes = json::take(body).await.map_err(|why| reach.refuse(why))?;
    let once = idempotency::read(&parts, &reach, &bytes).map_err(|why| reach.refuse(why))?;
    let body: RotateBody =
        json::parse_optional(&parts.headers, &bytes).map_err(|why| reach.refuse(why))?;
    let rotated = manage::rotate(
        Arc::clone(&app.management),
        reach.actor.clone(),
        reach.organization.clone(),
        reach.key.expect("the route has {id}"),
        body.overlap_seconds,
        conditional::if_match(&parts.headers),
        once,
    )
    .await
    .map_err(|why| reach.refuse_act(why))?;
    let view = CreatedView::of(&rotated, &app, Remedy::RotateAgain);
    Ok(tagged(json::answer(StatusCode::OK, &view), &rotated.key))
}

/// `POST …/rotate/finish`: the secret before ends now.
pub async fn finish(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    reach.require(ManagementAction::ApiKeysUpdate)?;
    let (parts, body) = request.into_parts();
    json::nothing(&parts.headers, body)
        .await
        .map_err(|why| reach.refuse(why))?;
    let key = manage::finish_rotation(
        Arc::clone(&app.management),
        reach.actor.clone(),
        reach.organization.clone(),
        reach.key.expect("the route has {id}"),
        conditional::if_match(&parts.headers),
    )
    .await
    .map_err(|why| reach.refuse_act(why))?;
    Ok(of_key(&app, &key))
}
