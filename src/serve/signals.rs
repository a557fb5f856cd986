//! The signals that ask the process to end, or to read its files anew.

/// Completes at the first SIGTERM or SIGINT after it was first polled; elsewhere than on Unix, at
/// the first ctrl-c.
///
/// From that first poll on, the process no longer dies of these signals by itself. Each call waits
/// for a signal of its own: a second one, awaited while a server drains, is how an impatient
/// operator's second ctrl-c can be heard.
pub async fn shutdown_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::SignalKind;

        tokio::select! {
            () = received(SignalKind::terminate()) => {}
            () = received(SignalKind::interrupt()) => {}
        }
    }
    #[cfg(not(unix))]
    if let Err(error) = tokio::signal::ctrl_c().await {
        deaf(&error).await;
    }
}

#[cfg(unix)]
async fn received(kind: tokio::signal::unix::SignalKind) {
    match tokio::signal::unix::signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(error) => deaf(&error).await,
    }
}

/// SIGHUP, which asks a server to read its files anew; elsewhere than on Unix it never comes.
pub struct Hangup {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangup {
    /// From here on the process no longer dies of it.
    #[must_use]
    pub fn heard() -> Self {
        Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())
                .inspect_err(|error| tracing::warn!(%error, "cannot listen to SIGHUP"))
                .ok(),
        }
    }

    /// It keeps its default effect, which ends the process.
    #[must_use]
    pub fn left_alone() -> Self {
        Self {
            #[cfg(unix)]
            signal: None,
        }
    }

    /// Completes at the next one.
    pub async fn received(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

/// A signal that cannot be listened to keeps its default effect, which ends the process too, if
/// less gently: no reason to stop serving.
async fn deaf(error: &std::io::Error) {
    tracing::error!(%error, "cannot listen to signals: the end will not be graceful");
    std::future::pending::<()>().await;
}

#[cfg(all(test, unix))]
mod tests {
    use std::pin::pin;
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    #[expect(
        clippy::disallowed_methods,
        reason = "`kill` is sent to this process, which holds no secret"
    )]
    async fn sigterm_and_sigint_each_end_the_wait() {
        for name in ["-TERM", "-INT"] {
            let mut signal = pin!(shutdown_signal());
            // The first poll is what takes the signal away from its default: death.
            let early = tokio::time::timeout(Duration::from_millis(20), signal.as_mut()).await;
            assert!(early.is_err());
            let pid = std::process::id().to_string();
            assert!(
                Command::new("kill")
                    .args([name, &pid])
                    .status()
                    .unwrap()
                    .success()
            );
            tokio::time::timeout(Duration::from_secs(10), signal)
                .await
                .unwrap();
        }
    }
}
