//! What a client sends to an endpoint of the OAuth plane: a form, and one credential (RFC 6749
//! §2.3.1 and §3.2).

use std::borrow::Cow;

use axum::http::{HeaderMap, Uri, header};
use zeroize::Zeroizing;

use super::authorization::{Authorization, read};
use crate::domain::secret::PresentedSecret;

/// Longest body, in bytes.
pub const MAX_BODY: usize = 32 * 1024;

/// Most parameters a body may have. No request needs more.
const MAX_PARAMETERS: usize = 64;

/// How the client presented itself, which decides what a refusal names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// HTTP Basic, the body, or not at all.
    Basic,
    /// The API key alone, as Bearer.
    Bearer,
}

/// Why a request is none that the endpoint can answer. Each is a client's own mistake, told to
/// anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Parameters in the URL: they end up in logs.
    #[error(
        "send parameters in the request body, never in the URL; treat a secret sent there as leaked"
    )]
    Query,
    /// Another content type.
    #[error("send the parameters as application/x-www-form-urlencoded")]
    ContentType,
    /// A parameter that may be there once is there twice.
    #[error("a parameter is given more than once")]
    Repeated,
    /// More parameters than any request needs.
    #[error("too many parameters")]
    TooMany,
    /// Credentials in more than one place.
    #[error("present the client credentials in one way only: Basic, body, or Bearer")]
    SeveralCredentials,
    /// Two Authorization headers.
    #[error("send one Authorization header only")]
    SeveralHeaders,
    /// `client_id` in the body differs from the one authenticated.
    #[error("client_id in the body differs from the client that authenticates")]
    OtherClientId,
    /// No grant type.
    #[error("grant_type is missing; send grant_type=client_credentials")]
    NoGrantType,
    /// A grant type that is not offered.
    #[error("the only grant_type here is client_credentials")]
    GrantType,
    /// Nothing to revoke, or to ask about.
    #[error("token is missing; send the access token or the API key that this is about")]
    NoToken,
    /// No address.
    #[error("ip is not an address; write one such as 203.0.113.9 or 2001:db8::9")]
    NoAddress,
}

/// A request about a token (RFC 7009 §2.1, RFC 7662 §2.1), by a client or by nobody.
pub struct AboutToken {
    /// The token or API key that it is about.
    pub token: Zeroizing<String>,
    /// The client's key; `None` when none was presented, or what was cannot be one.
    pub secret: Option<PresentedSecret>,
    /// How it was presented.
    pub scheme: Scheme,
}

/// One that may be given once.
pub type Parameter<'a> = Option<Cow<'a, str>>;

/// One that may be given once and is a secret. It cannot be printed by accident, and leaves memory.
pub type SecretParameter = Option<Zeroizing<String>>;

/// The parameters of a form, in their order.
///
/// # Errors
/// [`Malformed::Query`], [`Malformed::ContentType`] or [`Malformed::TooMany`].
pub fn parameters<'a>(
    uri: &Uri,
    headers: &HeaderMap,
    body: &'a [u8],
) -> Result<form_urlencoded::Parse<'a>, Malformed> {
    if uri.query().is_some_and(|query| !query.is_empty()) {
        return Err(Malformed::Query);
    }
    let says_nothing = body.is_empty() && !headers.contains_key(header::CONTENT_TYPE);
    if !says_nothing && !is_form(headers) {
        return Err(Malformed::ContentType);
    }
    let parameters = body.split(|byte| *byte == b'&');
    if parameters.filter(|one| !one.is_empty()).count() > MAX_PARAMETERS {
        return Err(Malformed::TooMany);
    }
    Ok(form_urlencoded::parse(body))
}

/// Keeps a parameter that may be given once.
///
/// # Errors
/// [`Malformed::Repeated`].
pub fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Malformed> {
    match slot.replace(value) {
        Some(_) => Err(Malformed::Repeated),
        None => Ok(()),
    }
}

impl AboutToken {
    /// Parses a request whose body was read; `other` takes each parameter that is not common to
    /// all such requests.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn parse<'a>(
        uri: &Uri,
        headers: &HeaderMap,
        body: &'a [u8],
        mut other: impl FnMut(&str, Cow<'a, str>) -> Result<(), Malformed>,
    ) -> Result<Self, Malformed> {
        let (mut token, mut client_secret) = (None, None);
        let (mut token_type_hint, mut client_id): (Parameter<'_>, Parameter<'_>) = (None, None);
        for (name, value) in parameters(uri, headers, body)? {
            match &*name {
                "token" => once(&mut token, Zeroizing::new(value.into_owned()))?,
                // What kind of token it is shows by itself.
                "token_type_hint" => once(&mut token_type_hint, value)?,
                "client_id" => once(&mut client_id, value)?,
                "client_secret" => once(&mut client_secret, Zeroizing::new(value.into_owned()))?,
                _ => other(&name, value)?,
            }
        }
        let id = client_id.as_deref().filter(|id| !id.is_empty());
        let secret = client_secret.as_ref().map(|secret| secret.as_str());
        let secret = secret.filter(|secret| !secret.is_empty());
        let (secret, scheme) = credentials(headers, id, secret)?;
        let token: SecretParameter = token.filter(|token: &Zeroizing<String>| !token.is_empty());
        Ok(Self {
            token: token.ok_or(Malformed::NoToken)?,
            secret,
            scheme,
        })
    }
}

/// The one credential of a request. What is there but cannot be a key is `None`: the client
/// is told what a client with a wrong key is told.
///
/// # Errors
/// When there is more than one, or they contradict each other.
pub fn credentials(
    headers: &HeaderMap,
    client_id: Option<&str>,
    client_secret: Option<&str>,
) -> Result<(Option<PresentedSecret>, Scheme), Malformed> {
    let authorization = read(headers);
    let (id, secret, scheme) = match &authorization {
        Authorization::Several => return Err(Malformed::SeveralHeaders),
        Authorization::Absent => {
            let pair = client_id.zip(client_secret);
            return Ok((pair.and_then(|(id, secret)| key(id, secret)), Scheme::Basic));
        }
        _ if client_secret.is_some() => return Err(Malformed::SeveralCredentials),
        Authorization::Other | Authorization::Basic(None) => return Ok((None, Scheme::Basic)),
        Authorization::Basic(Some(pair)) => (Some(pair.id()), pair.secret(), Scheme::Basic),
        Authorization::Bearer(text) => (None, *text, Scheme::Bearer),
    };
    let parsed = match id {
        Some(id) => key(id, secret),
        None => PresentedSecret::read(secret),
    };
    let Some(named) = client_id else {
        return Ok((parsed, scheme));
    };
    let parsed = match (id, parsed) {
        (Some(id), parsed) if id == named => parsed,
        (None, None) => None,
        (None, Some(secret)) => Some(secret.beside(named).ok_or(Malformed::OtherClientId)?),
        (Some(_), _) => return Err(Malformed::OtherClientId),
    };
    Ok((parsed, scheme))
}

/// A key whose own id is the `client_id` beside it.
fn key(client_id: &str, secret: &str) -> Option<PresentedSecret> {
    PresentedSecret::read(secret)?.beside(client_id)
}

fn is_form(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| {
            kind.trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        })
}
