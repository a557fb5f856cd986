//! The gateway endpoint against the least a server can do: a warm API key, the same exchanged, a
//! token, and strangers.
//!
//! `cargo bench --bench gateway`; with `-- --quick` a try of some seconds, with `-- --instructions` a
//! count under valgrind, of what is named after it or of everything.
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
use support::instructions;
use support::load::Load;
use support::requests::{Key, Operator, TOKEN, ask, exchange, forged, samples, verify};
use support::{Failure, bench};

/// What a gateway asks.
const VERIFY: &str = "/gateway/verify?scope=read:projects/42/x";

/// How many keys take turns.
const KEYS: usize = 256;

/// Who may ask.
const SETTINGS: &[(&str, &str)] = &[("TENMINT_GATEWAY_PEERS", "127.0.0.1")];

fn main() -> ExitCode {
    bench(async |asked| match () {
        () if asked.has("--instructions") => count_instructions(&asked.words()).await,
        () => measure(Effort::asked(&asked)).await,
    })
}

async fn measure(effort: Effort) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let place = Place {
        settings: SETTINGS,
        ..Place::of(folder.path())
    };
    let mut tenmint = Child::start("tenmint", &place, &[])?;
    let mut operator = Operator::of(&mut tenmint).await?;
    let keys = operator.keys(KEYS).await?;
    let mut tokens = Vec::with_capacity(KEYS);
    for key in &keys {
        tokens.push(token(&tenmint, key).await?);
    }
    let secrets: Vec<&str> = keys.iter().map(|key| &*key.secret).collect();
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let stranger = forged(&keys[0])?;

    let mut bare = Child::start("bare", &place, &[])?;
    bare.tell(&samples(&tenmint, &keys[0]).await?)?;
    let contender = |name, server, load| Contender { name, server, load };
    let exchanged = format!("{VERIFY}&exchange=true");
    // What the bare handler is sent is no different from what tenmint is.
    let contenders = [
        contender("bare axum", &bare, load(&bare, VERIFY, &tokens, 200)),
        contender("API key", &tenmint, load(&tenmint, VERIFY, &secrets, 200)),
        contender(
            "API key, exchanged",
            &tenmint,
            load(&tenmint, &exchanged, &secrets, 200),
        ),
        contender("token", &tenmint, load(&tenmint, VERIFY, &tokens, 200)),
        contender(
            "forged key",
            &tenmint,
            load(&tenmint, VERIFY, &[&stranger.secret], 401),
        ),
    ];
    let title = "gateway verify of warm credentials, against the bare handler";
    print!("{}", contest(title, &contenders, effort).await?);
    Ok(())
}

async fn count_instructions(named: &[&str]) -> Result<(), Failure> {
    let (key, samples) = instructions::sampled().await?;

    instructions::header();
    for name in ["bare-verify", "api-key", "token"] {
        if !named.is_empty() && !named.contains(&name) {
            continue;
        }
        let which = if name == "bare-verify" {
            "bare"
        } else {
            "tenmint"
        };
        let count = instructions::each(name, (which, SETTINGS), async |server| {
            if name == "bare-verify" {
                server.tell(&samples)?;
                return Ok(load(server, VERIFY, &[&key.secret], 200));
            }
            let keys = Operator::of(server).await?.keys(1).await?;
            let bearer = match name {
                "token" => token(server, &keys[0]).await?,
                _ => keys[0].secret.clone(),
            };
            Ok(load(server, VERIFY, &[&bearer], 200))
        });
        println!("{name:34} {}", count.await?);
    }
    Ok(())
}

/// A token of everything that a key may do.
async fn token(server: &Child, key: &Key) -> Result<String, Failure> {
    let (_, issued) = ask(server.address, &exchange(TOKEN, key)).await?;
    let issued: serde_json::Value = serde_json::from_slice(&issued)?;
    let token = issued["access_token"].as_str();
    Ok(token.ok_or("a token is issued")?.to_owned())
}

fn load(server: &Child, path: &str, bearers: &[&str], status: u16) -> Arc<Load> {
    let requests = bearers.iter().map(|bearer| verify(path, bearer));
    Arc::new(Load {
        address: server.address,
        requests: requests.collect(),
        status,
    })
}
