//! Renewals: hashes that depend on a former root key, made anew under the current one.
//!
//! Only whoever presents a secret can have its hash made anew, so it happens when one has been
//! verified, off that request's path: the secret waits in a line, in memory alone, and one at a time
//! is attended to. Where there is no room, or the database does not answer for long, it does no harm:
//! the next use of the secret tries again. It changes nothing that anybody could ask about, so it is
//! no act, and has no audit entry; whatever replaces or ends the secret meanwhile wins.

mod line;
mod work;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::generations::Generations;
use super::proofs::Proofs;
use super::{Credential, Which};
use crate::crypto::Crypto;
use crate::domain::secret::{ApiKeySecret, ForeignSecret};
use crate::store::Store;
use line::Line;
use work::{NotYet, Work, is_to_stay};

/// How many secrets wait: after a rotation every key in use wants its turn, and has another at its
/// next use.
const MOST: usize = 4_096;

/// How long to wait before the next is tried after one could not be made anew: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));

/// How often one is tried while the database does not answer: it may be away for half a minute.
const TRIES: u32 = 10;

/// For how long those who wait are still attended to when the server stops.
const LAST: Duration = Duration::from_secs(3);

/// Makes hashes anew.
pub(super) struct Renewals {
    line: Line<Proven>,
    work: Work,
}

/// A secret that was just proven, and the hash that it was proven against.
struct Proven {
    secret: Secret,
    credential: Arc<Credential>,
    which: Which,
    tries: u32,
}

enum Secret {
    Own(Arc<ApiKeySecret>),
    Foreign(Arc<ForeignSecret>),
}

impl Renewals {
    pub(super) fn new(
        store: Store,
        crypto: Arc<Crypto>,
        proofs: Arc<Proofs>,
        generations: Arc<Generations>,
    ) -> Self {
        Self {
            line: Line::of(MOST),
            work: Work {
                store,
                crypto,
                proofs,
                generations,
            },
        }
    }

    /// Has the hash of a secret that was just verified made anew.
    pub(super) fn renew(&self, secret: ApiKeySecret, credential: &Arc<Credential>, which: Which) {
        self.join(credential, which, || Secret::Own(Arc::new(secret)));
    }

    /// Has what is stored of a string of another system, which was just proven, made anew: in the
    /// place of a slow hash, or of what a former root key made.
    pub(super) fn renew_foreign(
        &self,
        secret: Arc<ForeignSecret>,
        credential: &Arc<Credential>,
        which: Which,
    ) {
        let hash = credential.hash(which);
        if is_to_stay(&secret, &hash.text()) && self.work.crypto.is_current(&hash.root_key) {
            return;
        }
        self.join(credential, which, || Secret::Foreign(secret));
    }

    /// Attends to those who wait, until told to stop and a little longer. What is not done by then
    /// is forgotten: a secret is held for nothing else.
    pub(super) async fn attend(&self, mut stopped: watch::Receiver<bool>) {
        self.line.open();
        let end = async {
            let _ = stopped.changed().await;
            self.line.close();
            tokio::time::sleep(LAST).await;
        };
        tokio::select! {
            () = end => {}
            () = self.attend_to_all() => {}
        }
        self.line.clear();
    }

    async fn attend_to_all(&self) {
        let mut pause = PAUSE.0;
        while let Some((place, mut proven)) = self.line.next().await {
            let id = proven.credential.key.id;
            match self.work.renew(&proven).await {
                Ok(()) => {
                    self.line.leave(place);
                    pause = PAUSE.0;
                    continue;
                }
                // Argon2 is for those first whose requests wait for it.
                Err(NotYet::Overloaded) => self.line.back(place, proven),
                Err(NotYet::Unanswered(error)) => {
                    proven.tries += 1;
                    if error.is_passing() && proven.tries < TRIES {
                        self.line.back(place, proven);
                    } else {
                        tracing::debug!(%error, key = %id, "a hash is made anew at its secret's next use");
                        self.line.leave(place);
                    }
                }
            }
            // Whatever it was, the others would meet with it as well.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    fn join(&self, credential: &Arc<Credential>, which: Which, secret: impl FnOnce() -> Secret) {
        let place = (credential.key.id, credential.hash(which).end());
        self.line.join(place, || Proven {
            secret: secret(),
            credential: Arc::clone(credential),
            which,
            tries: 0,
        });
    }
}
