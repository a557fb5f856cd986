//! A PostgreSQL database for each test that asks for one.
//!
//! The server is that of `TENMINT_TEST_POSTGRES_URL`, or else a throw-away one of the test process,
//! made of PostgreSQL's installed programs in about a second. A shell starts it and watches over it:
//! its standard input is a pipe that this process never closes. When this process ends, also by
//! `kill -9`, the kernel closes the pipe, and the shell stops the server and removes its directory.
//! Should the shell be killed too, the next run removes the directory, and a server without its
//! directory stops by itself within a minute.
//!
//! The throw-away server listens on a Unix socket in a directory that only its account may enter,
//! and on a loopback port, where it wants the password in the URL. It is like a production server
//! where that shows: the role is no superuser, and text sorts as in English rather than by bytes.
//! Only `fsync` is off, and its files are in memory where there is room: what is committed survives
//! a crash of the server, not of the machine.
//! `faults` does to it what befalls servers.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses its own part of the support"
)]

#[path = "postgres_faults.rs"]
mod faults;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use ring::rand::SystemRandom;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use url::Url;

use super::left_out::left_out;

/// An empty database in the server that the tests of this process share, or `None` when there is
/// no PostgreSQL: the calling test is then counted as left out, and should return.
///
/// # Panics
///
/// When there is a PostgreSQL but it fails, or there is none and `TENMINT_REQUIRE_ALL=1`.
#[track_caller]
pub fn fresh_database() -> Option<FreshDatabase> {
    static SHARED: OnceLock<Result<Option<Shared>, String>> = OnceLock::new();
    match SHARED.get_or_init(Shared::find) {
        Ok(Some(shared)) => Some(FreshDatabase::create(&shared.url)),
        Ok(None) => {
            left_out(
                "PostgreSQL",
                "install postgresql or set TENMINT_TEST_POSTGRES_URL",
            );
            None
        }
        Err(why) => panic!("{why}"),
    }
}

/// All that `pg_dump` writes of a database; `None` and panics as above.
#[track_caller]
pub fn dump(url: &str) -> Option<String> {
    // A client may be installed apart from the server.
    let beside = programs().map(|directory| directory.join("pg_dump"));
    let program = beside.filter(|program| program.is_file());
    let program = program.unwrap_or_else(|| "pg_dump".into());
    if command("pg_dump").arg("--version").output().is_err() && !program.is_file() {
        left_out("pg_dump", "install postgresql");
        return None;
    }
    let mut url = Url::parse(url).expect("the URL of a test's database");
    let password = url.password().unwrap_or_default().to_owned();
    url.set_password(None).expect("it has a host");
    let dumped = command(program.to_str().expect("a path in UTF-8"))
        .arg(url.as_str())
        .env("PGPASSWORD", password)
        .output()
        .expect("pg_dump is a program");
    let complaint = String::from_utf8_lossy(&dumped.stderr);
    assert!(dumped.status.success(), "pg_dump: {complaint}");
    Some(String::from_utf8(dumped.stdout).expect("a dump is text"))
}

/// A throw-away server for one test alone, which may stop or crash it; `None` and panics as above.
#[track_caller]
pub fn server_of_its_own() -> Option<Server> {
    let Some(programs) = programs() else {
        left_out("the PostgreSQL server programs", "install postgresql");
        return None;
    };
    match Server::start_new(&programs) {
        Ok(server) => Some(server),
        Err(why) => panic!("{why}"),
    }
}

/// A database that is one test's own. Dropping it drops the database, whoever is still connected.
pub struct FreshDatabase {
    server: Url,
    name: String,
    url: String,
}

impl FreshDatabase {
    /// What tenmint takes as `DATABASE_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn create(server: &Url) -> Self {
        let created = run(async {
            let mut connection = PgConnection::connect(server.as_str()).await?;
            // The server's own time, for `drop_leftovers`.
            let now: i64 = sqlx::query_scalar("SELECT extract(epoch FROM now())::bigint")
                .fetch_one(&mut connection)
                .await?;
            let name = format!("tenmint_test_{now}_{:016x}", random());
            let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
            sqlx::raw_sql(create).execute(&mut connection).await?;
            connection.close().await?;
            Ok(name)
        });
        let name = match created {
            Ok(name) => name,
            Err(why) => panic!("PostgreSQL made no database: {why}"),
        };
        let server = server.clone();
        let mut url = server.clone();
        url.set_path(&name);
        let url = url.into();
        Self { server, name, url }
    }
}

