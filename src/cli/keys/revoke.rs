//! `tenmint keys revoke` and `revoke-all`.

use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::filters::Filters;
use super::{COLUMNS, Several};
use crate::cli::Failure;
use crate::cli::client::{Answer, Client};
use crate::cli::confirm::Confirm;
use crate::cli::exit::Failed;
use crate::cli::output;
use crate::cli::progress;
use crate::cli::table::Table;

#[derive(Args, Debug)]
pub(in crate::cli) struct Revoke {
    #[command(flatten)]
    keys: Several,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    confirm: Confirm,
}

#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(in crate::cli) struct RevokeAll {
    #[command(flatten)]
    filters: Filters,

    /// With --created-by: also what those keys made, and so on
    #[arg(long, help_heading = "Filters", requires = "created_by")]
    transitive: bool,

    /// With --created-by: also that key itself
    #[arg(long, help_heading = "Filters", requires = "created_by")]
    include_creator: bool,

    /// Every key of the organization, your own included
    #[arg(long, help_heading = "Filters")]
    all: bool,

    /// Show which keys are meant, and end none
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    confirm: Confirm,
}

#[derive(Args, Debug)]
struct Why {
    /// Why: compromised, superseded, unused or unspecified
    #[arg(long, default_value = "unspecified")]
    reason: String,
}

#[derive(Deserialize)]
struct Preview {
    count: u64,
    /// The first of them, for who may read keys.
    data: Option<Vec<Value>>,
}

impl Revoke {
    pub(super) fn run(&self, client: &Client) -> Result<(), Failure> {
        self.confirm
            .ask(|| format!("Revoke {}?", self.keys.names(client)))?;
        self.keys.each(client, |id| {
            let call = client.call(Method::POST, &["api-keys", id, "revoke"])?;
            call.body(json!({ "reason": self.why.reason })).send()
        })
    }
}

impl RevokeAll {
    /// What is ended is what was looked at, or nothing: the server compares the counts.
    pub(super) fn run(&self, client: &Client) -> Result<(), Failure> {
        let mut filter = self.filters.members();
        for (name, said) in [
            ("all", self.all),
            ("transitive", self.transitive),
            ("include_creator", self.include_creator),
        ] {
            if said {
                filter.insert(name.to_owned(), json!(true));
            }
        }
        if !self.dry_run {
            self.confirm.possible()?;
        }
        let preview = self.send(client, &filter, ("dry_run", json!(true)))?;
        if self.dry_run && client.json {
            return output::json(&preview);
        }
        let Preview { count, data } = preview.read()?;
        // What was done goes to standard output, and of a question, nothing.
        if self.dry_run {
            table(&mut std::io::stdout().lock(), count, data.as_deref())?;
            return Ok(());
        }
        table(&mut std::io::stderr().lock(), count, data.as_deref())?;
        if count > 0 {
            self.confirm.ask(|| format!("Revoke {}?", keys(count)))?;
        }
        let waiting = progress::waiting(format!("revoking {}", keys(count)));
        let answer = self.send(client, &filter, ("expected_count", json!(count)));
        waiting.finish_and_clear();
        output::told(client, &answer?, &format!("{} revoked", keys(count)))
    }

    fn send(
        &self,
        client: &Client,
        filter: &Map<String, Value>,
        (name, value): (&str, Value),
    ) -> Result<Answer, Failed> {
        let body = json!({ "filter": filter, "reason": self.why.reason, name: value });
        let call = client.call(Method::POST, &["api-keys", "revoke"])?;
        call.body(body).send()
    }
}

fn table(out: &mut impl std::io::Write, count: u64, rows: Option<&[Value]>) -> std::io::Result<()> {
    let rows = rows.unwrap_or_default();
    if !rows.is_empty() {
        Table::new(COLUMNS).print(out, rows)?;
    }
    if count > rows.len() as u64 {
        writeln!(out, "{} in all", keys(count))?;
    } else if count == 0 {
        writeln!(out, "no key is meant")?;
    }
    out.flush()
}

fn keys(count: u64) -> String {
    match count {
        1 => "1 key".to_owned(),
        count => format!("{count} keys"),
    }
}
