//! The command line as an HTTP client: bounded, and never in the clear off the machine.

use std::io::Read;
use std::time::Duration;

use serde_json::Value;

use super::Failure;
use crate::domain::issuer::BaseUrl;

/// Longest answer read, in bytes.
const MAX_ANSWER: u64 = 256 * 1024;

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
    pub(super) fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(30)))
            .http_status_as_error(false)
            // An issuer that moved is a mistake to be seen, and a key is not sent elsewhere.
            .max_redirects(0)
            .build();
        Self {
            agent: config.into(),
        }
    }

    /// A document.
    pub(super) fn document(&self, url: &str) -> Result<Value, Failure> {
        let answer = read(self.agent.get(url).call(), url)?;
        if answer.status != 200 {
            return Err(format!("{url} answered with status {}", answer.status).into());
        }
        Ok(answer.body)
    }

    /// A form posted under a Bearer credential.
    pub(super) fn post_form(
        &self,
        url: &str,
        bearer: &str,
        form: Vec<(&str, &str)>,
    ) -> Result<Answer, Failure> {
        let authorization = zeroize::Zeroizing::new(format!("Bearer {bearer}"));
        let request = self
            .agent
            .post(url)
            .header("authorization", &*authorization);
        read(request.send_form(form), url)
    }
}

/// A server's base URL, refused when keys would cross the network in the clear.
pub(super) fn base(text: &str) -> Result<BaseUrl, Failure> {
    text.parse().map_err(|why| format!("{text}: {why}").into())
}

fn read(
    outcome: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    url: &str,
) -> Result<Answer, Failure> {
    let mut response = outcome.map_err(|why| format!("{url} cannot be reached: {why}"))?;
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
