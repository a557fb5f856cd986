//! `tenmint migrate`.

use super::Failure;
use crate::settings::Settings;
use crate::store::Store;

/// Migrates the database and nothing else; no root key is needed.
pub(super) async fn run(settings: &Settings) -> Result<(), Failure> {
    let url = settings.database()?;
    let store = Store::open(&url).await?;
    let lock = store.lock()?;
    store.migrate(&lock).await?;
    store.close().await;
    eprintln!("{url} is up to date");
    Ok(())
}
