//! tenmint as `tenmint serve` runs it, with everything on, in a process that a bench started.

use std::sync::Arc;

use clap::Parser;
use tenmint::app::{App, Role};
use tenmint::clock::Clock;
use tenmint::domain::secret::KeyId;
use tenmint::domain::text::Name;
use tenmint::manage::first_start;
use tenmint::settings::Settings;
use tenmint::telemetry::{self, Traced};
use tokio::net::TcpListener;

use super::Failure;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    settings: Settings,
}

/// A server that runs until its process ends, and what it prints about itself.
pub struct Tenmint {
    app: Arc<App>,
    /// An operator's API key that may do everything.
    pub operator: String,
}

/// Opens a deployment as the environment describes it, and serves it on `listener`.
pub async fn serve(listener: TcpListener) -> Result<Tenmint, Failure> {
    let settings = Line::try_parse_from(["tenmint"])?.settings;
    let log = telemetry::start(&settings.log, Some(true), Traced::Nowhere)?;
    let base = settings.base(listener.local_addr()?)?;
    let app = App::open(&settings, base, Clock::system(), Role::Server).await?;
    let name = Name::new("bench")?;
    let operator = first_start::operator_key(&app.management, name, None)
        .await
        .map_err(|why| why.to_string())?;
    let jobs = app.start_jobs();
    let surface = tenmint::http::surface(Arc::clone(&app));
    let limits = (&settings).into();
    tokio::spawn(async move {
        let _held = (jobs, log);
        let _ = tenmint::serve::run(listener, surface, limits, std::future::pending()).await;
    });
    Ok(Tenmint {
        operator: operator.secret.expose().to_owned(),
        app,
    })
}

impl Tenmint {
    /// How many keys are held, and how often keys were found there and not, as numbers in a line.
    pub fn lookups(&self) -> String {
        let credentials = &self.app.mint.credentials;
        let lookups = credentials.lookups();
        format!("{} {} {}", credentials.held(), lookups.hits, lookups.misses)
    }

    /// A secret of this id that is genuine by its tag and in no row of the database: as a rotated
    /// key's old one.
    pub fn former_secret(&self, id: &str) -> Result<String, Failure> {
        let id: KeyId = id.parse()?;
        let ulid = id.to_string().trim_start_matches("key_").parse();
        let ulid = ulid.map_err(|_| "the id of a key holds a ULID")?;
        let secret = self.app.management.crypto.mint(ulid);
        Ok(secret.expose().to_owned())
    }
}
