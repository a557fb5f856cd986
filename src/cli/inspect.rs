//! `tenmint inspect`: what an API key or a token says, without repeating what is secret.

use std::io::{self, BufRead, IsTerminal, Write};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::Value;
use zeroize::Zeroizing;

use super::Failure;
use super::fetch::{self, Client};
use super::trust::Trust;
use crate::clock::Clock;
use crate::crypto::fingerprint;
use crate::crypto::jose::provider;
use crate::domain::secret::ApiKeySecret;
use crate::domain::timestamp::Timestamp;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// An API key or a token [default: one line of standard input, which the process list and
    /// the shell's history do not show]
    #[arg(value_name = "API_KEY_OR_TOKEN")]
    text: Option<String>,

    /// Verify a token's signature and times with the keys that this issuer publishes
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,

    /// With --issuer: the audience that the token must be for
    #[arg(long, value_name = "URI", requires = "issuer")]
    audience: Option<String>,

    #[command(flatten)]
    trust: Trust,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let text = match &arguments.text {
        Some(text) => Zeroizing::new(text.clone()),
        None => read_line()?,
    };
    let text = text.trim();
    let mut out = io::stdout().lock();
    if text.split('.').count() == 3 {
        token(&mut out, text, arguments)
    } else {
        api_key(&mut out, &ApiKeySecret::parse(text)?)
    }
}

fn read_line() -> Result<Zeroizing<String>, Failure> {
    let input = io::stdin();
    if input.is_terminal() {
        eprintln!("paste an API key or a token, then Enter:");
    }
    let mut line = Zeroizing::new(String::with_capacity(8 * 1024));
    input.lock().read_line(&mut line)?;
    Ok(line)
}

fn api_key(out: &mut impl Write, key: &ApiKeySecret) -> Result<(), Failure> {
    writeln!(out, "an API key, whole and well-formed")?;
    writeln!(out, "  client_id    {}", key.id())?;
    writeln!(out, "  prefix       {}", key.prefix())?;
    writeln!(out, "  made         {}", key.id().made_at())?;
    writeln!(out, "  fingerprint  {}", fingerprint::of(key))?;
    writeln!(
        out,
        "Only its server can tell whether it is genuine and in force."
    )?;
    Ok(())
}

fn token(out: &mut impl Write, text: &str, arguments: &Arguments) -> Result<(), Failure> {
    let mut segments = text.split('.');
    let mut json = || -> Result<Value, Failure> {
        let not = "this is no token: a segment is not base64url-encoded JSON";
        let bytes = URL_SAFE_NO_PAD
            .decode(segments.next().unwrap_or_default())
            .map_err(|_| not)?;
        Ok(serde_json::from_slice(&bytes).map_err(|_| not)?)
    };
    let (header, claims) = (json()?, json()?);
    writeln!(out, "a token")?;
    for (name, value) in members(&header).chain(members(&claims)) {
        writeln!(out, "  {name:<16} {}", readable(name, value))?;
    }
    let now = Clock::system().now();
    match claims["exp"].as_i64().map(|exp| exp - now.unix()) {
        Some(left) if left > 0 => writeln!(out, "It expires in {left} s.")?,
        Some(past) => writeln!(out, "It expired {} s ago.", -past)?,
        None => writeln!(out, "It names no expiry.")?,
    }
    match &arguments.issuer {
        Some(issuer) => {
            let client = Client::new(&fetch::base(issuer)?, &arguments.trust)?;
            verify(text, issuer, arguments.audience.as_deref(), &client)?;
            writeln!(
                out,
                "The signature is valid, by a key that {issuer} publishes."
            )?;
        }
        None => writeln!(
            out,
            "The signature was not verified: name the issuer with --issuer."
        )?,
    }
    Ok(())
}

/// As any resource server does: metadata, JWKS, a stock JWT library.
fn verify(
    token: &str,
    issuer: &str,
    audience: Option<&str>,
    client: &Client,
) -> Result<(), Failure> {
    provider::install();
    let base = fetch::base(issuer)?;
    let metadata = client.document(&format!(
        "{}/.well-known/openid-configuration",
        base.as_str()
    ))?;
    if metadata["issuer"].as_str() != Some(base.as_str()) {
        return Err(format!("{issuer} publishes the metadata of another issuer").into());
    }
    let jwks_uri = metadata["jwks_uri"]
        .as_str()
        .ok_or("the metadata names no jwks_uri")?;
    let jwks: JwkSet = serde_json::from_value(client.document(jwks_uri)?)?;

    let header = jsonwebtoken::decode_header(token)?;
    let kid = header.kid.ok_or("the token names no key")?;
    let jwk = jwks
        .find(&kid)
        .ok_or("the token is signed by no key that this issuer publishes")?;
    if !matches!(header.typ.as_deref(), Some("at+jwt" | "JWT")) {
        return Err("the token is valid, but no access token: its typ is another".into());
    }
    let mut validation = Validation::new(header.alg);
    validation.leeway = 0;
    validation.set_issuer(&[base.as_str()]);
    match audience {
        Some(audience) => validation.set_audience(&[audience]),
        None => validation.validate_aud = false,
    }
    jsonwebtoken::decode::<Value>(token, &DecodingKey::from_jwk(jwk)?, &validation)
        .map_err(|why| format!("the token is not valid: {why}"))?;
    Ok(())
}

fn members(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

fn readable(name: &str, value: &Value) -> String {
    let time = matches!(name, "exp" | "iat" | "nbf")
        .then(|| value.as_i64())
        .flatten()
        .and_then(|seconds| Timestamp::from_unix(seconds).ok());
    match (time, value) {
        (Some(time), _) => time.to_string(),
        (None, Value::String(text)) => text.escape_debug().to_string(),
        (None, other) => other.to_string(),
    }
}
