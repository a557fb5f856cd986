//! Looks at the files again, and presents what they hold once it is a pair.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Tls;
use super::pair::{Contents, Pair, PairError};
use crate::domain::timestamp::Timestamp;
use crate::serve::signals::Hangup;

/// How often to look.
const EVERY: Duration = Duration::from_secs(5);

/// What the files were refused for last, so that it is said once.
#[derive(Default)]
struct Refused {
    /// What they held; `None`: they could not be read.
    contents: Option<Contents>,
    why: String,
    said: bool,
}

impl Tls {
    /// Looks at the files every five seconds, and at SIGHUP, until it is dropped.
    ///
    /// Both are taken together, once they belong together and the certificate is in force. Until
    /// then the pair before stays. Who renews writes one file after the other: what is wrong is
    /// said when it is still so at the second look, or at once after SIGHUP.
    pub async fn keep_up(self: Arc<Self>, mut hangup: Hangup) {
        let mut refused = None;
        loop {
            let asked = tokio::select! {
                () = hangup.received() => true,
                () = sleep(EVERY) => false,
            };
            self.look(&mut refused, asked).await;
        }
    }

    async fn look(self: &Arc<Self>, refused: &mut Option<Refused>, asked: bool) {
        let tls = Arc::clone(self);
        let looked = tokio::task::spawn_blocking(move || tls.read_again()).await;
        match looked {
            Ok(Ok(None)) => {
                if asked {
                    tracing::info!("the certificate is the one that is presented");
                }
                self.accepted(refused);
            }
            Ok(Ok(Some(pair))) => {
                let ends = pair.ends();
                self.present(pair);
                self.accepted(refused);
                let ends = Timestamp::from_unix(ends).ok();
                let ends = ends.map(tracing::field::display);
                tracing::info!(ends, "another certificate is presented from now on");
            }
            Ok(Err((contents, why))) => {
                let why = why.to_string();
                let again = refused
                    .as_ref()
                    .is_some_and(|before| before.contents == contents && before.why == why);
                let said = again && refused.as_ref().is_some_and(|before| before.said);
                if asked || (again && !said) {
                    tracing::warn!("the certificate before is presented on: {why}");
                }
                self.counts.refused(true);
                *refused = Some(Refused {
                    contents,
                    why,
                    said: said || asked || again,
                });
            }
            Err(_) => tracing::error!("looking at the certificate broke off"),
        }
    }

    fn accepted(&self, refused: &mut Option<Refused>) {
        *refused = None;
        self.counts.refused(false);
    }

    /// The pair in the files, if it is another than the one that is presented.
    fn read_again(&self) -> Result<Option<Pair>, (Option<Contents>, PairError)> {
        let before = self.presented(Pair::contents);
        let Some(pair) = Pair::read_other(&self.files, Some(before))? else {
            return Ok(None);
        };
        match pair.in_force(&self.files, self.clock.now()) {
            Ok(()) => Ok(Some(pair)),
            Err(why) => Err((Some(pair.contents()), why)),
        }
    }
}
