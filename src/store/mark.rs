//! The mark beside an SQLite database: how far the one came that was served there last.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::files;
use super::history::{History, LastEntry};

/// What a mark says.
#[derive(Serialize, Deserialize)]
struct Mark {
    /// What was served.
    #[serde(flatten)]
    served: History,
    /// What a restore is putting in its place at this moment: killed, it leaves the one or the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    or: Option<History>,
}

/// What a database is to one that was served at its place before.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Standing<'a> {
    /// The same, further on perhaps; or one of another deployment.
    GoesOn,
    /// A copy from before.
    Older,
    /// It has another history: it lacks this entry, and counts as many acts or more.
    Forked(&'a LastEntry),
}

impl<'a> Standing<'a> {
    /// Holds what is `there` against what was `served`. `has` says whether the last entry of that
    /// is there; `None`: there is nothing at its place, or it was not noted.
    pub(super) fn of(there: &History, served: &'a History, has: Option<bool>) -> Self {
        if !there.is_of(served) {
            return Self::GoesOn;
        }
        match (&served.last, has) {
            // Another act is where that one was: also where fewer were done, it is no copy of before.
            (Some(last), Some(false)) => Self::Forked(last),
            _ if there.is_before(served) => Self::Older,
            (Some(last), None) => Self::Forked(last),
            _ => Self::GoesOn,
        }
    }
}

/// Where it is noted how far the database in this file has come.
#[must_use]
pub fn mark_of(database: &Path) -> PathBuf {
    files::beside(database, ".mark")
}

/// How far the database had come that was served there, if that was noted. What cannot be read is
/// no reason not to serve.
#[must_use]
pub fn served(path: &Path) -> Option<History> {
    read(path).next()
}

/// The same, and behind it what a restore was putting in its place.
pub(super) fn read(path: &Path) -> impl Iterator<Item = History> + use<> {
    let text = fs::read(path).ok();
    let mark: Option<Mark> = text.and_then(|text| serde_json::from_slice(&text).ok());
    mark.into_iter()
        .flat_map(|mark| std::iter::once(mark.served).chain(mark.or))
}

/// Notes how far a database has come.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, served: &History) -> Result<(), StoreError> {
    let served = served.clone();
    write_mark(path, &Mark { served, or: None })
}

/// Notes, where something is noted of what was served, that a restore puts `or` in its place now.
/// Whichever of them is found there, it may be served.
///
/// # Errors
/// When it cannot be written.
pub fn write_either(path: &Path, served: Option<&History>, or: &History) -> Result<(), StoreError> {
    let Some(served) = served else {
        return Ok(());
    };
    let (served, or) = (served.clone(), Some(or.clone()));
    write_mark(path, &Mark { served, or })
}

fn write_mark(path: &Path, mark: &Mark) -> Result<(), StoreError> {
    let text = serde_json::to_vec(mark).expect("it is JSON");
    files::replace(path, &text).map_err(|why| StoreError::File {
        path: path.to_owned(),
        why,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(restores: i64, acts: i64, last: Option<&str>) -> History {
        History {
            root_key: "r".to_owned(),
            created_at: 1,
            restores,
            acts,
            last: last.map(|mac| LastEntry {
                organization: "acme".to_owned(),
                sequence: 3,
                mac: mac.to_owned(),
            }),
        }
    }

    #[test]
    fn more_acts_do_not_make_another_history_the_newest() {
        let served = at(0, 5, Some("ab"));
        let last = served.last.as_ref().unwrap();
        let of = |there: &History, has| Standing::of(there, &served, has);
        for there in [at(0, 5, Some("ab")), at(0, 9, None), at(1, 6, None)] {
            assert_eq!(of(&there, Some(true)), Standing::GoesOn);
            assert_eq!(of(&there, Some(false)), Standing::Forked(last));
            assert_eq!(of(&there, None), Standing::Forked(last));
        }
        assert_eq!(of(&at(0, 4, None), None), Standing::Older);
        assert_eq!(of(&at(0, 4, None), Some(false)), Standing::Forked(last));
        let other = History {
            created_at: 2,
            ..at(0, 1, None)
        };
        assert_eq!(of(&other, None), Standing::GoesOn, "another deployment");
        // What was noted before there were entries in it counts by numbers alone.
        let counted = at(0, 5, None);
        for (acts, standing) in [(4, Standing::Older), (5, Standing::GoesOn)] {
            let there = at(0, acts, Some("cd"));
            assert_eq!(Standing::of(&there, &counted, None), standing);
        }
    }

    #[test]
    fn marks_of_before_are_read_and_a_restore_under_way_leaves_both() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.mark");
        fs::write(
            &path,
            r#"{"root_key":"r","created_at":1,"restores":0,"acts":5}"#,
        )
        .unwrap();
        assert_eq!(served(&path), Some(at(0, 5, None)));
        let (before, after) = (at(0, 5, Some("ab")), at(1, 4, Some("cd")));
        write_either(&path, Some(&before), &after).unwrap();
        assert_eq!(
            read(&path).collect::<Vec<_>>(),
            [before.clone(), after.clone()]
        );
        // An earlier tenmint reads the one that was served.
        let text: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!([&text["acts"], &text["restores"]], [&json!(5), &json!(0)]);
        write(&path, &after).unwrap();
        assert_eq!(read(&path).collect::<Vec<_>>(), [after]);
        fs::write(&path, "x").unwrap();
        assert_eq!(served(&path), None);
        // Where nothing was noted, nothing is until the new one is there.
        let none = folder.path().join("none.mark");
        write_either(&none, None, &before).unwrap();
        assert!(!none.exists());
    }
}
