//! `tenmint keys rotate` and `finish`.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::Several;
use super::create::give_out;
use crate::cli::Failure;
use crate::cli::client::Client;
use crate::cli::confirm::Confirm;
use crate::domain::secret::KeyId;

#[derive(Args, Debug)]
pub(in crate::cli) struct Rotate {
    id: KeyId,

    /// How long the secret before goes on counting, such as 24h or 0s [default: the server's]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    overlap: Option<Duration>,

    /// Print the secret and nothing else
    #[arg(long, conflicts_with = "json")]
    quiet: bool,

    /// Done once under this key, however often it is sent
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,

    #[command(flatten)]
    confirm: Confirm,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Finish {
    #[command(flatten)]
    keys: Several,
    #[command(flatten)]
    confirm: Confirm,
}

impl Rotate {
    pub(super) fn run(&self, client: &Client) -> Result<(), Failure> {
        let seconds = self.overlap.map(|span| span.as_secs());
        if seconds == Some(0) {
            let names = || Several { ids: vec![self.id] }.names(client);
            self.confirm
                .ask(|| format!("End the secret of {} now, with no overlap?", names()))?;
        }
        let mut body = Map::new();
        body.extend(seconds.map(|seconds| ("overlap_seconds".to_owned(), json!(seconds))));
        let answer = client
            .call(Method::POST, &["api-keys", &self.id.to_string(), "rotate"])?
            .header("idempotency-key", self.idempotency_key.as_ref())
            .body(Value::Object(body))
            .send()?;
        give_out(client, &answer, "rotated", self.quiet)
    }
}

impl Finish {
    pub(super) fn run(&self, client: &Client) -> Result<(), Failure> {
        self.confirm
            .ask(|| format!("End the secret before of {} now?", self.keys.names(client)))?;
        self.keys.each(client, |id| {
            client.post(&["api-keys", id, "rotate", "finish"])
        })
    }
}
