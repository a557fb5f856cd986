//! The management plane as a client meets it: one credential, one organization, bounded answers.

use std::io::Read;
use std::time::Duration;

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use ureq::http::{HeaderValue, Method, Request, header};
use url::Url;
use zeroize::Zeroizing;

use super::exit::{Exit, Failed};
use super::{fetch, output};
use crate::domain::issuer::BaseUrl;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::ApiKeySecret;

/// Longest answer read, in bytes: a page of 100 keys, each as large as a key can be.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// Where the server is, and how to speak with it.
#[derive(Args, Debug)]
#[command(next_help_heading = "Server")]
pub(super) struct Server {
    /// Base URL of the server
    #[arg(
        long,
        env = "TENMINT_URL",
        hide_env_values = true,
        default_value = "http://127.0.0.1:8080"
    )]
    url: String,

    /// Which of your own users this is done for; the audit log keeps it
    #[arg(long, value_name = "USER")]
    acting_for: Option<String>,

    /// Print the server's JSON instead of tables and sentences
    #[arg(long)]
    pub(super) json: bool,
}

/// The same, and the organization that is meant.
#[derive(Args, Debug)]
#[command(next_help_heading = "Server")]
pub(super) struct Remote {
    #[command(flatten)]
    server: Server,

    /// As operator: reach into this organization [default: the API key's own]
    #[arg(long, value_name = "ID")]
    org: Option<OrganizationId>,
}

/// Words of a command, and the server that it is for.
#[derive(Args, Debug)]
pub(super) struct With<T: Args> {
    #[command(flatten)]
    pub(super) verb: T,
    #[command(flatten)]
    pub(super) remote: Remote,
}

/// A command without words of its own.
#[derive(Args, Debug)]
pub(super) struct Nothing {}

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

impl Server {
    /// A client for routes that name their organization themselves.
    pub(super) fn open(&self) -> Result<Client, super::Failure> {
        self.client(None)
    }

    fn client(&self, organization: Option<&OrganizationId>) -> Result<Client, super::Failure> {
        let base = fetch::base(&self.url)?;
        let mut root = parsed(&base)?;
        extend(&mut root, &["v1"])?;
        if let Some(organization) = organization {
            extend(&mut root, &["organizations", organization.as_str()])?;
        }
        let acting_for = self.acting_for.as_ref().map(|user| {
            HeaderValue::from_bytes(user.as_bytes())
                .map_err(|_| Failed::usage("--acting-for: leave out control characters"))
        });
        Ok(Client {
            agent: fetch::agent(&base, |config| {
                config
                    .timeout_connect(Some(Duration::from_secs(10)))
                    .timeout_recv_response(Some(Duration::from_mins(1)))
            }),
            root,
            authorization: authorization()?,
            acting_for: acting_for.transpose()?,
            json: self.json,
            reaches: organization.is_some(),
        })
    }
}

impl Remote {
    /// A client for routes of the organization that is meant.
    pub(super) fn open(&self) -> Result<Client, super::Failure> {
        self.server.client(self.org.as_ref())
    }
}

impl Client {
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

fn unsendable(_: ureq::http::Error) -> Failed {
    Failed::usage("a value holds characters that no header can carry")
}

fn not_tenmint(url: &Url, what: &str) -> Failed {
    let said = format!("{url} gave {what}: is it tenmint?");
    Failed::new(Exit::Refused, said)
}

/// A problem (RFC 9457) in words: what to do first, then what to quote.
fn refused(url: &Url, status: u16, text: &str, retry_after: Option<&str>) -> Failed {
    let Ok(mut problem) = serde_json::from_str::<Map<String, Value>>(text) else {
        let what = match status {
            300..400 => format!("a redirect ({status}), which is not followed"),
            _ => format!("status {status} and no reason"),
        };
        let said = not_tenmint(url, &what).to_string();
        return Failed::new(Exit::of_status(status), said).with_status(status);
    };
    let mut take = |member: &str| problem.remove(member).map(|value| output::cell(&value));
    let (detail, title) = (take("detail"), take("title"));
    let (code, pointer, id) = (take("code"), take("pointer"), take("request_id"));
    drop((take("type"), take("status")));
    let mut lines = vec![detail.or(title).unwrap_or_else(|| "refused".to_owned())];
    let mut line = |name: &str, value: &str| lines.push(format!("  {name:<8} {value}"));
    if let Some(pointer) = pointer.filter(|pointer| !pointer.is_empty()) {
        line("at", &pointer);
    }
    if let Some(seconds) = retry_after {
        line("again", &format!("in {} s", output::visible(seconds)));
    }
    for (name, value) in &problem {
        line(&output::visible(name), &output::cell(value));
    }
    let named = code.as_deref().unwrap_or("?");
    line("code", &format!("{named} ({status})"));
    if let Some(id) = id {
        line("request", &id);
    }
    let exit = match code.as_deref() {
        Some("policy_violation") => Exit::Conflict,
        _ => Exit::of_status(status),
    };
    Failed::new(exit, lines.join("\n")).with_status(status)
}
