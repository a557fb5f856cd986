//! `tenmint quickstart`: from nothing to a token in one command.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::{Failure, serve};
use crate::app::App;
use crate::domain::api_key::{ApiKey, KeyFilter, KeyOrder, NewApiKey, Search};
use crate::domain::network::NetworkSet;
use crate::domain::organization::{ChosenOrganizationId, OrganizationId};
use crate::domain::role::RoleNames;
use crate::domain::scope::ScopeSet;
use crate::domain::secret::ApiKeySecret;
use crate::domain::text::{Metadata, Name};
use crate::manage::bootstrap::{ManagementKey, Order, bootstrap};
use crate::manage::caller::Actor;
use crate::manage::idempotency::Once;
use crate::manage::refusal::Refusal;
use crate::manage::{api_keys, organizations};
use crate::settings::{Listen, Settings};

/// The organization and the key that are made.
const ORGANIZATION: &str = "acme";
const KEY_NAME: &str = "quickstart";
const SCOPES: &str = "inference read:projects/**";

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Make another API key, as when the first one's secret is lost
    #[arg(long)]
    new_key: bool,

    #[command(flatten)]
    pub(super) settings: Settings,
}

/// What there is to show.
struct Ready {
    key: ApiKey,
    /// `None` when the key was made by an earlier run.
    secret: Option<Arc<ApiKeySecret>>,
}

pub(super) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = &arguments.settings;
    let opened = serve::open(settings, Listen::Off).await?;
    let app = &opened.app;
    let ready = prepare(app, arguments.new_key).await?;
    let mut out = io::stdout().lock();
    show(&mut out, settings, app, &ready)?;
    out.flush()?;
    drop((out, ready));
    serve::until_stopped(settings, opened).await
}

/// Makes what is not there yet.
async fn prepare(app: &Arc<App>, new_key: bool) -> Result<Ready, Refusal> {
    let management = &app.management;
    let actor = Actor::CommandLine;
    let id: ChosenOrganizationId = ORGANIZATION.parse().expect("an id that may be chosen");
    match organizations::create(
        Arc::clone(management),
        actor.clone(),
        Some(id.clone()),
        None,
        Once::default(),
    )
    .await
    {
        Ok(_) | Err(Refusal::OrganizationExists) => {}
        Err(other) => return Err(other),
    }
    let id = OrganizationId::from(id);
    let order = Order {
        algorithm: None,
        rsa_bits: None,
        management_key: ManagementKey::None,
    };
    bootstrap(
        Arc::clone(management),
        actor.clone(),
        id.clone(),
        order,
        Once::default(),
    )
    .await?;

    if !new_key {
        let search = Search::new(KEY_NAME).expect("a short, visible text");
        let filter = KeyFilter {
            search: Some(search),
            ..KeyFilter::default()
        };
        let newest = KeyOrder::Newest;
        let page = api_keys::list(management, &actor, &id, &filter, newest, None, 100).await?;
        let earlier = page
            .rows
            .into_iter()
            .find(|key| key.name.as_str() == KEY_NAME);
        if let Some(key) = earlier {
            return Ok(Ready { key, secret: None });
        }
    }
    let new = NewApiKey {
        name: Name::new(KEY_NAME).expect("a short, visible text"),
        description: None,
        scopes: ScopeSet::parse_parameter(SCOPES).expect("scopes"),
        networks: NetworkSet::any(),
        rate_limit: None,
        exchange_only: false,
        roles: RoleNames::default(),
        external_id: None,
        metadata: Metadata::default(),
        expiry: None,
    };
    let created = api_keys::create(Arc::clone(management), actor, id, new, Once::default()).await?;
    Ok(Ready {
        key: created.key,
        secret: created.secret,
    })
}

fn show(out: &mut impl Write, settings: &Settings, app: &App, ready: &Ready) -> io::Result<()> {
    let base = app.mint.base.as_str();
    let program = program();
    let program = program.display();
    let fetch = format!(
        r#"echo "Authorization: Bearer $TENMINT_API_KEY" | curl -sS -H @- -d grant_type=client_credentials {base}/oauth/token"#
    );
    writeln!(out, "tenmint is serving {base}")?;
    writeln!(out)?;
    writeln!(out, "  database      {}", settings.database_url_shown())?;
    writeln!(out, "  root key      {}", settings.root_key_file.display())?;
    writeln!(out, "  organization  {ORGANIZATION}")?;
    writeln!(
        out,
        "  API key       {} with scope {}",
        ready.key.id,
        ready.key.scopes.to_parameter()
    )?;
    writeln!(out)?;
    match &ready.secret {
        Some(secret) => {
            writeln!(
                out,
                "Fetch a token. This line holds the key's secret, shown this once: keep it."
            )?;
            writeln!(out)?;
            writeln!(out, "  export TENMINT_API_KEY={}; {fetch}", secret.expose())?;
        }
        None => {
            writeln!(
                out,
                "Fetch a token. The key's secret was shown when it was made; if it is lost, stop"
            )?;
            writeln!(out, "this and run quickstart again with --new-key.")?;
            writeln!(out)?;
            writeln!(out, "  {fetch}")?;
        }
    }
    writeln!(out)?;
    writeln!(
        out,
        "Validate one against the published keys, as a resource server does:"
    )?;
    writeln!(out)?;
    writeln!(
        out,
        "  {program} token --url {base} | {program} inspect --issuer {base}"
    )?;
    writeln!(out)?;
    writeln!(out, "Stop with Ctrl-C.")
}

/// How a person in this folder would call this program.
fn program() -> PathBuf {
    let called = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("tenmint"));
    let here = std::env::current_dir().unwrap_or_default();
    match called.strip_prefix(&here) {
        Ok(below) => Path::new(".").join(below),
        Err(_) => called,
    }
}
