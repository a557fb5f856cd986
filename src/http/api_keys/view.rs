//! API keys as answers show them.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::api_key::{ApiKey, Creator, LastUse, RevokeReason, Status};
use crate::domain::network::NetworkSet;
use crate::domain::organization::OrganizationId;
use crate::domain::rate_limit::RateLimit;
use crate::domain::role::RoleNames;
use crate::domain::scope::ScopeSet;
use crate::domain::secret::{ApiKeySecret, KeyId};
use crate::domain::text::{Description, ExternalId, Metadata, Name};
use crate::domain::timestamp::Timestamp;
use crate::http::openapi::words::text;
use crate::manage::api_keys::Warning;

/// An API key, as everybody who may see it sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct KeyView<'a> {
    id: KeyId,
    name: &'a Name,
    #[schema(required)]
    description: Option<&'a Description>,
    organization: &'a OrganizationId,
    status: Status,
    scopes: &'a ScopeSet,
    roles: &'a RoleNames,
    effective_scopes: &'a ScopeSet,
    allowed_ip_cidrs: &'a NetworkSet,
    #[schema(required)]
    rate_limit: Option<RateLimit>,
    /// Whether services that are shown the key itself refuse it, whatever the policy says.
    exchange_only: bool,
    fingerprint: &'a str,
    secrets: Vec<SecretView<'a>>,
    #[schema(required)]
    external_id: Option<&'a ExternalId>,
    metadata: &'a Metadata,
    created_at: Timestamp,
    #[schema(required)]
    created_by: Option<String>,
    #[schema(required)]
    expires_at: Option<Timestamp>,
    #[schema(required)]
    disabled_at: Option<Timestamp>,
    #[schema(required)]
    revoked_at: Option<Timestamp>,
    #[schema(required)]
    revoke_reason: Option<RevokeReason>,
    revision: i64,
    #[schema(required)]
    last_used_at: Option<Timestamp>,
}

/// A secret of a key, by all that may be told of it.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKeySecret)]
struct SecretView<'a> {
    fingerprint: &'a str,
    created_at: Timestamp,
    /// When a rotation ends it; `null` for the key's own.
    #[schema(required)]
    expires_at: Option<Timestamp>,
    #[schema(required)]
    last_used_at: Option<Timestamp>,
    #[schema(required)]
    last_used_address: Option<&'a str>,
}

/// A secret in the one answer that shows it, or why it is not there.
#[derive(Serialize)]
pub struct OneSight<'a> {
    secret: Option<&'a str>,
    #[serde(flatten)]
    withheld: Option<Withheld>,
}

#[derive(Serialize)]
struct Withheld {
    secret_withheld: bool,
    secret_hint: &'static str,
}

impl OneSight<'_> {
    /// Its members, in an answer that always has the secret's or may not.
    fn members(always: bool) -> ObjectBuilder {
        let secret = ObjectBuilder::new()
            .schema_type(SchemaType::Array(vec![Type::String, Type::Null]))
            .description(Some(
                "The full key string, in this one answer; null if sent before",
            ));
        let members = ObjectBuilder::new()
            .schema_type(Type::Object)
            .property("secret", secret)
            .property("secret_withheld", one_of_true())
            .property("secret_hint", text("How to come by a secret after all"));
        if always {
            members.required("secret")
        } else {
            members
        }
    }
}

impl PartialSchema for OneSight<'_> {
    fn schema() -> RefOr<Schema> {
        Self::members(true).into()
    }
}

impl ToSchema for OneSight<'_> {
    fn name() -> Cow<'static, str> {
        "Secret".into()
    }
}

/// The members of [`OneSight`], which may all be absent.
pub struct MaybeSecret;

impl PartialSchema for MaybeSecret {
    fn schema() -> RefOr<Schema> {
        OneSight::members(false).into()
    }
}

impl ToSchema for MaybeSecret {
    fn name() -> Cow<'static, str> {
        "MaybeSecret".into()
    }
}

fn one_of_true() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Boolean)
        .enum_values(Some([true]))
}

/// What to do when the one answer that had a secret was lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remedy {
    /// After a create.
    Rotate,
    /// After a rotation.
    RotateAgain,
    /// After a bootstrap.
    Reissue,
}

