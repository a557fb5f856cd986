//! A database that was put in place by other means, brought up to date where it is.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::plan::Plan;
use super::report::Report;
use super::{Arguments, root_keys, source};
use crate::app::existing::existing;
use crate::app::{App, Role};
use crate::cli::Failure;
use crate::cli::exit::{Exit, Failed};
use crate::clock::Clock;
use crate::manage::restore::Logs;
use crate::store::Store;
use crate::store::engine::DatabaseUrl;
use crate::store::files;
use crate::store::mark::{self, mark_of};

/// How long PostgreSQL may still show the connections of a program that has ended, and how often to
/// look.
const LINGERING: (Duration, Duration) = (Duration::from_secs(5), Duration::from_millis(50));

pub(super) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = &arguments.settings;
    let url = settings.database()?;
    let alone = match &url {
        DatabaseUrl::Sqlite(path) if path.exists() => {
            let store = Store::open(&url).await?;
            let lock = store.lock()?;
            if !store.is_empty().await? {
                store.migrate(&lock).await?;
            }
            store.close().await;
            Some(lock)
        }
        _ => None,
    };
    // It must be a deployment, and this its root key.
    let what = format!("the database {url}");
    let there = existing(settings).await;
    let (there, _) = there.map_err(|why| root_keys::lacking(why, &what))?;
    there.close().await;
    let base = settings.base(settings.listen)?;
    let app = App::open(settings, base, Clock::system(), Role::Restore).await?;
    let store = &app.management.store;
    require_nobody_else(store).await?;
    let mut logs = Logs::after(store, &app.management.crypto).await?;
    for path in &arguments.audit_export {
        source::export(&mut logs, path).await?;
    }
    for path in &arguments.audit_database {
        let scratch = store.file().map_or_else(
            || files::beside(path, ".reading"),
            |file| files::beside(file, ".reading"),
        );
        let name = path.display().to_string();
        source::database(&mut logs, (path, &name), &scratch).await?;
    }
    let served = store.file().and_then(|file| mark::served(&mark_of(file)));
    let mut plan = Plan::make(&app, arguments, logs, served.as_ref()).await?;
    let outcomes = plan.carry_out(&app).await?;
    if let (Some(file), Some(history)) = (store.file(), store.history().await?) {
        mark::write_either(&mark_of(file), served.as_ref(), &history)?;
    }
    let before = served.map_or(0, |served| served.restores);
    let now = app.management.clock.now();
    if let Some(history) = store.finish_restore(before, now).await? {
        store.mark(&history)?;
    }
    app.close().await;
    drop(alone);
    Report::of(plan, outcomes, url.to_string(), None).show(arguments.json)
}

/// No server may serve what is half restored.
async fn require_nobody_else(store: &Store) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        let others = store.others_connected().await?;
        if others == 0 {
            return Ok(());
        }
        if began.elapsed() > LINGERING.0 {
            let text = format!(
                "tenmint is connected to this database ({others} connections): stop every server \
                 first"
            );
            return Err(Failed::new(Exit::Conflict, text).into());
        }
        sleep(LINGERING.1).await;
    }
}
