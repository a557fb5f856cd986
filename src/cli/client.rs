//! The management plane as a client meets it: one credential, one organization, bounded answers.

use std::io::Read;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use ureq::http::{HeaderValue, Method, Request, header};
use url::Url;
use zeroize::Zeroizing;

use super::exit::{Exit, Failed};
use super::fetch;
use super::problem::{not_tenmint, refused};
use super::trust::Trust;
use crate::domain::issuer::BaseUrl;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::ApiKeySecret;

/// Longest answer read, in bytes: a page of 100 keys, each as large as a key can be.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// A client of one server under one credential.
pub(super) struct Client {
    agent: ureq::Agent,
    root: Url,
    authorization: HeaderValue,
    acting_for: Option<HeaderValue>,
    /// Whether answers are printed as they came.
    pub(super) json: bool,
    /// Whether another organization than the key's own is meant.
    pub(super) reaches: bool,
}

/// A request being put together.
pub(super) struct Call<'a> {
    client: &'a Client,
    method: Method,
    url: Url,
    headers: Vec<(&'static str, String)>,
    body: Option<Value>,
}

/// An answer that is no refusal. It may hold a secret.
pub(super) struct Answer(Zeroizing<String>);

impl Client {
    /// A client of what lies below `/v1`, or below an organization as the operator reaches it.
    ///
    /// # Errors
    /// When there is no credential, or `acting_for` cannot be said in a header.
    pub(super) fn new(
        base: &BaseUrl,
        trust: &Trust,
        organization: Option<&OrganizationId>,
        acting_for: Option<&str>,
        json: bool,
    ) -> Result<Self, Failed> {
        let mut root = parsed(base)?;
        extend(&mut root, &["v1"])?;
        if let Some(organization) = organization {
            extend(&mut root, &["organizations", organization.as_str()])?;
        }
        let acting_for = acting_for.map(|user| {
            HeaderValue::from_bytes(user.as_bytes())
                .map_err(|_| Failed::usage("--acting-for: leave out control characters"))
        });
        Ok(Self {
            agent: fetch::agent(base, trust, |config| {
                config
                    .timeout_connect(Some(Duration::from_secs(10)))
                    .timeout_recv_response(Some(Duration::from_mins(1)))
            })?,
            root,
            authorization: authorization()?,
            acting_for: acting_for.transpose()?,
            json,
            reaches: organization.is_some(),
        })
    }

    /// A request to what these segments name below `/v1`, or below the organization.
    pub(super) fn call(&self, method: Method, path: &[&str]) -> Result<Call<'_>, Failed> {
        let mut url = self.root.clone();
        extend(&mut url, path)?;
        Ok(Call {
            client: self,
            method,
            url,
            headers: Vec::new(),
            body: None,
        })
    }

    /// A document.
    pub(super) fn get(&self, path: &[&str]) -> Result<Answer, Failed> {
        self.call(Method::GET, path)?.send()
    }

    /// A verb without arguments.
    pub(super) fn post(&self, path: &[&str]) -> Result<Answer, Failed> {
        let nothing = Value::Object(Map::new());
        self.call(Method::POST, path)?.body(nothing).send()
    }
}

impl Call<'_> {
    /// With a query parameter, if it has a value.
    pub(super) fn query(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.url
                .query_pairs_mut()
                .append_pair(name, &value.to_string());
        }
        self
    }

    /// With a header, if it has a value.
    pub(super) fn header(mut self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        self.headers.extend(value.map(|value| (name, value.into())));
        self
    }

    /// With a body in JSON.
    pub(super) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Sends it and reads the answer.
    ///
    /// # Errors
    /// When the server cannot be reached, or refuses.
    pub(super) fn send(self) -> Result<Answer, Failed> {
        let url = self.url.clone();
        let mut text = Zeroizing::new(String::new());
        let reader = self.stream()?;
        let read = reader.take(MAX_ANSWER + 1).read_to_string(&mut text);
        match read {
            Ok(length) if length as u64 <= MAX_ANSWER => Ok(Answer(text)),
            Ok(_) => Err(not_tenmint(&url, "an answer that is too long")),
            Err(why) => Err(broken_off(&why)),
        }
    }

    /// Sends it and leaves the answer to be read, however long it is.
    ///
    /// # Errors
    /// As [`Call::send`].
    pub(super) fn stream(self) -> Result<impl Read, Failed> {
        let client = self.client;
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.url.as_str())
            .header(header::AUTHORIZATION, &client.authorization);
        if let Some(user) = &client.acting_for {
            request = request.header("tenmint-acting-for", user);
        }
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let outcome = match self.body {
            Some(body) => {
                let kind = "application/json";
                let request = request.header(header::CONTENT_TYPE, kind);
                let request = request.body(body.to_string()).map_err(unsendable)?;
                client.agent.run(request)
            }
            None => client.agent.run(request.body(()).map_err(unsendable)?),
        };
        let response = outcome.map_err(|why| fetch::unreachable(self.url.as_str(), &why))?;
        let status = response.status();
        let retry_after = response.headers().get(header::RETRY_AFTER).cloned();
        let mut reader = response.into_body().into_reader();
        if status.is_success() {
            return Ok(reader);
        }
        let mut text = String::new();
        // What cannot be read is no problem document, and is told as such.
        let _ = reader.by_ref().take(MAX_ANSWER).read_to_string(&mut text);
        let retry_after = retry_after.as_ref().and_then(|value| value.to_str().ok());
        Err(refused(&self.url, status.as_u16(), &text, retry_after))
    }
}

impl Answer {
    /// The answer as it came.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// What the answer says.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Failed> {
        serde_json::from_str(&self.0).map_err(|_| {
            let why = "the server answered with what this command does not understand";
            Failed::new(Exit::Refused, why)
        })
    }
}

/// An answer that broke off on its way.
pub(super) fn broken_off(why: &std::io::Error) -> Failed {
    Failed::new(Exit::Unavailable, format!("the answer broke off: {why}"))
}

/// The credential, checked offline: what is no credential of tenmint is sent to nobody.
fn authorization() -> Result<HeaderValue, Failed> {
    let key = fetch::api_key()?;
    let is_token = key.split('.').count() == 3;
    if !is_token {
        ApiKeySecret::parse(&key)
            .map_err(|why| Failed::new(Exit::Forbidden, format!("TENMINT_API_KEY: {why}")))?;
    }
    let bearer = Zeroizing::new(format!("Bearer {}", *key));
    let mut value = HeaderValue::from_str(&bearer).map_err(|_| {
        let why = "TENMINT_API_KEY: this is neither an API key nor a token";
        Failed::new(Exit::Forbidden, why)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn parsed(base: &BaseUrl) -> Result<Url, Failed> {
    Url::parse(base.as_str()).map_err(|why| Failed::usage(format!("--url: {why}")))
}

/// Further segments of a path. One that is empty or all dots would name something else.
fn extend(url: &mut Url, segments: &[&str]) -> Result<(), Failed> {
    if segments.iter().any(|one| ["", ".", ".."].contains(one)) {
        return Err(Failed::usage("a name is empty, or is no name"));
    }
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    Ok(())
}

fn unsendable(_: http::Error) -> Failed {
    Failed::usage("a value holds characters that no header can carry")
}
