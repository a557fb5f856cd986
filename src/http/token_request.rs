//! A token request, parsed: RFC 6749 §3.3 and §4.4.2, RFC 8707 §2.

use std::borrow::Cow;

use axum::http::{HeaderMap, Uri};
use zeroize::Zeroizing;

use super::client_request::{Parameter, SecretParameter, credentials, once, parameters};
use crate::domain::scope::ScopeSet;
use crate::domain::secret::PresentedSecret;
use crate::issue::AskedScope;

pub use super::client_request::{Malformed, Scheme};

/// A well-formed token request.
pub struct TokenRequest<'a> {
    /// The key presented; `None` when what was presented cannot be one.
    pub secret: Option<PresentedSecret>,
    /// How it was presented.
    pub scheme: Scheme,
    /// Which scopes.
    pub scope: AskedScope,
    /// The same as it was written, for the answer to repeat.
    pub scope_written: Option<Cow<'a, str>>,
    /// Which resources, as written.
    pub resources: Vec<Cow<'a, str>>,
}

#[derive(Default)]
struct Form<'a> {
    grant_type: Parameter<'a>,
    client_id: Parameter<'a>,
    client_secret: SecretParameter,
    scope: Parameter<'a>,
    resources: Vec<Cow<'a, str>>,
}

impl<'a> TokenRequest<'a> {
    /// Parses a request whose body was read.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn parse(uri: &Uri, headers: &HeaderMap, body: &'a [u8]) -> Result<Self, Malformed> {
        let form = Form::parse(parameters(uri, headers, body)?)?;
        let secret = form.client_secret.as_ref().map(|secret| secret.as_str());
        let (secret, scheme) = credentials(headers, form.client_id.as_deref(), secret)?;
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
    fn parse(parameters: form_urlencoded::Parse<'a>) -> Result<Self, Malformed> {
        let mut form = Self::default();
        for (name, value) in parameters {
            match &*name {
                "grant_type" => once(&mut form.grant_type, value)?,
                "client_id" => once(&mut form.client_id, value)?,
                "scope" => once(&mut form.scope, value)?,
                "client_secret" => {
                    once(&mut form.client_secret, Zeroizing::new(value.into_owned()))?;
                }
                "resource" => form.resources.push(value),
                // RFC 6749 §3.2: unrecognised parameters are ignored.
                _ => {}
            }
        }
        // RFC 6749 §3.2: a parameter without a value counts as left out.
        for slot in [&mut form.grant_type, &mut form.client_id, &mut form.scope] {
            slot.take_if(|value| value.is_empty());
        }
        form.client_secret.take_if(|value| value.is_empty());
        form.resources.retain(|value| !value.is_empty());
        Ok(form)
    }
}
