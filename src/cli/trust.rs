//! Which authorities the command line believes when a server says who it is.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::exit::Failed;

/// Whose certificates are believed.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Trust {
    /// File with the certificates of authorities in PEM: of https servers only what they signed is
    /// believed, and no public authority
    #[arg(
        long,
        env = "TENMINT_CA_FILE",
        hide_env_values = true,
        value_name = "PATH"
    )]
    ca_file: Option<PathBuf>,
}

impl Trust {
    /// For a client.
    ///
    /// # Errors
    /// When the file cannot be read, or holds no certificate.
    pub(super) fn config(&self) -> Result<TlsConfig, Failed> {
        let roots = match &self.ca_file {
            Some(path) => roots(path)?,
            None => RootCerts::WebPki,
        };
        Ok(TlsConfig::builder().root_certs(roots).build())
    }
}

fn roots(path: &Path) -> Result<RootCerts, Failed> {
    let refused = |why: &str| Failed::usage(format!("--ca-file: {}: {why}", path.display()));
    let text = fs::read(path).map_err(|why| refused(&why.to_string()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&text) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(refused("it is damaged")),
        }
    }
    if certificates.is_empty() {
        return Err(refused("it holds no certificate in PEM"));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}
