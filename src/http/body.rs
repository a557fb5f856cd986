//! Request bodies: bounded in size and in time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::{BodyExt, LengthLimitError, Limited};

/// How long a client may take to send a body.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// Longer than allowed here.
    TooLarge,
    /// It did not come in time.
    TooSlow,
    /// The client broke off.
    BrokenOff,
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// See [`BodyError`].
pub async fn read(body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let collected = tokio::time::timeout(PATIENCE, Limited::new(body, limit).collect());
    match collected.await {
        Err(_) => Err(BodyError::TooSlow),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
        Ok(Err(_)) => Err(BodyError::BrokenOff),
    }
}
