//! `tenmint keys create`, and how a secret is given out.

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::Method;

use super::fields::Fields;
use crate::cli::Failure;
use crate::cli::client::{Answer, Client};
use crate::cli::output;

#[derive(Args, Debug)]
pub(in crate::cli) struct Create {
    /// What to call it
    #[arg(long)]
    name: String,

    #[command(flatten)]
    fields: Fields,

    /// Print the secret and nothing else
    #[arg(long, conflicts_with = "json")]
    quiet: bool,

    /// Done once under this key, however often it is sent
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

/// What is told of a key whose secret was just made.
#[derive(Deserialize)]
struct Made {
    id: String,
    name: String,
    expires_at: Option<String>,
    secret: Option<String>,
    secret_hint: Option<String>,
    #[serde(default)]
    warnings: Vec<Warning>,
}

#[derive(Deserialize)]
struct Warning {
    detail: String,
}

impl Create {
    pub(super) fn run(&self, client: &Client) -> Result<(), Failure> {
        let mut body = self.fields.members();
        body.insert("name".to_owned(), json!(self.name));
        let answer = client
            .call(Method::POST, &["api-keys"])?
            .header("idempotency-key", self.idempotency_key.as_ref())
            .body(Value::Object(body))
            .send()?;
        give_out(client, &answer, "made", self.quiet)
    }
}

/// Prints a secret: alone on standard output, with words on standard error.
pub(super) fn give_out(
    client: &Client,
    answer: &Answer,
    done: &str,
    quiet: bool,
) -> Result<(), Failure> {
    if client.json {
        return output::json(answer);
    }
    let made: Made = answer.read()?;
    let [id, name] = [&made.id, &made.name].map(|text| output::visible(text));
    let end = match &made.expires_at {
        Some(end) => format!("ends {}", output::visible(end)),
        None => "never ends by itself".to_owned(),
    };
    let mut words = vec![format!("{done} {id} ({name}), which {end}")];
    words.extend(made.warnings.iter().map(|warning| {
        let detail = output::visible(&warning.detail);
        format!("warning: {detail}")
    }));
    if made.secret.is_some() {
        words.push("its secret is the line on standard output, and is shown this once".to_owned());
    }
    let hint = made.secret_hint.as_deref();
    output::secret(made.secret, hint, &words.join("\n"), quiet)
}