impl Remedy {
    const fn hint(self) -> &'static str {
        match self {
            Self::Rotate => {
                "this request was done before, and its answer alone had the secret: if that \
                 answer was lost, rotate the key for another secret, or revoke it and create one \
                 under a new Idempotency-Key"
            }
            Self::RotateAgain => {
                "this request was done before, and its answer alone had the new secret: if that \
                 answer was lost, rotate again once this rotation is over; until then the secret \
                 before counts"
            }
            Self::Reissue => {
                "this request was done before, and its answer alone had the secret: if that \
                 answer was lost, send {\"reissue\":true} under a new Idempotency-Key"
            }
        }
    }
}

/// Something allowed that is often a mistake.
#[derive(Serialize, ToSchema)]
#[schema(as = Warning)]
pub struct WarningView {
    code: Warning,
    detail: &'static str,
}

impl<'a> KeyView<'a> {
    /// The key as it is at `now`.
    #[must_use]
    pub fn of(key: &'a ApiKey, now: Timestamp) -> Self {
        let own = SecretView {
            fingerprint: &key.fingerprint,
            created_at: key.secret_created_at,
            expires_at: None,
            last_used_at: key.secret_last_use.as_ref().map(|used| used.at),
            last_used_address: address(key.secret_last_use.as_ref()),
        };
        let before = key.overlap(now).map(|before| SecretView {
            fingerprint: &before.fingerprint,
            created_at: before.created_at,
            expires_at: Some(before.ends_at),
            last_used_at: before.last_use.as_ref().map(|used| used.at),
            last_used_address: address(before.last_use.as_ref()),
        });
        Self {
            id: key.id,
            name: &key.name,
            description: key.description.as_ref(),
            organization: &key.organization,
            status: key.status(now),
            scopes: &key.scopes,
            roles: &key.roles,
            effective_scopes: &key.effective,
            allowed_ip_cidrs: &key.networks,
            rate_limit: key.rate_limit,
            exchange_only: key.exchange_only,
            fingerprint: &key.fingerprint,
            secrets: std::iter::once(own).chain(before).collect(),
            external_id: key.external_id.as_ref(),
            metadata: &key.metadata,
            created_at: key.created_at,
            created_by: match key.created_by {
                Creator::Key(id) => Some(id.to_string()),
                Creator::Operator(_) => Some("operator".to_owned()),
                Creator::CommandLine => None,
            },
            expires_at: key.expires_at,
            disabled_at: key.disabled_at,
            revoked_at: key.revoked.map(|revoked| revoked.at),
            revoke_reason: key.revoked.map(|revoked| revoked.reason),
            revision: key.revision,
            last_used_at: key.last_used_at,
        }
    }
}

fn address(used: Option<&LastUse>) -> Option<&str> {
    used.and_then(|used| used.address.as_deref())
}

impl<'a> OneSight<'a> {
    /// Of a secret that was just made; `None` when the request was sent before.
    #[must_use]
    pub fn of(secret: Option<&'a ApiKeySecret>, remedy: Remedy) -> Self {
        Self {
            secret: secret.map(ApiKeySecret::expose),
            withheld: secret.is_none().then_some(Withheld {
                secret_withheld: true,
                secret_hint: remedy.hint(),
            }),
        }
    }
}

impl WarningView {
    /// Each with a sentence for people, of a role rather than a key.
    #[must_use]
    pub fn all_of_role(warnings: &[Warning]) -> Vec<Self> {
        let mut views = Self::all(warnings);
        for view in &mut views {
            if view.code == Warning::WidenedScopes {
                view.detail = "every key that holds this role may do more than before";
            }
        }
        views
    }

    /// Each with a sentence for people.
    #[must_use]
    pub fn all(warnings: &[Warning]) -> Vec<Self> {
        let view = |code: &Warning| Self {
            code: *code,
            detail: match code {
                Warning::WildcardNetwork => {
                    "this key can be used from any address; name networks to restrict it"
                }
                Warning::NoExpiry => "this key never ends by itself; give it an end to be safe",
                Warning::WidenedScopes => "this key may do more than before",
                Warning::WidenedNetworks => "this key may be used from more addresses than before",
                Warning::BreaksPresentUse => {
                    "uses like some of the last 7 days will be refused, or give less; a dry run \
                     lists them"
                }
            },
        };
        warnings.iter().map(view).collect()
    }
}
