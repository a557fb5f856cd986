//! `tenmint backup`.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::Failure;
use super::exit::{Exit, Failed};
use crate::app::StartError;
use crate::clock::Clock;
use crate::crypto::random;
use crate::domain::hex::hex;
use crate::domain::timestamp::Timestamp;
use crate::settings::Settings;
use crate::store::Store;
use crate::store::backup::{Contents, inspect};
use crate::store::engine::DatabaseUrl;
use crate::store::error::StoreError;
use crate::store::files;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// File to write. Keep it as safe as the database, and apart from the root key
    file: PathBuf,

    /// Replace the file if there is one, once the new backup is whole
    #[arg(long)]
    overwrite: bool,

    /// Print what was written as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    pub(super) settings: Settings,
}

/// What was written.
#[derive(Serialize)]
struct Summary<'a> {
    file: &'a Path,
    taken_at: Timestamp,
    bytes: u64,
    sha256: String,
    #[serde(flatten)]
    contents: Contents,
}

/// Writes the backup aside, reads it again whole, and only then gives it its name.
pub(super) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let file = &arguments.file;
    let database = database(&arguments.settings)?;
    refuse(arguments, &database)?;
    let random: [u8; 6] = random::bytes();
    let aside = files::beside(file, &format!(".partial-{}", hex(&random)));
    let said = |why: io::Error| format!("{}: {why}", file.display());
    drop(files::create_private(&aside).map_err(said)?);
    let written = write(&database, &aside).await;
    let written = written.and_then(|(taken_at, contents)| {
        let (bytes, sha256) = digest(&aside)?;
        files::sync(&aside)?;
        put_in_place(&aside, file, arguments.overwrite).map_err(said)?;
        Ok(Summary {
            file,
            taken_at,
            bytes,
            sha256,
            contents,
        })
    });
    match written {
        Ok(summary) => show(&summary, arguments.json),
        Err(why) => {
            let _ = fs::remove_file(&aside);
            Err(format!("no backup was written: {why}").into())
        }
    }
}

/// The SQLite file there is.
fn database(settings: &Settings) -> Result<PathBuf, Failure> {
    match settings.database()? {
        DatabaseUrl::Sqlite(path) if path.exists() => Ok(path),
        DatabaseUrl::Sqlite(path) => {
            Err(StartError::NoDeployment(format!("sqlite:{}", path.display())).into())
        }
        DatabaseUrl::Postgres(_) => Err(Failed::usage(
            "PostgreSQL is backed up by its own tools: `pg_dump --format=custom`, or a base backup \
             with an archive of its log. docs/operations.md has the procedure, and what to do \
             after a restore",
        )
        .into()),
    }
}

/// Refuses places where a backup would do harm.
fn refuse(arguments: &Arguments, database: &Path) -> Result<(), Failed> {
    let (file, overwrite) = (&arguments.file, arguments.overwrite);
    let database = fs::canonicalize(database).unwrap_or_else(|_| database.to_owned());
    let place = match (fs::canonicalize(files::folder_of(file)), file.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => {
            let folder = files::folder_of(file).display();
            return Err(Failed::usage(format!(
                "there is no folder {folder} to write a backup to"
            )));
        }
    };
    let of_the_database = ["", "-wal", "-shm", "-journal", ".lock", ".mark"]
        .map(|ending| files::beside(&database, ending));
    let same = fs::canonicalize(&place).is_ok_and(|real| of_the_database.contains(&real));
    if same || of_the_database.contains(&place) {
        return Err(Failed::usage(
            "that is the database itself: name another file",
        ));
    }
    let real = fs::canonicalize(&place).unwrap_or_else(|_| place.clone());
    let root_key = fs::canonicalize(&arguments.settings.root_key_file);
    if root_key.is_ok_and(|root_key| root_key == real) {
        return Err(Failed::usage(
            "that is the root key, without which no backup is of use: name another file",
        ));
    }
    match fs::metadata(&place) {
        Ok(there) if !there.is_file() => {
            Err(Failed::usage(format!("{} is no file", file.display())))
        }
        Ok(_) if !overwrite => Err(Failed::new(
            Exit::Conflict,
            format!(
                "{} is there already: name another file, or give --overwrite",
                file.display()
            ),
        )),
        _ => Ok(()),
    }
}

/// Copies, and reads the copy.
async fn write(database: &Path, aside: &Path) -> Result<(Timestamp, Contents), Failure> {
    let store = Store::open(&DatabaseUrl::Sqlite(database.to_owned())).await?;
    let taken_at = Clock::system().now();
    let copied = store.copy_to(aside).await;
    store.close().await;
    match copied {
        Ok(()) => {}
        Err(StoreError::Unavailable(why)) => return Err(why.into()),
        Err(other) => return Err(other.into()),
    }
    Ok((taken_at, inspect(aside).await?))
}

fn digest(path: &Path) -> io::Result<(u64, String)> {
    let mut file = fs::File::open(path)?;
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    let (mut bytes, mut buffer) = (0, vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((bytes, hex(digest.finish().as_ref()))),
            read => {
                digest.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
}

/// By a second name, which nothing that is there gives way to; or in its place.
fn put_in_place(aside: &Path, file: &Path, overwrite: bool) -> io::Result<()> {
    match fs::hard_link(aside, file) {
        Ok(()) => fs::remove_file(aside)?,
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists && !overwrite => return Err(why),
        // In its place, or on a file system that knows no second names.
        Err(_) => fs::rename(aside, file)?,
    }
    files::sync_folder_of(file)
}

fn show(summary: &Summary<'_>, json: bool) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(summary)?)?;
        return Ok(out.flush()?);
    }
    let Summary {
        file,
        bytes,
        sha256,
        contents,
        ..
    } = summary;
    writeln!(
        out,
        "wrote {} ({bytes} bytes, sha256 {sha256}): {} organizations, {} API keys, {} audit \
         entries. It was read again and is whole",
        file.display(),
        contents.organizations,
        contents.api_keys,
        contents.audit_entries,
    )?;
    writeln!(
        out,
        "The root key {} is not in it: keep a copy of it elsewhere. Without it this backup is of \
         no use; with it, whoever has both can sign tokens",
        contents.root_key
    )?;
    Ok(out.flush()?)
}
