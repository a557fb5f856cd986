//! `tenmint signing-keys rotate`.

use clap::Args;
use serde_json::{Map, Value, json};
use ureq::http::Method;

use crate::cli::Failure;
use crate::cli::client::Client;
use crate::cli::confirm::Confirm;
use crate::cli::output::{self, cell};

#[derive(Args, Debug)]
pub(in crate::cli) struct Rotate {
    /// What the new key signs with: ES256, EdDSA or RS256 [default: as the one that signs now]
    #[arg(long)]
    alg: Option<String>,

    /// The size of an RS256 key: 2048, 3072 or 4096 [default: as of the one that signs now, or 2048]
    #[arg(long, value_name = "BITS")]
    rsa_bits: Option<u32>,

    /// Sign with the new key at once, though no validator knows it yet, and give up the key that
    /// was next
    #[arg(long)]
    emergency: bool,

    /// Done once under this key, however often it is sent
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,

    #[command(flatten)]
    confirm: Confirm,
}

/// What an emergency does, as it is asked.
const EMERGENCY: &str = "\
Sign with a new key at once? Validators that cached the JWKS refuse the new tokens until they fetch \
it again: after JWKS_MAX_AGE, or for some after two hours. What the key before signed stays accepted \
until it expires, and so does whatever a thief signs with it: against a thief, revoke that key \
instead. A key that was to be next is given up.";

impl Rotate {
    pub(super) fn run(&self, client: &Client) -> Result<(), Failure> {
        if self.emergency {
            self.confirm.ask(|| EMERGENCY.to_owned())?;
        }
        let mut body = Map::new();
        body.extend(self.alg.as_ref().map(|alg| ("alg".to_owned(), json!(alg))));
        body.extend(
            self.rsa_bits
                .map(|bits| ("rsa_bits".to_owned(), json!(bits))),
        );
        if self.emergency {
            body.insert("emergency".to_owned(), json!(true));
        }
        let answer = client
            .call(Method::POST, &["signing-keys", "rotate"])?
            .header("idempotency-key", self.idempotency_key.as_ref())
            .body(Value::Object(body))
            .send()?;
        output::told(client, &answer, &told(&answer.read()?))
    }
}

/// What a rotation means, in a sentence.
fn told(key: &Value) -> String {
    let kid = cell(&key["kid"]);
    match (key["status"].as_str(), &key["unknown_until"]) {
        (Some("next"), _) => format!(
            "{kid} is published, and signs from {} on",
            cell(&key["activates_at"])
        ),
        (Some("active"), Value::String(_)) => format!(
            "{kid} signs from now on{}; validators that cached the JWKS may refuse its tokens until \
             {}, the slowest until {}",
            standing_in(key),
            cell(&key["unknown_until"]),
            cell(&key["unknown_at_most_until"]),
        ),
        // Done before, under the same idempotency key.
        _ => format!("{kid} {}", cell(&key["status"])),
    }
}

/// That the key signs for one that is still being made, if so.
fn standing_in(key: &Value) -> String {
    match &key["stands_in_for"] {
        Value::String(kind) => format!(
            ", with {}, until {kind} is made, which is then as unknown",
            cell(&key["alg"])
        ),
        _ => String::new(),
    }
}
