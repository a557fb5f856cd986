//! `POST /v1/organizations/{org}/bootstrap`: a signing key and the first management key.

mod describe;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::api_keys::{KeyView, MaybeSecret, OneSight, Remedy};
use super::organizations::OrganizationView;
use super::reach::{Answer, Reach};
use super::signing_keys::SigningKeyView;
use super::{idempotency, json};
use crate::app::App;
use crate::domain::management::ManagementAction;
use crate::domain::signing_key::{Algorithm, RsaBits};
use crate::manage::bootstrap::{self as manage, ManagementKey, Order};

pub use describe::describe;

#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Bootstrap)]
struct BootstrapBody {
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    alg: Option<Algorithm>,
    /// For RS256 [default: 2048].
    #[serde(default, deserialize_with = "json::present")]
    #[schema(nullable = false)]
    rsa_bits: Option<RsaBits>,
    #[serde(default)]
    reissue: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Bootstrapped)]
struct BootstrapView<'a> {
    organization: OrganizationView<'a>,
    signing_key: SigningKeyView<'a>,
    #[schema(required)]
    management_key: Option<ManagementKeyView<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ManagementKey)]
struct ManagementKeyView<'a> {
    #[serde(flatten)]
    key: KeyView<'a>,
    #[serde(flatten)]
    #[schema(value_type = MaybeSecret)]
    secret: Option<OneSight<'a>>,
}

/// 201 the first time, 200 afterwards; a secret only with the call that made it.
pub async fn bootstrap(State(app): State<Arc<App>>, reach: Reach, request: Request) -> Answer {
    let action = ManagementAction::OrganizationsWrite;
    reach
        .actor
        .require(action)
        .map_err(|why| reach.refuse_act(why))?;
    let (parts, body) = request.into_parts();
    let bytes = json::take(body).await.map_err(|why| reach.refuse(why))?;
    let once = idempotency::read(&parts, &reach, &bytes).map_err(|why| reach.refuse(why))?;
    let body: BootstrapBody =
        json::parse_optional(&parts.headers, &bytes).map_err(|why| reach.refuse(why))?;
    let order = Order {
        algorithm: body.alg,
        rsa_bits: body.rsa_bits,
        management_key: if body.reissue {
            ManagementKey::Reissue
        } else {
            ManagementKey::First
        },
    };
    let management = Arc::clone(&app.management);
    let (actor, id) = (reach.actor.clone(), reach.organization.clone());
    let done = manage::bootstrap(management, actor, id, order, once)
        .await
        .map_err(|why| reach.refuse_act(why))?;
    let now = app.mint.clock.now();
    let view = BootstrapView {
        organization: OrganizationView::of(&done.organization, &app.mint.base),
        // It signs: no time of it depends on what other servers are set to.
        signing_key: SigningKeyView::of(&done.signing_key, &app.management.configured),
        management_key: done.management_key.as_ref().map(|key| ManagementKeyView {
            key: KeyView::of(key, now),
            secret: (done.secret.is_some() || done.replayed)
                .then(|| OneSight::of(done.secret.as_deref(), Remedy::Reissue)),
        }),
    };
    let status = if done.first {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(json::answer(status, &view))
}
