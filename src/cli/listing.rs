//! Lists: one page, or all of them one after another.

use std::io::{self, IsTerminal, Write};

use clap::Args;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use ureq::http::Method;

use super::Failure;
use super::client::Client;
use super::exit::{Exit, Failed};
use super::output;
use super::progress;
use super::table::{Columns, Table};

/// Which part of a list.
#[derive(Args, Debug)]
#[command(next_help_heading = "Pages")]
pub(super) struct Paging {
    /// Every page, from the first or from --cursor on
    #[arg(long)]
    all: bool,

    /// Rows on a page, 1 to 100 [default: 20, and 100 with --all]
    #[arg(long, value_name = "ROWS")]
    limit: Option<u8>,

    /// Where the page begins: the next_cursor of the page before
    #[arg(long)]
    cursor: Option<String>,
}

/// Query parameters; what is `None` is not sent.
pub(super) type Filters = Vec<(String, Option<String>)>;

#[derive(Deserialize)]
struct Page {
    data: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
}

/// Prints a list: a table, or one JSON document, also of many pages.
pub(super) fn print(
    client: &Client,
    path: &[&str],
    filters: &Filters,
    paging: &Paging,
    columns: Columns,
) -> Result<(), Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut table = Table::new(columns);
    let mut cursor = paging.cursor.clone();
    let mut rows = 0_u64;
    // Where rows are read as they come, they show by themselves how far it is.
    let on_the_way = (paging.all && !io::stdout().is_terminal()).then(|| progress::count("rows"));
    loop {
        let limit = paging.limit.or(paging.all.then_some(100));
        let mut call = client.call(Method::GET, path)?;
        for (name, value) in filters {
            call = call.query(name, value.as_ref());
        }
        let answer = call.query("limit", limit).query("cursor", cursor.as_ref());
        let answer = answer.send()?;
        if client.json && !paging.all {
            return output::json(&answer);
        }
        let page: Page = answer.read()?;
        if client.json {
            join(&mut out, &page.data, rows == 0)?;
        } else {
            let values = page.data.iter().map(|row| serde_json::from_str(row.get()));
            let values: Vec<Value> = values.collect::<Result<_, _>>()?;
            table.print(&mut out, &values)?;
        }
        rows += page.data.len() as u64;
        out.flush()?;
        if let Some(bar) = &on_the_way {
            bar.set_position(rows);
        }
        match page.next_cursor {
            None => break,
            Some(next) if paging.all && cursor.as_ref() == Some(&next) => {
                let why = "the server's pages lead in a circle";
                return Err(Failed::new(Exit::Refused, why).into());
            }
            Some(next) if paging.all => cursor = Some(next),
            Some(next) => {
                let next = output::visible(&next);
                eprintln!("there is more: --cursor {next}, or --all");
                break;
            }
        }
    }
    if client.json {
        // Written last, so that what broke off is no document.
        let begin = if rows == 0 { r#"{"data":["# } else { "" };
        writeln!(out, r#"{begin}],"next_cursor":null}}"#)?;
    }
    Ok(out.flush()?)
}

fn join(out: &mut impl Write, rows: &[Box<RawValue>], first: bool) -> io::Result<()> {
    for (at, row) in rows.iter().enumerate() {
        let begin = if first && at == 0 {
            r#"{"data":["#
        } else {
            ","
        };
        write!(out, "{begin}{}", output::escaped(row.get()))?;
    }
    Ok(())
}
