//! `tenmint signing-keys import`: a private key from a file, as operator.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};
use ureq::http::Method;
use zeroize::Zeroizing;

use crate::cli::Failure;
use crate::cli::client::Client;
use crate::cli::exit::Failed;
use crate::cli::output::{self, cell};

/// As much of a file as is read, in bytes: no private key in PEM comes near it.
const LONGEST: u64 = 32 * 1024;

#[derive(Args, Debug)]
pub(in crate::cli) struct Import {
    /// File that holds the private key in PEM, unencrypted PKCS#8; - for standard input
    file: PathBuf,

    /// The id under which validators know the key [default: its RFC 7638 thumbprint]
    #[arg(long, allow_hyphen_values = true)]
    kid: Option<String>,

    /// Validators have the key already: sign with it at once
    #[arg(long)]
    already_published: bool,
}

impl Import {
    pub(super) fn run(&self, client: &Client) -> Result<(), Failure> {
        if !client.reaches {
            let why =
                "--org: say whose signing key it is to be; `operator` is the deployment's own";
            return Err(Failed::usage(why).into());
        }
        let pem = self.read()?;
        let mut body = Map::new();
        body.insert("private_key_pem".to_owned(), json!(*pem));
        body.extend(self.kid.as_ref().map(|kid| ("kid".to_owned(), json!(kid))));
        if self.already_published {
            body.insert("already_published".to_owned(), json!(true));
        }
        let answer = client
            .call(Method::POST, &["signing-keys", "import"])?
            .body(Value::Object(body))
            .send()?;
        let key: Value = answer.read()?;
        let kid = cell(&key["kid"]);
        let words = match key["status"].as_str() {
            Some("next") => format!(
                "{kid} is published, and signs from {} on",
                cell(&key["activates_at"])
            ),
            _ => format!("{kid} signs from now on"),
        };
        output::told(client, &answer, &words)
    }

    /// What the file says. No error repeats any of it.
    fn read(&self) -> Result<Zeroizing<String>, Failed> {
        let path = self.file.display();
        let failed = |why: io::Error| Failed::usage(format!("{path} cannot be read: {why}"));
        let mut text = Zeroizing::new(String::with_capacity(usize::try_from(LONGEST).unwrap_or(0)));
        let length = if self.file.as_os_str() == "-" {
            io::stdin().take(LONGEST).read_to_string(&mut text)
        } else {
            let file = File::open(&self.file).map_err(failed)?;
            file.take(LONGEST).read_to_string(&mut text)
        };
        match length {
            Ok(length) if length as u64 == LONGEST => Err(Failed::usage(format!(
                "{path} is too long for a private key"
            ))),
            Ok(_) => Ok(text),
            Err(why) => Err(failed(why)),
        }
    }
}
