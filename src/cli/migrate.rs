//! `tenmint migrate`.

use super::Failure;
use crate::settings::Settings;
use crate::store::Store;
use crate::store::migrate::Migrated;

/// Migrates the database and nothing else; no root key is needed.
pub(super) async fn run(settings: &Settings) -> Result<(), Failure> {
    let url = settings.database()?;
    let store = Store::open(&url).await?;
    let lock = store.lock()?;
    let migrated = store.migrate(&lock).await?;
    store.close().await;
    match migrated {
        Some(Migrated { from, to }) => eprintln!("{url} went from version {from} to {to}"),
        None => eprintln!("{url} is up to date"),
    }
    Ok(())
}
