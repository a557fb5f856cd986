//! Ids in paths. One that cannot exist is looked up like one that merely does not.

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams};
use axum::http::request::Parts;
use ulid::Ulid;

use crate::domain::issuer::Issuer;
use crate::domain::organization::OrganizationId;
use crate::domain::role::RoleName;
use crate::domain::scope::{ActionName, ActionNameError};
use crate::domain::secret::KeyId;
use crate::domain::signing_key::Kid;

/// The ids of a matched path, where its route has them.
#[derive(Debug, Default)]
pub struct Ids {
    /// `{org}`.
    pub organization: Option<OrganizationId>,
    /// `{id}`.
    pub key: Option<KeyId>,
    /// `{role}`.
    pub role: Option<RoleName>,
    /// `{action}`. Whoever would define it is told why it is none.
    pub action: Option<Result<ActionName, ActionNameError>>,
    /// `{kid}`.
    pub kid: Option<Kid>,
}

impl Ids {
    /// Reads the ids of a matched path. For text that is no id, an id that is never given
    /// out stands in: the answer then is that of any unknown one, to the byte.
    pub async fn of(parts: &mut Parts) -> Self {
        let nobody = || OrganizationId::generated(Ulid::nil());
        let nothing = || KeyId::new(Ulid::nil());
        let no_action = || Err(ActionNameError::NotOne);
        // Not UTF-8 once decoded: whatever it names, it does not exist.
        let Ok(params) = RawPathParams::from_request_parts(parts, &()).await else {
            let route = parts.extensions.get::<MatchedPath>();
            let names = |id: &str| route.is_some_and(|route| route.as_str().contains(id));
            return Self {
                organization: names("{org}").then(nobody),
                key: names("{id}").then(nothing),
                role: names("{role}").then(RoleName::of_none),
                action: names("{action}").then(no_action),
                kid: names("{kid}").then(Kid::of_none),
            };
        };
        let mut ids = Self::default();
        for (name, text) in &params {
            match name {
                "org" => ids.organization = Some(text.parse().unwrap_or_else(|_| nobody())),
                "id" => ids.key = Some(text.parse().unwrap_or_else(|_| nothing())),
                "role" => {
                    ids.role = Some(text.parse().unwrap_or_else(|_| RoleName::of_none()));
                }
                "action" => ids.action = Some(text.parse()),
                "kid" => ids.kid = Some(text.parse().unwrap_or_else(|_| Kid::of_none())),
                _ => {}
            }
        }
        ids
    }
}

/// The issuer of the organization that a path names.
pub async fn organization_issuer(parts: &mut Parts) -> Issuer {
    let named = Ids::of(parts).await.organization;
    Issuer::Organization(named.expect("the route has {org}"))
}
