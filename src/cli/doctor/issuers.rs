//! Which issuer servers say that they serve: one for all, and the one that is set here.

use super::finding::Finding;
use crate::domain::issuer::BaseUrl;
use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::announced_issuers::AnnouncedIssuer;
use crate::store::error::StoreError;

pub(super) const CHECK: &str = "one issuer";

/// What servers that live say that they serve, by what that is.
#[derive(Default)]
pub(super) struct Served(Vec<AnnouncedIssuer>);

/// What servers that live say of one issuer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Word {
    /// None lives, or none says what it serves.
    None,
    /// That they serve it, or one of them does.
    Served,
    /// That they serve others.
    Others,
}

impl Served {
    /// What was said lately.
    pub(super) async fn read(store: &Store, now: Timestamp) -> Result<Self, StoreError> {
        Ok(Self(store.announced_issuers(now).await?))
    }

    /// The one issuer that all of them serve.
    pub(super) fn only(&self) -> Option<&BaseUrl> {
        let first = &self.0.first()?.issuer;
        let same = self.0.iter().all(|said| said.issuer == *first);
        same.then_some(first)
    }

    /// What they say of an issuer.
    pub(super) fn word_of(&self, issuer: &BaseUrl) -> Word {
        if self.0.is_empty() {
            Word::None
        } else if self.0.iter().any(|said| said.issuer == *issuer) {
            Word::Served
        } else {
            Word::Others
        }
    }

    /// Holds them against each other, and against what is set here, if anything is.
    pub(super) fn judge(&self, set: Option<&BaseUrl>) -> Finding {
        if self.0.is_empty() {
            return Finding::ok(
                CHECK,
                "no server said within the last minute what it serves",
            );
        }
        let served = self.shown();
        let here = set.map(BaseUrl::as_str);
        match (self.only(), here) {
            (None, here) => {
                let here = here.map(|here| format!(" (here it is {here})"));
                Finding::problem(
                    CHECK,
                    format!(
                        "within the last minute servers on this database served different ISSUERs, \
                         {served}: each refuses tokens of the other, and so does whoever expects \
                         the other. Set the same on every server{}; a server's log names its node \
                         when it begins to serve",
                        here.unwrap_or_default()
                    ),
                )
            }
            (Some(only), Some(here)) if only.as_str() != here => Finding::problem(
                CHECK,
                format!(
                    "ISSUER is {here} here, and within the last minute servers on this database \
                     served {served}: one of the two is mistyped, or DATABASE_URL is not theirs. \
                     Set the same everywhere"
                ),
            ),
            (Some(_), _) => Finding::ok(
                CHECK,
                format!("within the last minute every server served {served}"),
            ),
        }
    }

    /// Each issuer once, and who serves it.
    fn shown(&self) -> String {
        let each = self.0.chunk_by(|one, other| one.issuer == other.issuer);
        let each = each.map(|those| {
            let nodes: Vec<_> = those.iter().map(|said| said.node.as_str()).collect();
            format!("{} ({})", those[0].issuer.as_str(), nodes.join(", "))
        });
        each.collect::<Vec<_>>().join(" and ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Verdict;

    fn url(text: &str) -> BaseUrl {
        text.parse().unwrap()
    }

    fn served(said: &[(&str, &str)]) -> Served {
        let each = said.iter().map(|(node, issuer)| AnnouncedIssuer {
            node: (*node).to_owned(),
            issuer: url(issuer),
            until: Timestamp::MAX,
        });
        Served(each.collect())
    }

    #[test]
    fn servers_are_held_against_each_other_and_against_what_is_set_here() {
        let (a, b) = ("https://a.example", "https://b.example");
        let judged = |said: &[(&str, &str)], here: Option<&str>| {
            let here = here.map(url);
            let found = served(said).judge(here.as_ref());
            (found.verdict, found.text)
        };
        assert_eq!(judged(&[], Some(a)).0, Verdict::Ok);
        let (verdict, text) = judged(&[("n1", a), ("n2", a)], Some(a));
        assert_eq!(verdict, Verdict::Ok);
        assert!(text.ends_with("https://a.example (n1, n2)"), "{text}");
        assert_eq!(judged(&[("n1", a)], None).0, Verdict::Ok);
        assert_eq!(judged(&[("n1", a)], Some(b)).0, Verdict::Problem);
        let apart = [("n1", a), ("n2", a), ("n3", b)];
        for here in [None, Some(a), Some(b)] {
            let (verdict, text) = judged(&apart, here);
            assert_eq!(verdict, Verdict::Problem);
            let all = "https://a.example (n1, n2) and https://b.example (n3)";
            assert!(text.contains(all), "{text}");
        }
    }

    #[test]
    fn what_servers_say_of_an_issuer_is_known() {
        let (a, b) = ("https://a.example", "https://b.example");
        assert_eq!(served(&[]).word_of(&url(a)), Word::None);
        assert_eq!(served(&[("n", a)]).word_of(&url(a)), Word::Served);
        assert_eq!(served(&[("n", a)]).word_of(&url(b)), Word::Others);
        assert!(served(&[]).only().is_none());
        assert_eq!(served(&[("m", a), ("n", a)]).only(), Some(&url(a)));
        assert!(served(&[("m", a), ("n", b)]).only().is_none());
    }
}
