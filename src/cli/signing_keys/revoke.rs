//! `tenmint signing-keys revoke`.

use clap::Args;
use serde_json::Value;

use super::One;
use crate::cli::Failure;
use crate::cli::client::Client;
use crate::cli::confirm::Confirm;
use crate::cli::output::{self, cell};

#[derive(Args, Debug)]
pub(in crate::cli) struct Revoke {
    #[command(flatten)]
    key: One,
    #[command(flatten)]
    confirm: Confirm,
}

impl Revoke {
    #[cfg(test)]
    pub(super) const fn kid(&self) -> &crate::domain::signing_key::Kid {
        &self.key.kid
    }

    pub(super) fn run(&self, client: &Client) -> Result<(), Failure> {
        self.confirm.ask(|| self.question(client))?;
        let [collection, kid] = self.key.path();
        let answer = client.post(&[collection, kid, "revoke"])?;
        output::told(client, &answer, &told(&answer.read()?))
    }

    /// What withdrawing the key means for validators, which depends on what it is for.
    fn question(&self, client: &Client) -> String {
        let kid = &self.key.kid;
        match self.key.status(client).as_deref() {
            Some("next") => {
                format!("Revoke the signing key {kid}, which has signed nothing yet?")
            }
            Some("retiring") => format!(
                "Revoke the signing key {kid}, which signs no more? Whatever it signed is refused, \
                 here at once and elsewhere when the JWKS is fetched again."
            ),
            Some(over @ ("retired" | "revoked")) => {
                format!("Revoke the signing key {kid}, which is {over} already?")
            }
            Some(_) | None => format!(
                "Revoke the signing key {kid}? Whatever it signed is refused, here at once and \
                 elsewhere when the JWKS is fetched again. If it signs now, a key that no validator \
                 knows yet takes its place at once: those that cached the JWKS refuse the new \
                 tokens until they fetch it again. A key that was to be next is then given up."
            ),
        }
    }
}

/// What a withdrawal means, in a sentence.
fn told(key: &Value) -> String {
    let kid = cell(&key["kid"]);
    format!(
        "{kid} revoked; validators that cached the JWKS may accept what it signed until {}, the slowest \
         until {}{}{}",
        cell(&key["accepted_elsewhere_until"]),
        cell(&key["accepted_elsewhere_at_most_until"]),
        instead(key),
        standing_in(key),
    )
}

/// What signs in the place of the key, if it signed.
fn instead(key: &Value) -> String {
    let last = key["relieved_by"].as_str();
    let Some(last) = last.or(key["replaced_by"].as_str()) else {
        return String::new();
    };
    match &key["unknown_until"] {
        Value::String(until) => format!(
            "; {last} signs in its place, and they may refuse its tokens until {until}, the slowest \
             until {}",
            cell(&key["unknown_at_most_until"]),
        ),
        _ => format!("; {last} signs in its place"),
    }
}

/// That the key in its place is only there until another is made, if so.
fn standing_in(key: &Value) -> String {
    match (&key["replacement_stands_in_for"], &key["relieved_by"]) {
        (Value::String(kind), Value::Null) => format!(
            ". It signs with another algorithm until {kind} is made, which takes its place by itself \
             and is then as unknown: run this again to be told until when"
        ),
        _ => String::new(),
    }
}
