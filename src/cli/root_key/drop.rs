//! `tenmint root-key drop`.

use clap::Args;

use super::open;
use crate::app::App;
use crate::cli::Failure;
use crate::cli::confirm::Confirm;
use crate::crypto::root_key::RootKeyId;
use crate::crypto::root_key_file::edit;
use crate::manage::root_keys::drop::{Dropped, give_up};
use crate::settings::Settings;

#[derive(Args, Debug)]
pub(in crate::cli) struct GiveUp {
    /// The id of the root key, as `tenmint root-key status` shows it
    id: String,

    /// Also while API keys or signing keys need it: none of these will work again
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    confirm: Confirm,

    #[command(flatten)]
    pub(super) settings: Settings,
}

impl GiveUp {
    pub(super) async fn run(&self) -> Result<(), Failure> {
        self.confirm.ask(|| {
            if self.force {
                format!(
                    "Give up root key {} and every API key and signing key that still needs it?",
                    self.id
                )
            } else {
                format!("Give up root key {}?", self.id)
            }
        })?;
        let app = open(&self.settings).await?;
        let done = self.with(&app).await;
        app.close().await;
        done
    }

    async fn with(&self, app: &App) -> Result<(), Failure> {
        let id = &self.id;
        let dropped = give_up(&app.management, id, self.force).await?;
        match dropped {
            Dropped::Now { api_keys: 0 } => eprintln!("root key {id} was given up"),
            Dropped::Now { api_keys } => eprintln!(
                "root key {id} was given up, and {api_keys} API keys with it: rotate or revoke them"
            ),
            Dropped::Before => eprintln!("root key {id} was given up before"),
            Dropped::NeverCurrent => eprintln!(
                "root key {id} was never current, and never will be: servers that hold it let go of it"
            ),
        }
        // The database first: what is struck out here is needed by nothing.
        match &app.root_key_file {
            Some(path) => {
                edit::strike_out(path, &RootKeyId::from_stored(id.clone()))?;
                let path = path.display();
                eprintln!("it is no longer in {path}: take it from every other server too");
            }
            None => eprintln!("take it out of TENMINT_ROOT_KEY of every server"),
        }
        if dropped != Dropped::NeverCurrent {
            eprintln!("backups of the database from before it was replaced open with it alone");
        }
        Ok(())
    }
}
