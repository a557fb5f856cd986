//! A deployment that is there already, opened by those who only look at it.

use super::StartError;
use super::root_keys::{self, Held};
use crate::clock::Clock;
use crate::crypto::Crypto;
use crate::settings::Settings;
use crate::store::Store;
use crate::store::engine::DatabaseUrl;

/// Opens the database and the root key that `settings` name, and makes neither: whoever mistypes
/// a path must not be told that all is well with an empty one. Works beside a running server.
///
/// # Errors
/// See [`StartError`].
pub async fn existing(settings: &Settings) -> Result<(Store, Crypto), StartError> {
    let url = settings.database()?;
    let cost = settings.hash_cost()?;
    let store = found(&url).await?;
    store.require_current_schema().await?;
    if store.root_key().await?.is_none() {
        return Err(StartError::NoDeployment(url.to_string()));
    }
    let Held { keyring, .. } = root_keys::held(settings, &store, &Clock::system()).await?;
    let crypto = Crypto::new(keyring, settings.key_prefix.clone(), cost);
    Ok((store, crypto))
}

/// Requires that a deployment is there, whatever its schema, and makes nothing.
///
/// # Errors
/// [`StartError::NoDeployment`] among others.
pub async fn require_deployment(settings: &Settings) -> Result<(), StartError> {
    let store = found(&settings.database()?).await?;
    store.close().await;
    Ok(())
}

async fn found(url: &DatabaseUrl) -> Result<Store, StartError> {
    let nothing = || StartError::NoDeployment(url.to_string());
    if matches!(url, DatabaseUrl::Sqlite(path) if !path.exists()) {
        return Err(nothing());
    }
    let store = Store::open(url).await?;
    if store.is_empty().await? {
        return Err(nothing());
    }
    Ok(store)
}

/// What a server would refuse to start for, although the current root key is there: another that
/// something in the database still needs.
///
/// # Errors
/// [`StartError::RootKeyStillNeeded`] among others.
pub async fn require_needed_root_keys(
    settings: &Settings,
    store: &Store,
) -> Result<(), StartError> {
    let clock = Clock::system();
    let held = root_keys::held(settings, store, &clock).await?;
    root_keys::require_needed(&held, store, &clock).await
}
