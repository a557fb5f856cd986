//! A backup put in place of an SQLite database: made ready aside, then given its name at once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::plan::Plan;
use super::report::Report;
use super::{Arguments, root_keys, source};
use crate::app::{App, Role};
use crate::cli::Failure;
use crate::cli::exit::{Exit, Failed};
use crate::clock::Clock;
use crate::manage::restore::Logs;
use crate::store::Store;
use crate::store::backup::inspect;
use crate::store::engine::DatabaseUrl;
use crate::store::files;
use crate::store::lock::ServerLock;
use crate::store::mark::{self, mark_of};

/// What the database is called that gives way to the backup.
const REPLACED: &str = "the replaced database (which --ignore-replaced leaves out)";

pub(super) async fn run(
    arguments: &Arguments,
    backup: &Path,
    database: &Path,
) -> Result<(), Failure> {
    let about = |why: io::Error| format!("{}: {why}", backup.display());
    let real = fs::canonicalize(backup).map_err(about)?;
    if fs::canonicalize(database).is_ok_and(|database| database == real) {
        return Err(Failed::usage(
            "that is the database itself: to bring it up to date where it is, give --in-place",
        )
        .into());
    }
    if let Some(why) = refusal(arguments, database) {
        return Err(why.into());
    }
    files::create_private_folder(files::folder_of(database))?;
    // Until this process ends, no server starts on it.
    let _alone = ServerLock::of_file(database)?;
    let staged = files::beside(database, ".restoring");
    let done = stage(arguments, &real, database, &staged).await;
    source::remove(&staged);
    done?.show(arguments.json)
}

fn refusal(arguments: &Arguments, database: &Path) -> Option<Failed> {
    (database.exists() && !arguments.replace).then(|| {
        let text = format!(
            "there is a database at {}: give --replace to put the backup in its place; what is \
             there is kept beside it",
            database.display()
        );
        Failed::new(Exit::Conflict, text)
    })
}

/// Makes a copy of the backup what it is to be, then puts it in place.
async fn stage(
    arguments: &Arguments,
    backup: &Path,
    database: &Path,
    staged: &Path,
) -> Result<Report, Failure> {
    source::copy(backup, staged).map_err(|why| format!("{}: {why}", backup.display()))?;
    if files::beside(staged, "-wal").exists() {
        // A copy of the files of a database: what its log holds belongs to it.
        let store = Store::open(&DatabaseUrl::Sqlite(staged.to_owned())).await?;
        store.truncate_log().await?;
        store.close().await;
    }
    let sound = inspect(staged).await;
    sound.map_err(|why| format!("{} cannot be restored: {why}", backup.display()))?;
    let settings = arguments.settings_for(staged);
    let base = settings.base(settings.listen)?;
    let opened = App::open(&settings, base, Clock::system(), Role::Restore).await;
    let what = format!("the backup {}", backup.display());
    let app = opened.map_err(|why| root_keys::lacking(why, &what))?;
    let store = &app.management.store;
    let mut logs = Logs::after(store, &app.management.crypto).await?;
    for path in &arguments.audit_export {
        source::export(&mut logs, path).await?;
    }
    let scratch = files::beside(database, ".reading");
    for path in &arguments.audit_database {
        let name = path.display().to_string();
        source::database(&mut logs, (path, &name), &scratch).await?;
    }
    if database.exists() && !arguments.ignore_replaced {
        let read = source::database(&mut logs, (database, REPLACED), &scratch).await;
        if let Err(why) = read {
            eprintln!("the audit log of the replaced database is of no help: {why}");
        }
    }
    let mark = mark_of(database);
    let served = mark::served(&mark);
    let mut plan = Plan::make(&app, arguments, logs, served.as_ref()).await?;
    let outcomes = plan.carry_out(&app).await?;
    let before = served.as_ref().map_or(0, |served| served.restores);
    let now = app.management.clock.now();
    let history = store.finish_restore(before, now).await?;
    store.truncate_log().await?;
    app.close().await;
    files::sync(staged)?;
    if let Some(history) = &history {
        mark::write_either(&mark, served.as_ref(), history)?;
    }
    let replaced = put_in_place(staged, database).await?;
    if let Some(history) = history {
        mark::write(&mark, &history)?;
    }
    let database = format!("sqlite:{}", database.display());
    Ok(Report::of(plan, outcomes, database, replaced))
}

/// Gives the new database its name in one step. What was there has another name before.
async fn put_in_place(staged: &Path, database: &Path) -> Result<Option<PathBuf>, Failure> {
    let log = files::beside(database, "-wal");
    let replaced = if database.exists() {
        // What its write-ahead log holds goes into it: the new one must not find it there.
        let whole = write_back(database).await;
        if whole.is_ok() && log.exists() {
            let text = "another process is using the database: stop it first";
            return Err(Failed::new(Exit::Conflict, text).into());
        }
        Some(keep(database)?)
    } else {
        None
    };
    for ending in ["-wal", "-shm", "-journal"] {
        match fs::remove_file(files::beside(database, ending)) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why.into()),
            _ => {}
        }
    }
    fs::rename(staged, database)?;
    files::sync_folder_of(database)?;
    Ok(replaced)
}

async fn write_back(database: &Path) -> Result<(), Failure> {
    let store = Store::open(&DatabaseUrl::Sqlite(database.to_owned())).await?;
    let written = store.truncate_log().await;
    store.close().await;
    if !written? {
        return Err("somebody reads in it".into());
    }
    Ok(())
}

/// Keeps a database under another name beside its own, with what could not be written back.
fn keep(database: &Path) -> Result<PathBuf, Failure> {
    let now = Clock::system().now().to_string().replace(['-', ':'], "");
    let named = |n: u32| match n {
        0 => files::beside(database, &format!(".replaced-{now}")),
        n => files::beside(database, &format!(".replaced-{now}-{n}")),
    };
    // Several may be replaced within a second.
    let free = (0..1_000).map(named).find(|path| !path.exists());
    let kept = free.ok_or("there are too many replaced databases: move some away")?;
    for ending in ["", "-wal"] {
        let from = files::beside(database, ending);
        let to = files::beside(&kept, ending);
        if !from.exists() {
            continue;
        }
        if fs::hard_link(&from, &to).is_err() {
            io::copy(
                &mut fs::File::open(&from)?,
                &mut files::create_private(&to)?,
            )?;
        }
        files::sync(&to)?;
    }
    Ok(kept)
}
