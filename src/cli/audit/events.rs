//! `tenmint audit list`, `export` and `checkpoint`: the log, read over HTTP.

use std::io::{self, BufRead, BufReader, IsTerminal, Write};

use clap::Args;
use ureq::http::Method;

use crate::cli::Failure;
use crate::cli::client::{self, Client};
use crate::cli::listing::{self, Paging};
use crate::cli::output;
use crate::cli::progress;
use crate::cli::table::Columns;

const COLUMNS: Columns = &[
    ("SEQUENCE", "sequence"),
    ("AT", "at"),
    ("ACTOR", "actor"),
    ("FOR", "acting_for"),
    ("ACTION", "action"),
    ("TARGET", "target"),
    ("ADDRESS", "address"),
];

#[derive(Args, Debug)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    paging: Paging,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Export {
    #[command(flatten)]
    filters: Filters,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Filters")]
struct Filters {
    /// Acts of this name, such as api_key.revoke, or of a kind, such as api_key.*
    #[arg(long)]
    action: Option<String>,

    /// Acts by this key, or by `operator`
    #[arg(long, value_name = "ID")]
    actor: Option<String>,

    /// Acts on this thing
    #[arg(long, value_name = "ID")]
    target: Option<String>,

    /// Acts for this one of your users
    #[arg(long = "for", value_name = "USER")]
    done_for: Option<String>,

    /// The act of this request
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,

    /// From this time on
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Until this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl List {
    pub(super) fn run(&self, client: &Client) -> Result<(), Failure> {
        let filters = self.filters.parameters();
        listing::print(client, &["audit-events"], &filters, &self.paging, COLUMNS)
    }
}

impl Export {
    /// Writes JSON Lines as they come. An export that breaks off fails, and ends in a whole line.
    pub(super) fn run(&self, client: &Client) -> Result<(), Failure> {
        let mut call = client
            .call(Method::GET, &["audit-events"])?
            .header("accept", Some("application/jsonl"));
        for (name, value) in self.filters.parameters() {
            call = call.query(&name, value);
        }
        let mut lines = BufReader::new(call.stream()?);
        let mut out = io::BufWriter::new(io::stdout().lock());
        let bar = (!io::stdout().is_terminal()).then(|| progress::count("entries"));
        let mut line = String::new();
        while lines
            .read_line(&mut line)
            .map_err(|why| client::broken_off(&why))?
            > 0
        {
            out.write_all(output::escaped(&line).as_bytes())?;
            line.clear();
            if let Some(bar) = &bar {
                bar.inc(1);
            }
        }
        Ok(out.flush()?)
    }
}

/// The head of the chain, to be kept elsewhere: JSON also for people.
pub(super) fn checkpoint(client: &Client) -> Result<(), Failure> {
    output::json(&client.get(&["audit-events", "checkpoint"])?)
}

impl Filters {
    fn parameters(&self) -> listing::Filters {
        let given = [
            ("action", &self.action),
            ("actor", &self.actor),
            ("target", &self.target),
            ("acting_for", &self.done_for),
            ("request_id", &self.request_id),
            ("since", &self.since),
            ("until", &self.until),
        ];
        let given = given.into_iter();
        given
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect()
    }
}
