//! How the issuer's revocation feed is followed: how often, from where, and what holds when it cannot
//! be had.

use std::time::Duration;

use url::Url;

/// How the issuer's revocation feed is followed: `docs/revocation-feed.md`.
#[derive(Clone, Debug)]
#[must_use = "it is for Builder::follow_revocations"]
pub struct Follow {
    pub(super) url: Option<String>,
    /// Whether to wait for news, rather than to ask again and again.
    pub(super) is_pushed: bool,
    pub(super) every: Duration,
    /// Whether tokens count of which it is not known whether they are revoked.
    pub(super) is_open: bool,
}

/// How long the issuer is asked to wait for news.
const WAIT: Duration = Duration::from_secs(25);

impl Follow {
    /// Asks the issuer every five seconds.
    pub fn polling() -> Self {
        Self {
            url: None,
            is_pushed: false,
            every: Duration::from_secs(5),
            is_open: false,
        }
    }

    /// Has the issuer answer when there is something new, within milliseconds. It costs the issuer
    /// a connection for each verifier.
    pub fn pushed() -> Self {
        Self {
            is_pushed: true,
            ..Self::polling()
        }
    }

    /// How long to leave the issuer alone: between two questions, or, where it answers when there
    /// is something new, after it did not answer. At least 10 ms.
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every.max(Duration::from_millis(10));
        self
    }

    /// Where the feed is, in place of `{issuer}/.well-known/revocations`: a mirror, which is not
    /// trusted with anything. It could withhold news for five minutes at most.
    pub fn at(mut self, url: &str) -> Self {
        self.url = Some(url.to_owned());
        self
    }

    /// Lets tokens through, with a warning in the log, while it is not known whether they are
    /// revoked: when the feed could not be had for as long as the last one counted, five minutes.
    /// What was known to be revoked stays so. Unless this is said they are refused with 503.
    pub fn let_through_when_stale(mut self) -> Self {
        self.is_open = true;
        self
    }

    /// How long an answer may take.
    pub(super) const fn patience(is_waiting: bool) -> Duration {
        let whole = 5;
        let waiting = if is_waiting { WAIT.as_secs() } else { 0 };
        Duration::from_secs(waiting + whole)
    }

    /// Where to ask so that news is waited for.
    pub(super) fn waiting(url: &Url) -> Url {
        let mut url = url.clone();
        let seconds = WAIT.as_secs().to_string();
        url.query_pairs_mut().append_pair("wait", &seconds);
        url
    }
}
