//! What the schema of a database is to a binary, which may be older or newer than it.

use sqlx::migrate::Migrator;

use crate::store::error::StoreError;

/// What the schema of a database is to this binary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Schema {
    /// Nothing was ever migrated here.
    Empty,
    /// This binary has migrations that were not applied: this is the newest that was.
    Older(i64),
    /// It is this binary's own.
    Own,
    /// A newer binary migrated it up to this version, and says that this one can work with it.
    Newer(i64),
}

/// A migration as it is recorded in the database.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Applied {
    pub(super) version: i64,
    pub(super) description: String,
    pub(super) success: bool,
    pub(super) checksum: Vec<u8>,
}

/// Holds what was applied against what this binary has.
pub(super) fn judge(applied: &[Applied], own: &Migrator) -> Result<Schema, StoreError> {
    let newest = own.iter().map(|m| m.version).max().unwrap_or(0);
    for migration in applied {
        let version = migration.version;
        let known = own.iter().find(|m| m.version == version);
        if known.is_none() {
            require_fit(version, &migration.description, newest)?;
        }
        if !migration.success {
            return Err(StoreError::MigrationUnfinished(version));
        }
        if known.is_some_and(|known| *known.checksum != *migration.checksum) {
            return Err(StoreError::MigrationChanged(version));
        }
    }
    let Some(last) = applied.last() else {
        return Ok(Schema::Empty);
    };
    let lacks = |version| !applied.iter().any(|m| m.version == version);
    if own.iter().any(|m| lacks(m.version)) {
        return Ok(Schema::Older(last.version));
    }
    Ok(if last.version > newest {
        Schema::Newer(last.version)
    } else {
        Schema::Own
    })
}

/// A migration that this binary does not have says at the end of its name from which version on
/// binaries can work with what it leaves: `0042_wider_names_since_41.sql`.
pub(super) fn require_fit(version: i64, description: &str, own: i64) -> Result<(), StoreError> {
    match since(description) {
        Some(since) if since <= own => Ok(()),
        _ => Err(StoreError::SchemaTooNew(version)),
    }
}

fn since(description: &str) -> Option<i64> {
    description.rsplit_once(" since ")?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::{SQLITE, newest};
    use super::*;

    #[test]
    fn a_migration_that_says_since_when_it_fits_says_it_legibly() {
        for migration in SQLITE.iter() {
            let text = &*migration.description;
            if text.split(' ').any(|word| word == "since") {
                let since = since(text).expect("a number behind the last word since");
                assert!(since < migration.version, "{text}");
            }
        }
    }

    /// What this binary has, as it is recorded where all of it was applied.
    fn own() -> Vec<Applied> {
        let applied = |m: &sqlx::migrate::Migration| Applied {
            version: m.version,
            description: m.description.to_string(),
            success: true,
            checksum: m.checksum.to_vec(),
        };
        SQLITE.iter().map(applied).collect()
    }

    fn and(version: i64, description: &str) -> Vec<Applied> {
        let mut applied = own();
        applied.push(Applied {
            version,
            description: description.to_owned(),
            success: true,
            checksum: vec![1],
        });
        applied
    }

    #[test]
    fn what_was_applied_is_held_against_what_is_known() {
        let judge = |applied: &[Applied]| judge(applied, &SQLITE);
        let newest = newest();
        assert_eq!(judge(&[]).unwrap(), Schema::Empty);
        assert_eq!(judge(&own()).unwrap(), Schema::Own);
        let mut older = own();
        older.pop();
        let last = older.last().map_or(0, |applied| applied.version);
        assert_eq!(judge(&older).unwrap(), Schema::Older(last));
        let mut gap = own();
        gap.remove(2);
        assert_eq!(judge(&gap).unwrap(), Schema::Older(newest));

        let fits = and(newest + 1, &format!("wider names since {newest}"));
        assert_eq!(judge(&fits).unwrap(), Schema::Newer(newest + 1));
        let for_older = and(newest + 1, "wider names since 1");
        assert_eq!(judge(&for_older).unwrap(), Schema::Newer(newest + 1));
        let next = format!("wider names since {}", newest + 1);
        for refused in ["wider names", "since", "wider names since x", &*next] {
            let found = judge(&and(newest + 2, refused));
            assert!(
                matches!(found, Err(StoreError::SchemaTooNew(version)) if version == newest + 2),
                "{refused}: {found:?}"
            );
        }

        let mut failed = own();
        failed[3].success = false;
        let found = judge(&failed);
        assert!(
            matches!(found, Err(StoreError::MigrationUnfinished(4))),
            "{found:?}"
        );
        let mut changed = own();
        changed[3].checksum[0] ^= 1;
        let found = judge(&changed);
        assert!(
            matches!(found, Err(StoreError::MigrationChanged(4))),
            "{found:?}"
        );
    }
}