impl Drop for FreshDatabase {
    fn drop(&mut self) {
        // A test may have stopped the server; that is no failure here.
        let _ = run(async {
            let mut connection = PgConnection::connect(self.server.as_str()).await?;
            drop_database(&mut connection, &self.name).await?;
            connection.close().await
        });
    }
}

/// The server that the tests of this process share.
struct Shared {
    url: Url,
    _throw_away: Option<Server>,
}

impl Shared {
    fn find() -> Result<Option<Self>, String> {
        const GIVEN: &str = "TENMINT_TEST_POSTGRES_URL";
        if let Some(url) = std::env::var(GIVEN).ok().filter(|url| !url.is_empty()) {
            let url = Url::parse(&url).map_err(|why| format!("{GIVEN} is no URL: {why}"))?;
            run(drop_leftovers(&url)).map_err(|why| format!("{GIVEN} does not work: {why}"))?;
            return Ok(Some(Self {
                url,
                _throw_away: None,
            }));
        }
        let Some(programs) = programs() else {
            return Ok(None);
        };
        let server = Server::start_new(&programs)?;
        Ok(Some(Self {
            url: server.url.clone(),
            _throw_away: Some(server),
        }))
    }
}

/// Drops what tests killed more than a day ago left on a server that outlives them.
async fn drop_leftovers(server: &Url) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(server.as_str()).await?;
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT datname::text FROM pg_database
         WHERE substring(datname FROM '^tenmint_test_([0-9]{10})_[0-9a-f]{16}$')::bigint
             < extract(epoch FROM now()) - 86400",
    )
    .fetch_all(&mut connection)
    .await?;
    for name in names {
        drop_database(&mut connection, &name).await?;
    }
    connection.close().await
}

async fn drop_database(connection: &mut PgConnection, name: &str) -> sqlx::Result<()> {
    let drop = AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
    sqlx::raw_sql(drop).execute(connection).await?;
    Ok(())
}

/// A throw-away server and the shell that watches over it. Dropping it ends both.
pub struct Server {
    url: Url,
    shell: Child,
    answers: BufReader<ChildStdout>,
    place: PathBuf,
}

impl Server {
    /// An empty database in this server.
    pub fn fresh_database(&self) -> FreshDatabase {
        FreshDatabase::create(&self.url)
    }

    /// Where the server keeps its files. What it writes is all there once it stopped in good order.
    pub fn data(&self) -> PathBuf {
        self.place.join("data")
    }

    /// Stops the server in good order, ending every connection.
    pub fn stop(&mut self) {
        self.order("stop fast");
    }

    /// Stops the server as a crash would: it recovers at its next start.
    pub fn crash(&mut self) {
        self.order("stop immediate");
    }

    /// Starts the stopped server again, at the same port and with the same data.
    pub fn start(&mut self) {
        self.order("start");
    }

    fn order(&mut self, order: &str) {
        let answer = self.tell(order).map_err(|why| why.to_string());
        if let Err(why) = answer.flatten() {
            panic!("PostgreSQL did not {order}: {why}");
        }
    }

    /// Tells the shell something, and waits for `ready` or for why it gave up.
    fn tell(&mut self, line: &str) -> io::Result<Result<(), String>> {
        let mut input = self.shell.stdin.as_ref().expect("the shell reads a pipe");
        writeln!(input, "{line}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        if answer == "ready\n" {
            return Ok(Ok(()));
        }
        self.answers.read_to_string(&mut answer)?;
        Ok(Err(answer))
    }

    fn start_new(programs: &Path) -> Result<Self, String> {
        loop {
            match Self::try_to_start_new(programs) {
                Ok(Ok(server)) => return Ok(server),
                // Another process took the port after `free_port` looked.
                Ok(Err(why)) if why.contains("Address already in use") => {}
                Ok(Err(why)) => return Err(format!("PostgreSQL did not start: {why}")),
                Err(why) => return Err(format!("PostgreSQL could not be started: {why}")),
            }
        }
    }

