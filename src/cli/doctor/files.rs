//! Files and folders: who on this machine can read what.

use std::fs;
use std::path::{Path, PathBuf};

use super::finding::Finding;
use crate::app::ROOT_KEY_VARIABLE;
use crate::settings::Settings;
use crate::store::engine::DatabaseUrl;
use crate::store::files;

/// Looks at the root key's file and folder, and at an SQLite database's.
pub(super) fn look(settings: &Settings) -> Vec<Finding> {
    let mut findings = root_key(settings);
    if let Ok(DatabaseUrl::Sqlite(path)) = settings.database()
        && path.exists()
    {
        findings.push(database(&path));
        findings.extend(together(settings, &path));
    }
    findings
}

fn root_key(settings: &Settings) -> Vec<Finding> {
    const CHECK: &str = "root key file";
    if std::env::var_os(ROOT_KEY_VARIABLE).is_some() {
        return vec![Finding::warning(
            CHECK,
            format!(
                "the root key comes from {ROOT_KEY_VARIABLE}, and many tools show environments: \
                 put it into a file of mode 0600"
            ),
        )];
    }
    let path = &settings.root_key_file;
    let shown = path.display();
    let Some(mode) = mode(path) else {
        // What opens the deployment says more of it.
        return vec![];
    };
    let mut findings = Vec::new();
    findings.push(match mode {
        mode if mode & 0o007 != 0 => Finding::problem(
            CHECK,
            format!("{shown} is open to every account (mode {mode:03o}): chmod 600 {shown}"),
        ),
        mode if mode & 0o070 != 0 => Finding::warning(
            CHECK,
            format!("{shown} is open to its group (mode {mode:03o}): chmod 600 {shown}"),
        ),
        _ => Finding::ok(CHECK, format!("{shown} is for its owner alone")),
    });
    let folder = files::folder_of(path);
    if let Some(mode) = self::mode(folder).filter(|mode| mode & 0o022 != 0) {
        let folder = folder.display();
        findings.push(Finding::problem(
            "root key folder",
            format!(
                "others can put another root key into {folder} (mode {mode:03o}): chmod 700 {folder}"
            ),
        ));
    }
    findings
}

/// The database, and what lies beside it: all of it holds hashes and sealed keys.
fn database(path: &Path) -> Finding {
    const CHECK: &str = "database files";
    let open: Vec<_> = ["", "-wal", "-shm", ".mark"]
        .iter()
        .map(|ending| files::beside(path, ending))
        .filter(|path| mode(path).is_some_and(|mode| mode & 0o077 != 0))
        .map(|path| path.display().to_string())
        .collect();
    if open.is_empty() {
        return Finding::ok(CHECK, format!("{} is for its owner alone", path.display()));
    }
    let open = open.join(" ");
    Finding::problem(
        CHECK,
        format!("others can read {open}, where hashes and sealed keys are: chmod 600 {open}"),
    )
}

/// Whoever copies one folder should not have both.
fn together(settings: &Settings, database: &Path) -> Option<Finding> {
    let real = |path: &Path| -> Option<PathBuf> { fs::canonicalize(files::folder_of(path)).ok() };
    let (key, database) = (real(&settings.root_key_file)?, real(database)?);
    (key == database).then(|| {
        Finding::warning(
            "root key folder",
            format!(
                "the root key lies beside the database in {}: whoever copies that folder, as a \
                 backup does, can sign tokens; move it with ROOT_KEY_FILE",
                key.display()
            ),
        )
    })
}

/// Who may do what with a file; `None`: there is none.
#[cfg(unix)]
pub(super) fn mode(path: &Path) -> Option<u32> {
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(path).ok()?);
    Some(mode & 0o777)
}

/// The same where there are no modes.
#[cfg(not(unix))]
pub(super) fn mode(path: &Path) -> Option<u32> {
    path.exists().then_some(0o600)
}
