//! `tenmint migration`: which API keys services are still shown, and which are ready.

use clap::Args;
use serde::Deserialize;
use ureq::http::Method;

use super::Failure;
use super::client::Client;
use super::listing::{self, Paging};
use super::table::Columns;

const KEYS: Columns = &[
    ("KEY", "api_key_id"),
    ("NAME", "name"),
    ("READINESS", "readiness"),
    ("EXCHANGE ONLY", "exchange_only"),
    ("TOKENS 30D", "last_30_days.issued"),
    ("DIRECT 7D", "last_7_days.direct"),
    ("DIRECT 30D", "last_30_days.direct"),
    ("LAST DIRECT", "last_direct_at"),
    ("FROM", "last_direct_address"),
];

#[derive(Args, Debug)]
pub(super) struct Migration {
    /// Only keys that within 30 days were exchanged and shown to no service (ready), that a service
    /// was shown (not_ready), or that were not used (unknown)
    #[arg(long, value_name = "WORD", value_parser = ["ready", "not_ready", "unknown"])]
    readiness: Option<String>,

    #[command(flatten)]
    paging: Paging,
}

#[derive(Deserialize)]
struct Whole {
    active_keys: u64,
    ready_keys: u64,
    not_ready_keys: u64,
    unknown_keys: u64,
    exchange_only: bool,
    totals: Totals,
}

#[derive(Deserialize)]
struct Totals {
    last_30_days: Window,
}

#[derive(Deserialize)]
struct Window {
    issued: u64,
    direct: u64,
    direct_refused: u64,
}

impl Whole {
    fn words(&self) -> String {
        let Window {
            issued,
            direct,
            direct_refused,
        } = self.totals.last_30_days;
        let policy = if self.exchange_only {
            "; the policy says exchange_only"
        } else {
            ""
        };
        format!(
            "{} of {} active keys are ready, {} are not, of {} that is unknown; in 30 days {issued} \
             tokens, {direct} direct uses, {direct_refused} refused{policy}",
            self.ready_keys, self.active_keys, self.not_ready_keys, self.unknown_keys
        )
    }
}

impl Migration {
    pub(super) fn run(&self, client: &Client) -> Result<(), Failure> {
        if !client.json {
            // Beside the rows, which scripts read.
            let call = client.call(Method::GET, &["migration"])?;
            let whole: Whole = call.query("limit", Some(1)).send()?.read()?;
            eprintln!("{}", whole.words());
        }
        let filters = vec![("readiness".to_owned(), self.readiness.clone())];
        listing::print(client, &["migration"], &filters, &self.paging, KEYS)
    }
}
