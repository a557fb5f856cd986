//! What was destroyed: servers see to it that it leaves the files of the database too, soon.

use super::clock::LATE;
use super::finding::Finding;
use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::health::OwedErasures;

const CHECK: &str = "erasure";

/// Looks for what should be gone.
pub(super) async fn look(store: &Store, now: Timestamp) -> Finding {
    match store.owed_erasures().await {
        Ok(owed) => judge(owed, now.unix(), store.file().is_some()),
        Err(why) => Finding::problem(CHECK, why.to_string()),
    }
}

fn judge(owed: OwedErasures, now: i64, is_sqlite: bool) -> Finding {
    if owed.count == 0 {
        return Finding::ok(CHECK, "nothing is left in files of what was destroyed");
    }
    let count = owed.count;
    if let Some(since) = owed.since.filter(|since| *since > now - LATE) {
        let minutes = (now - since).max(0) / 60;
        return Finding::ok(
            CHECK,
            format!(
                "what {count} acts destroyed, the first {minutes} minutes ago, is about to leave \
                 the files"
            ),
        );
    }
    let since = owed.since.map(Timestamp::from_unix).and_then(Result::ok);
    let since = since.map_or_else(String::new, |since| format!(", the first at {since},"));
    let how = if is_sqlite {
        "a server empties SQLite's log once nobody reads in it: let one run, and end whatever reads \
         for hours"
    } else {
        "a server writes the table signing_keys anew once nobody uses it: let one run, end whatever \
         reads there for hours (pg_stat_activity tells), and see `privileges`"
    };
    Finding::problem(
        CHECK,
        format!(
            "what {count} acts{since} destroyed, such as private halves of signing keys, is still in \
             the database's files: {how}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn what_is_owed_for_long_or_nobody_knows_since_when_is_found() {
        let judge = |count, since| judge(OwedErasures { count, since }, 100_000, true).verdict;
        assert_eq!(judge(0, None), Verdict::Ok);
        assert_eq!(judge(3, Some(99_000)), Verdict::Ok);
        assert_eq!(judge(1, Some(100_000 - LATE)), Verdict::Problem);
        assert_eq!(judge(1, None), Verdict::Problem);
    }
}
