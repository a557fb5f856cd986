//! `tenmint usage` and `tenmint refusals`: what keys are used for, and why requests were refused.

use std::io::{self, Write};

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::Method;

use super::Failure;
use super::client::Client;
use super::listing::{self, Paging};
use super::output;
use super::table::{Columns, Table};
use crate::domain::secret::KeyId;

const SPANS: Columns = &[
    ("FROM", "starts_at"),
    ("TOKENS", "issued"),
    ("DIRECT", "direct"),
    ("CHECKED", "checked"),
    ("REFUSED", "refused"),
];

const REFUSALS: Columns = &[
    ("REQUEST", "request_id"),
    ("AT", "at"),
    ("KEY", "api_key_id"),
    ("CAUSE", "cause"),
    ("ADDRESS", "address"),
    ("DETAIL", "detail"),
];

#[derive(Args, Debug)]
pub(super) struct Usage {
    /// Of this key alone
    #[arg(long, value_name = "ID")]
    key: Option<KeyId>,

    #[command(flatten)]
    period: Period,
}

#[derive(Args, Debug)]
pub(super) struct Period {
    /// By hour or by day [default: hour]
    #[arg(long)]
    grain: Option<String>,

    /// From this time on [default: 24 hours, or 30 days, back]
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Until this time [default: now]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct Refusals {
    /// The request with this id, which its answer had
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,

    /// Requests with this key
    #[arg(long, value_name = "ID")]
    key: Option<KeyId>,

    #[command(flatten)]
    paging: Paging,
}

#[derive(Deserialize)]
struct Used {
    totals: Value,
    data: Vec<Value>,
    last_used_at: Option<String>,
    last_used_address: Option<String>,
    #[serde(default)]
    not_caching: bool,
}

impl Usage {
    pub(super) fn run(&self, client: &Client) -> Result<(), Failure> {
        self.period.print(client, self.key)
    }
}

impl Period {
    /// Prints usage of a key, or of the organization.
    pub(super) fn print(&self, client: &Client, key: Option<KeyId>) -> Result<(), Failure> {
        let key = key.map(|id| id.to_string());
        let path: &[&str] = match &key {
            Some(id) => &["api-keys", id, "usage"],
            None => &["usage"],
        };
        let answer = client
            .call(Method::GET, path)?
            .query("grain", self.grain.as_ref())
            .query("since", self.since.as_ref())
            .query("until", self.until.as_ref())
            .send()?;
        if client.json {
            return output::json(&answer);
        }
        let used: Used = answer.read()?;
        let mut rows = used.data;
        let mut totals = used.totals;
        totals["starts_at"] = json!("in all");
        rows.push(totals);
        let mut out = io::stdout().lock();
        Table::new(SPANS).print(&mut out, &rows)?;
        if let Some(at) = used.last_used_at {
            let from = used.last_used_address.map(|from| format!(" from {from}"));
            let words = format!("last used {at}{}", from.unwrap_or_default());
            writeln!(out, "{}", output::visible(&words))?;
        }
        if used.not_caching {
            writeln!(
                out,
                "its client obtains a token far more often than it needs to"
            )?;
        }
        Ok(out.flush()?)
    }
}

impl Refusals {
    pub(super) fn run(&self, client: &Client) -> Result<(), Failure> {
        let filters = vec![
            ("request_id".to_owned(), self.request_id.clone()),
            ("api_key_id".to_owned(), self.key.map(|id| id.to_string())),
        ];
        listing::print(client, &["refusals"], &filters, &self.paging, REFUSALS)
    }
}
