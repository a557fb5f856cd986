//! TLS on the listener: the certificate that is presented, and how another takes its place.

mod handshake;
mod pair;
mod watch;

pub use pair::{Pair, PairError};

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;

use crate::app::metrics::tls::TlsCounts;
use crate::clock::Clock;
use crate::settings::TlsFiles;

/// What a listener presents, and counts of what came of it.
pub struct Tls {
    files: TlsFiles,
    clock: Clock,
    pair: RwLock<Pair>,
    counts: Arc<TlsCounts>,
}

impl Tls {
    /// Reads the certificate and the key. One that has ended is presented all the same, with an
    /// error in the log: some clients may not look, and the server answers who asks why.
    ///
    /// # Errors
    /// See [`PairError`].
    pub fn open(files: TlsFiles, clock: Clock) -> Result<Arc<Self>, PairError> {
        let pair = Pair::read(&files)?;
        if let Err(why) = pair.in_force(&files, clock.now()) {
            tracing::error!("clients refuse this server: {why}");
        }
        let counts = Arc::new(TlsCounts::default());
        counts.presents(pair.ends());
        Ok(Arc::new(Self {
            files,
            clock,
            pair: RwLock::new(pair),
            counts,
        }))
    }

    /// What is counted of handshakes and of the files.
    #[must_use]
    pub fn counts(&self) -> Arc<TlsCounts> {
        Arc::clone(&self.counts)
    }

    /// What is spoken with who connects now.
    fn config(&self) -> Arc<ServerConfig> {
        self.presented(|pair| Arc::clone(&pair.config))
    }

    fn presented<T>(&self, read: impl FnOnce(&Pair) -> T) -> T {
        // A pair is put there whole.
        read(&self.pair.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn present(&self, pair: Pair) {
        self.counts.presents(pair.ends());
        *self.pair.write().unwrap_or_else(PoisonError::into_inner) = pair;
    }
}
