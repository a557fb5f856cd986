//! The warm exchange in other clothes, each against the bare handler with a token as large: with a
//! line in the log for each, and with keys that have all there is. And the JWKS, against a body that
//! never changes.
//!
//! `cargo bench --bench variants`; with `-- --quick` a try of some seconds.
//! `docs/performance.md` explains the numbers.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench prints what it found"
)]

mod support;

use std::process::ExitCode;
use std::sync::Arc;

use support::child::{Child, Place};
use support::contest::{Contender, Effort, contest};
use support::load::Load;
use support::requests::{JWKS, Operator, exchange_load, plain, samples};
use support::{Failure, bench};

/// How many keys take turns.
const KEYS: usize = 256;

/// A line for each exchange that succeeds, too: by default they are counted.
const EACH_LOGGED: (&str, &str) = ("TENMINT_LOG", "info,tenmint::http::token=debug");

fn main() -> ExitCode {
    bench(async |asked| measure(Effort::asked(&asked)).await)
}

async fn measure(effort: Effort) -> Result<(), Failure> {
    let (folder, elsewhere) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let logging = Place {
        settings: &[EACH_LOGGED],
        ..Place::of(folder.path())
    };
    let mut logs = Child::start("tenmint", &logging, &[])?;
    let plainly = Operator::of(&mut logs).await?.keys(KEYS).await?;
    let place = Place::of(elsewhere.path());
    let mut tenmint = Child::start("tenmint", &place, &[])?;
    let rich = Operator::of(&mut tenmint).await?.rich_keys(KEYS).await?;

    for (name, server, keys) in [
        ("a line each", &logs, &plainly),
        ("16 scopes, 2 roles, 20 networks", &tenmint, &rich),
    ] {
        let mut bare = Child::start("bare", &place, &[])?;
        bare.tell(&samples(server, &keys[0]).await?)?;
        let contenders = [
            contender("bare axum and ring", &bare, exchange_load(&bare, keys)),
            contender(name, server, exchange_load(server, keys)),
        ];
        let title = "warm exchange, against the bare handler that signs as much";
        print!("{}", contest(title, &contenders, effort).await?);
    }

    let mut bare = Child::start("bare", &place, &[])?;
    bare.tell(&samples(&tenmint, &rich[0]).await?)?;
    let contenders = [&bare, &tenmint].map(|server| load(server, vec![plain(JWKS)]));
    let [bare_load, load] = contenders;
    let contenders = [
        contender("bare axum", &bare, bare_load),
        contender("tenmint", &tenmint, load),
    ];
    let title = "JWKS, against a body that never changes";
    print!("{}", contest(title, &contenders, effort).await?);
    Ok(())
}

fn load(server: &Child, requests: Vec<Vec<u8>>) -> Arc<Load> {
    Arc::new(Load {
        address: server.address,
        requests,
        status: 200,
    })
}

fn contender<'a>(name: &'a str, server: &'a Child, load: Arc<Load>) -> Contender<'a> {
    Contender { name, server, load }
}
