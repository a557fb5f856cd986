//! What introspection answers (RFC 7662 §2.2).

use serde::Serialize;
use utoipa::ToSchema;

use crate::check::introspection::Active;
use crate::domain::audience::Audience;
use crate::domain::issuer::BaseUrl;
use crate::domain::network::NetworkSet;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::KeyId;
use crate::domain::text::{Metadata, Text};
use crate::domain::timestamp::Timestamp;

/// A credential in force. Times are Unix seconds (RFC 7519 §2).
#[derive(Serialize, ToSchema)]
#[schema(as = ActiveCredential)]
pub struct ActiveView<'a> {
    active: bool,
    /// `Bearer` for an access token, `api_key` for an API key, so that a service can insist on
    /// tokens.
    token_type: TokenType,
    scope: &'a str,
    client_id: KeyId,
    sub: KeyId,
    org: &'a OrganizationId,
    /// Of a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    /// Of a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Audience>)]
    aud: Option<&'a Audience>,
    /// When it ends; an API key may have no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    /// Of a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<&'a str>,
    /// The networks it may be used from; left out when from anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_ip_cidrs: Option<&'a NetworkSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    #[schema(value_type = Option<Metadata>)]
    metadata: &'a Metadata,
}

/// What kind of credential it is.
#[derive(Serialize, ToSchema, Clone, Copy)]
enum TokenType {
    #[serde(rename = "Bearer")]
    Bearer,
    #[serde(rename = "api_key")]
    ApiKey,
}

/// Nothing more is said, whatever the cause.
#[derive(Serialize, Default, ToSchema)]
#[schema(as = InactiveCredential)]
pub struct Inactive {
    active: bool,
}

impl<'a> ActiveView<'a> {
    /// What is told of it.
    pub fn of(active: &'a Active, base: &BaseUrl, scope: &'a str) -> Self {
        let key = active.holder.key();
        let token = active.holder.token.as_deref();
        Self {
            active: true,
            token_type: match token {
                Some(_) => TokenType::Bearer,
                None => TokenType::ApiKey,
            },
            scope,
            client_id: key.id,
            sub: key.id,
            org: &key.organization,
            iss: token.map(|token| token.issuer.name(base)),
            aud: token.map(|token| &token.claims.aud),
            exp: active.holder.ends_at().map(Timestamp::unix),
            iat: active.holder.issued_at().unix(),
            nbf: token.and_then(|token| token.claims.nbf),
            jti: token.map(|token| &*token.claims.jti),
            allowed_ip_cidrs: active.networks.as_ref(),
            external_id: key.external_id.as_ref().map(Text::as_str),
            metadata: &key.metadata,
        }
    }
}
