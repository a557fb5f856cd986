//! What an access token says (RFC 9068 §2.2).

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::api_key::ApiKey;
use super::audience::Audience;
use super::issuer::{BaseUrl, Issuer};
use super::network::NetworkSet;
use super::organization::OrganizationId;
use super::scope::ScopeSet;
use super::secret::KeyId;
use super::timestamp::Timestamp;

/// Longest token issued, in bytes: it must fit beside cookies in the 8 KB of headers that
/// common servers accept.
pub const MAX_TOKEN: usize = 6 * 1024;

/// The claims of an access token about to be signed. Borrowed: they live for one signature.
#[derive(Serialize, Clone, Copy, Debug)]
pub struct Claims<'a> {
    /// The issuer's name.
    pub iss: &'a str,
    /// The key's id: a client acts for itself.
    pub sub: &'a str,
    /// The key's id (RFC 9068 §2.2).
    pub client_id: &'a str,
    /// Which resources the token is for.
    pub aud: &'a Audience,
    /// When it was issued, Unix seconds.
    #[serde(with = "numeric_date")]
    pub iat: Timestamp,
    /// When it begins to count, Unix seconds.
    #[serde(with = "numeric_date")]
    pub nbf: Timestamp,
    /// When it ends, Unix seconds: never after the key itself.
    #[serde(with = "numeric_date")]
    pub exp: Timestamp,
    /// Unique to the token.
    pub jti: &'a str,
    /// Space-separated (RFC 8693 §4.2).
    pub scope: &'a str,
    /// The key's organization.
    pub org: &'a OrganizationId,
    /// The networks the key may be used from; absent when from anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_ip_cidrs: Option<&'a RawValue>,
}

/// What every token of a key says alike.
#[derive(Clone, Debug)]
pub struct KeyClaims {
    /// `sub` and `client_id`.
    pub id: String,
    /// `scope` when nothing narrower is asked for.
    pub scope: String,
    /// `allowed_ip_cidrs`.
    pub networks: Option<Box<RawValue>>,
}

impl KeyClaims {
    /// Those of a key.
    #[must_use]
    pub fn of(key: &ApiKey) -> Self {
        Self::with(key.id, &key.effective, &key.networks)
    }

    /// Those of a key that has these scopes and networks.
    #[must_use]
    pub fn with(id: KeyId, scopes: &ScopeSet, networks: &NetworkSet) -> Self {
        Self {
            id: id.to_string(),
            scope: scopes.to_parameter(),
            networks: networks_claim(networks),
        }
    }
}

/// The claim `allowed_ip_cidrs` of these networks; `None` where they are everywhere.
#[must_use]
pub fn networks_claim(networks: &NetworkSet) -> Option<Box<RawValue>> {
    let restricted = (!networks.is_unrestricted()).then_some(networks);
    restricted.map(|networks| to_raw_value(networks).expect("networks are JSON"))
}

/// The claims of a token presented to tenmint itself, after its signature was verified.
///
/// Unknown claims are ignored, as RFC 7519 §4 asks of every validator.
#[derive(Deserialize, Clone, Debug)]
pub struct PresentedClaims {
    /// The key it was issued to.
    pub client_id: String,
    /// Space-separated scopes.
    pub scope: String,
    /// Which resources it is for.
    pub aud: Audience,
    /// The organization it was issued in.
    pub org: String,
    /// When it was issued, Unix seconds.
    #[serde(with = "numeric_date")]
    pub iat: Timestamp,
    /// When it begins to count, Unix seconds, if it says.
    #[serde(default)]
    pub nbf: Option<i64>,
    /// When it ends, Unix seconds.
    #[serde(with = "numeric_date")]
    pub exp: Timestamp,
    /// Unique to the token.
    pub jti: String,
    /// The networks its key may be used from; `None` when from anywhere. A claim that is there
    /// and is no list of networks makes the token none.
    #[serde(default, deserialize_with = "networks")]
    pub allowed_ip_cidrs: Option<NetworkSet>,
}

/// The longest token a key could obtain, in bytes: so that a key whose tokens could not
/// travel is refused when it is made, not when it is used.
#[must_use]
pub fn longest_token(
    base: &BaseUrl,
    audience: &Audience,
    organization: &OrganizationId,
    of_key: &KeyClaims,
) -> usize {
    /// The header with the longest kid, the signature of the longest key (RS256 of 4096 bits:
    /// which key signs can change at any time), two dots.
    const AROUND: usize = 223 + 683 + 2;
    let issuer = Issuer::Organization(organization.clone());
    let claims = Claims {
        iss: &issuer.name(base),
        sub: &of_key.id,
        client_id: &of_key.id,
        aud: audience,
        iat: Timestamp::MAX,
        nbf: Timestamp::MAX,
        exp: Timestamp::MAX,
        jti: "0123456789012345678901",
        scope: &of_key.scope,
        org: organization,
        allowed_ip_cidrs: of_key.networks.as_deref(),
    };
    let payload = serde_json::to_vec(&claims).expect("claims are JSON").len();
    payload.div_ceil(3) * 4 + AROUND
}

/// Not even `null` stands for anywhere.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NetworkSet>, D::Error> {
    NetworkSet::deserialize(deserializer).map(Some)
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
mod numeric_date {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Timestamp;

    pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(at.unix())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        Timestamp::from_unix(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
