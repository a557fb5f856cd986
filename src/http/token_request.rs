//! A token request, parsed: RFC 6749 §2.3.1, §3.2, §3.3 and §4.4.2, RFC 8707 §2.

use std::borrow::Cow;

use axum::http::{HeaderMap, Uri, header};
use zeroize::Zeroizing;

use super::authorization::{Authorization, read};
use crate::domain::scope::ScopeSet;
use crate::domain::secret::ApiKeySecret;
use crate::issue::AskedScope;

/// Most parameters a body may have. More is no token request.
const MAX_PARAMETERS: usize = 64;

/// How the client presented itself, which decides what a refusal names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// HTTP Basic, the body, or not at all.
    Basic,
    /// The API key alone, as Bearer.
    Bearer,
}

/// A well-formed token request.
pub struct TokenRequest<'a> {
    /// The key presented; `None` when what was presented cannot be one.
    pub secret: Option<ApiKeySecret>,
    /// How it was presented.
    pub scheme: Scheme,
    /// Which scopes.
    pub scope: AskedScope,
    /// The same as it was written, for the answer to repeat.
    pub scope_written: Option<Cow<'a, str>>,
    /// Which resources, as written.
    pub resources: Vec<Cow<'a, str>>,
}

/// Why a request is no token request. Each is a client's own mistake, told to anybody.
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
    /// More parameters than any token request has.
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
}

#[derive(Default)]
struct Form<'a> {
    grant_type: Option<Cow<'a, str>>,
    client_id: Option<Cow<'a, str>>,
    client_secret: Option<Zeroizing<String>>,
    scope: Option<Cow<'a, str>>,
    resources: Vec<Cow<'a, str>>,
}

impl<'a> TokenRequest<'a> {
    /// Parses a request whose body was read.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn parse(uri: &Uri, headers: &HeaderMap, body: &'a [u8]) -> Result<Self, Malformed> {
        if uri.query().is_some_and(|query| !query.is_empty()) {
            return Err(Malformed::Query);
        }
        let says_nothing = body.is_empty() && !headers.contains_key(header::CONTENT_TYPE);
        if !says_nothing && !is_form(headers) {
            return Err(Malformed::ContentType);
        }
        let form = Form::parse(body)?;
        let (secret, scheme) = credentials(headers, &form)?;
        match form.grant_type.as_deref() {
            Some("client_credentials") => {}
            Some(_) => return Err(Malformed::GrantType),
            None => return Err(Malformed::NoGrantType),
        }
        let scope = match form.scope.as_deref().map(ScopeSet::parse_parameter) {
            None => AskedScope::Everything,
            Some(Ok(scopes)) => AskedScope::These(scopes),
            Some(Err(why)) => AskedScope::Malformed(why),
        };
        Ok(Self {
            secret,
            scheme,
            scope,
            scope_written: form.scope,
            resources: form.resources,
        })
    }
}

impl<'a> Form<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut form = Self::default();
        let mut seen_secret = false;
        for (count, (name, value)) in form_urlencoded::parse(body).enumerate() {
            if count == MAX_PARAMETERS {
                return Err(Malformed::TooMany);
            }
            let slot = match &*name {
                "grant_type" => &mut form.grant_type,
                "client_id" => &mut form.client_id,
                "scope" => &mut form.scope,
                "client_secret" => {
                    if std::mem::replace(&mut seen_secret, true) {
                        return Err(Malformed::Repeated);
                    }
                    let value = Zeroizing::new(value.into_owned());
                    form.client_secret = Some(value).filter(|value| !value.is_empty());
                    continue;
                }
                "resource" => {
                    form.resources.push(value);
                    continue;
                }
                // RFC 6749 §3.2: unrecognised parameters are ignored.
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(Malformed::Repeated);
            }
        }
        // RFC 6749 §3.2: a parameter without a value counts as left out.
        for slot in [&mut form.grant_type, &mut form.client_id, &mut form.scope] {
            slot.take_if(|value| value.is_empty());
        }
        form.resources.retain(|value| !value.is_empty());
        Ok(form)
    }
}

/// The one credential of a request. What is there but cannot be a key is `None`: the client
/// is told what a client with a wrong key is told.
fn credentials(
    headers: &HeaderMap,
    form: &Form<'_>,
) -> Result<(Option<ApiKeySecret>, Scheme), Malformed> {
    let in_body = form.client_secret.is_some();
    let (id, secret, scheme) = match read(headers) {
        Authorization::Several => return Err(Malformed::SeveralHeaders),
        Authorization::Absent => {
            let (id, secret) = (form.client_id.as_deref(), form.client_secret.as_deref());
            return Ok((
                id.zip(secret).and_then(|(id, secret)| key(id, secret)),
                Scheme::Basic,
            ));
        }
        _ if in_body => return Err(Malformed::SeveralCredentials),
        Authorization::Other | Authorization::Basic(None) => return Ok((None, Scheme::Basic)),
        Authorization::Basic(Some(pair)) => (Some(pair.id), pair.secret, Scheme::Basic),
        Authorization::Bearer(text) => (None, Zeroizing::new(text.to_owned()), Scheme::Bearer),
    };
    let parsed = match &id {
        Some(id) => key(id, &secret),
        None => ApiKeySecret::parse(&secret).ok(),
    };
    if let Some(named) = form.client_id.as_deref() {
        let same = match (&id, &parsed) {
            (Some(id), _) => **id == *named,
            (None, Some(secret)) => secret.id().to_string() == named,
            (None, None) => true,
        };
        if !same {
            return Err(Malformed::OtherClientId);
        }
    }
    Ok((parsed, scheme))
}

/// A key whose own id is the `client_id` beside it.
fn key(client_id: &str, secret: &str) -> Option<ApiKeySecret> {
    let secret = ApiKeySecret::parse(secret).ok()?;
    (client_id.parse() == Ok(secret.id())).then_some(secret)
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