    fn try_to_start_new(programs: &Path) -> io::Result<Result<Self, String>> {
        remove_leftovers();
        let place = tempfile::Builder::new().prefix(PREFIX).tempdir_in(base())?;
        let lock = locked_file(place.path())?;
        let port = free_port();
        let mut shell = command("sh");
        shell
            .args(["-c", WATCH, "sh"])
            .arg(programs)
            .arg(place.path())
            .arg(port.to_string())
            .current_dir(place.path())
            .process_group(0) // Ctrl-C is for the tests; the shell then tidies up.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(lock);
        // PostgreSQL refuses to run as root.
        if fs::metadata(place.path())?.uid() == 0 {
            let (user, group) = unprivileged_account()?;
            chown(place.path(), Some(user), Some(group))?;
            shell.uid(user).gid(group);
        }
        let mut shell = shell.spawn()?;
        let removed_by_the_shell = place.keep();
        let answers = shell.stdout.take().expect("the shell answers by a pipe");

        let password = format!("{:016x}{:016x}", random(), random());
        let url = format!("postgres://tenmint:{password}@127.0.0.1:{port}/postgres");
        let mut server = Self {
            url: Url::parse(&url).expect("names and digits make a URL"),
            shell,
            answers: BufReader::new(answers),
            place: removed_by_the_shell,
        };
        Ok(server.tell(&password)?.map(|()| server))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// Where the servers' directories may be: every account can reach them, and a socket's path is
/// short.
const BASES: [&str; 2] = ["/dev/shm", "/tmp"];

/// In memory, if gigabytes of it are free: a disk's file system has much to do when every test
/// makes and removes the hundreds of files of a database.
fn base() -> &'static str {
    const ROOM: u64 = 3 << 20; // KiB
    let [memory, disk] = BASES;
    let free = || {
        let output = command("df").args(["-Pk", memory]).output().ok()?;
        let output = String::from_utf8(output.stdout).ok()?;
        let free = output.lines().nth(1)?.split_whitespace().nth(3)?;
        free.parse::<u64>().ok()
    };
    let roomy = free().is_some_and(|free| free >= ROOM);
    if roomy { memory } else { disk }
}

const PREFIX: &str = "tenmint-postgres-";

/// Makes a server, starts it, obeys orders, and at the end of its input leaves nothing behind.
const WATCH: &str = r#"
programs=$1 place=$2 port=$3
control() { "$programs/pg_ctl" -s -w -D "$place/data" "$@" >&2; }
start() { control start -l "$place/log"; }
initdb() {
    "$programs/initdb" -D "$place/data" -U postgres -E UTF8 --locale=C --no-sync \
        --auth-local=trust --auth-host=password "$@" >&2
}
give_up() { cat "$place/lock" "$place/log"; exit 1; }

# Sends a signal to the server and all its processes.
signal() {
    read -r master <"$place/data/postmaster.pid" || return 1
    for process in "$master" $(of_parent "$master"); do kill -s "$1" "$process"; done
} 2>/dev/null
of_parent() {
    for stat in /proc/[0-9]*/stat; do
        read -r id name state parent rest <"$stat" && [ "$parent" = "$1" ] && echo "$id"
    done
}
# As the kernel does when memory runs out. What is left says that somebody lives there.
killed() {
    signal KILL
    rm -f "$place/data/postmaster.pid" "$place/.s.PGSQL.$port" "$place/.s.PGSQL.$port.lock"
}
# Makes a standby, and has every commit wait for it from here on.
stand_by() {
    copy=$programs/pg_basebackup
    [ -x "$copy" ] || copy=$(dirname "$(readlink -f "$programs/postgres")")/pg_basebackup
    "$copy" -h "$place" -p "$port" -U postgres -D "$place/standby" -R --no-sync \
        -c fast >&2 &&
        standby start -l "$place/standby.log" -o "-p $1" &&
        echo "synchronous_standby_names = '*'" >>"$place/data/postgresql.conf" && control reload
}
standby() { "$programs/pg_ctl" -s -w -D "$place/standby" "$@" >&2; }
tidy() {
    signal CONT
    control stop -m immediate
    if [ -e "$place/standby" ]; then standby stop -m immediate; fi
    cd /
    rm -rf "$place"
}

trap tidy EXIT
trap 'exit 1' HUP INT TERM
trap '' PIPE
umask 077

read -r password || exit 1
initdb --locale-provider=icu --icu-locale=en || initdb || give_up
cat >>"$place/data/postgresql.conf" <<END
port = $port
listen_addresses = '127.0.0.1'
unix_socket_directories = '$place'
max_connections = 200
max_wal_size = '256MB'
fsync = off
full_page_writes = off
END
# A password that is stored by SCRAM costs each of thousands of connections 4,096 rounds of it.
{ echo "SET password_encryption = md5" && echo "CREATE ROLE tenmint LOGIN CREATEDB PASSWORD '$password'"; } |
    "$programs/postgres" --single -D "$place/data" postgres >&2 || give_up
start && echo ready || give_up

while read -r order how; do
    case $order in
    start) start ;;
    stop) control stop -m "$how" ;;
    kill) killed ;;
    pause) signal STOP ;;
    resume) signal CONT ;;
    stand_by) stand_by "$how" ;;
    promote) standby promote ;;
    esac && echo ready || give_up
