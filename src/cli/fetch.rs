//! The command line as an HTTP client: bounded, and never in the clear off the machine.

use std::io::Read;
use std::time::Duration;

use serde_json::Value;
use zeroize::Zeroizing;

use super::Failure;
use super::exit::{Exit, Failed};
use super::trust::Trust;
use crate::domain::issuer::BaseUrl;

/// Longest answer read, in bytes.
const MAX_ANSWER: u64 = 256 * 1024;

/// The environment variable that holds the API key.
const API_KEY: &str = "TENMINT_API_KEY";

type AgentConfig = ureq::config::ConfigBuilder<ureq::typestate::AgentScope>;

/// An HTTP client for one server.
pub(super) struct Client {
    agent: ureq::Agent,
}

/// A status and a JSON body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Client {
    pub(super) fn new(base: &BaseUrl, trust: &Trust) -> Result<Self, Failed> {
        Self::within(base, trust, Duration::from_secs(30))
    }

    /// One that waits so long for an answer.
    pub(super) fn within(
        base: &BaseUrl,
        trust: &Trust,
        patience: Duration,
    ) -> Result<Self, Failed> {
        let agent = agent(base, trust, |config| config.timeout_global(Some(patience)))?;
        Ok(Self { agent })
    }

    /// A document.
    ///
    /// # Errors
    /// With the status of what was there instead; without one if nobody answered, or not to the end.
    pub(super) fn document(&self, url: &str) -> Result<Value, Failed> {
        let unreachable = |why| unreachable(url, &why);
        let mut response = self.agent.get(url).call().map_err(unreachable)?;
        let status = response.status().as_u16();
        let refused = |text: String| Failed::new(Exit::Refused, text).with_status(status);
        if status != 200 {
            return Err(refused(format!("{url} answered with status {status}")));
        }
        let mut text = Vec::new();
        let mut body = response.body_mut().as_reader().take(MAX_ANSWER);
        body.read_to_end(&mut text)
            .map_err(|why| unreachable(why.into()))?;
        serde_json::from_slice(&text)
            .map_err(|_| refused(format!("{url} answered with no JSON: is it tenmint?")))
    }

    /// A form posted under a Bearer credential.
    pub(super) fn post_form(
        &self,
        url: &str,
        bearer: &str,
        form: Vec<(&str, &str)>,
    ) -> Result<Answer, Failure> {
        let authorization = Zeroizing::new(format!("Bearer {bearer}"));
        let request = self
            .agent
            .post(url)
            .header("authorization", &*authorization);
        read(request.send_form(form), url)
    }
}

/// What speaks HTTP to a server, with the bounds that `bound` sets.
///
/// # Errors
/// When the authorities to trust cannot be read.
pub(super) fn agent(
    base: &BaseUrl,
    trust: &Trust,
    bound: impl FnOnce(AgentConfig) -> AgentConfig,
) -> Result<ureq::Agent, Failed> {
    let config = ureq::Agent::config_builder()
        .tls_config(trust.config()?)
        .http_status_as_error(false)
        // An issuer that moved is a mistake to be seen, and a key is not sent elsewhere.
        .max_redirects(0);
    let config = if base.as_str().starts_with("https:") {
        config
    } else {
        // Plain http is for this machine, and a proxy is another.
        config.proxy(None)
    };
    Ok(bound(config).build().into())
}

/// The API key in the environment.
///
/// # Errors
/// When there is none.
pub(super) fn api_key() -> Result<Zeroizing<String>, Failed> {
    let value = std::env::var(API_KEY).map(Zeroizing::new);
    match value.as_deref().map(|value| value.trim()) {
        Ok(key) if !key.is_empty() => Ok(Zeroizing::new(key.to_owned())),
        _ => Err(Failed::new(
            Exit::Forbidden,
            format!("put the API key into the environment variable {API_KEY}"),
        )),
    }
}

/// A server that did not answer.
pub(super) fn unreachable(url: &str, why: &ureq::Error) -> Failed {
    Failed::new(Exit::Unavailable, format!("{url} cannot be reached: {why}"))
}

/// A server's base URL, refused when keys would cross the network in the clear.
pub(super) fn base(text: &str) -> Result<BaseUrl, Failure> {
    text.parse()
        .map_err(|why| Failed::new(Exit::Usage, format!("{}: {why}", without_user(text))).into())
}

/// A URL as it may be shown: somebody may have put a password before the host.
fn without_user(text: &str) -> &str {
    text.rsplit_once('@').map_or(text, |(_, rest)| rest)
}

fn read(
    outcome: Result<http::Response<ureq::Body>, ureq::Error>,
    url: &str,
) -> Result<Answer, Failure> {
    let mut response = outcome.map_err(|why| unreachable(url, &why))?;
    let status = response.status().as_u16();
    let mut text = String::new();
    response
        .body_mut()
        .as_reader()
        .take(MAX_ANSWER)
        .read_to_string(&mut text)?;
    let body = serde_json::from_str(&text)
        .map_err(|_| format!("{url} answered with status {status} and no JSON: is it tenmint?"))?;
    Ok(Answer { status, body })
}