done
"#;

/// Makes a file that stays locked as long as the shell, whose standard error it is, lives.
fn locked_file(place: &Path) -> io::Result<File> {
    let unlocked = place.join("unlocked");
    let file = File::create(&unlocked)?;
    file.lock()?;
    fs::rename(unlocked, place.join("lock"))?;
    Ok(file)
}

/// Removes the directories of shells that were killed.
fn remove_leftovers() {
    let places = BASES.iter().filter_map(|base| fs::read_dir(base).ok());
    for place in places.flatten().flatten() {
        let name = place.file_name();
        let lock = place.path().join("lock");
        if name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
            && fs::symlink_metadata(&lock).is_ok_and(|lock| lock.is_file())
            && File::open(lock).is_ok_and(|lock| lock.try_lock().is_ok())
        {
            let _ = fs::remove_dir_all(place.path());
        }
    }
}

/// The directory of PostgreSQL's server programs: the first on the `PATH`, then that of
/// `pg_config`, then the newest where Debian, Red Hat, Homebrew and Postgres.app put them.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let configured = command("pg_config").arg("--bindir").output().ok();
    let configured = configured.and_then(|output| String::from_utf8(output.stdout).ok());
    std::env::split_paths(&path)
        .chain(configured.map(|directory| directory.trim_end().into()))
        .chain(versions("/usr/lib/postgresql", ""))
        .chain(versions("/usr", "pgsql-"))
        .chain(versions("/opt/homebrew/opt", "postgresql@"))
        .chain(versions("/usr/local/opt", "postgresql@"))
        .chain(versions("/Applications/Postgres.app/Contents/Versions", ""))
        .filter(|directory| directory.is_absolute())
        .find(|directory| {
            ["initdb", "pg_ctl", "postgres"]
                .iter()
                .all(|program| directory.join(program).is_file())
        })
}

/// `parent/prefix*/bin` for every `*` that is a version, newest first.
fn versions(parent: &str, prefix: &str) -> impl Iterator<Item = PathBuf> {
    let version = |entry: fs::DirEntry| {
        let version = entry.file_name().to_str()?.strip_prefix(prefix)?.parse();
        Some((version.ok()?, entry.path().join("bin")))
    };
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let found: BTreeMap<u32, PathBuf> = entries.filter_map(version).collect();
    found.into_values().rev()
}

/// The user and group that stand in for root.
fn unprivileged_account() -> io::Result<(u32, u32)> {
    let id = |what: &str, name: &str| {
        let output = command("id").args([what, name]).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    ["postgres", "nobody"]
        .iter()
        .find_map(|name| Some((id("-u", name)?, id("-g", name)?)))
        .ok_or_else(|| io::Error::other("neither account, postgres nor nobody, exists"))
}

/// A program without the variables that would change what PostgreSQL does.
#[expect(
    clippy::disallowed_methods,
    reason = "a test process holds no root key"
)]
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"PG") {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C");
    command
}

/// A loopback port that nothing listens on, below those that systems hand to clients: a client
/// must not sit on it while the server is stopped.
fn free_port() -> u16 {
    std::iter::repeat_with(|| 20_000 + (random() % 10_000) as u16)
        .take(100)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("one of a hundred ports is free")
}

fn random() -> u64 {
    let bytes = ring::rand::generate(&SystemRandom::new()).expect("the system has randomness");
    u64::from_ne_bytes(bytes.expose())
}

/// Runs asynchronous work to its end, whether or not the caller is on a runtime already.
fn run<T: Send>(work: impl Future<Output = sqlx::Result<T>> + Send) -> sqlx::Result<T> {
    let work = async {
        let timeout = Duration::from_secs(30);
        match tokio::time::timeout(timeout, work).await {
            Ok(result) => result,
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        }
    };
    let run = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(work)
    };
    std::thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
