//! The management plane: what HTTP and the command line share.

pub mod act;
pub mod announcement;
pub mod api_keys;
pub mod audit;
pub mod audit_verification;
pub mod authority;
pub mod bootstrap;
pub mod caller;
pub mod first_start;
pub mod idempotency;
pub mod migration;
pub mod notices;
pub mod organizations;
pub mod policy;
pub mod refusal;
pub mod restore;
pub mod roles;
pub mod root_keys;
pub mod scopes;
pub mod self_revocation;
pub mod signing_keys;
pub mod unused;
pub mod usage;

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use crate::clock::Clock;
use crate::credentials::Credentials;
use crate::credentials::generations::Generations;
use crate::credentials::issuers::Issuers;
use crate::crypto::Crypto;
use crate::crypto::random;
use crate::domain::audience::Audiences;
use crate::domain::issuer::BaseUrl;
use crate::domain::organization::OrganizationId;
use crate::domain::secret::{ApiKeySecret, KeyId};
use crate::domain::signing_key::Schedule;
use crate::store::Store;
use crate::store::api_keys::StoredHash;
use crate::usage::Usage;

use announcement::Announcement;
use caller::Actor;
use refusal::{Kind, Refusal};
use signing_keys::RsaMaker;

/// What every act of management needs.
pub struct Management {
    /// What lasts.
    pub store: Store,
    /// Key material.
    pub crypto: Arc<Crypto>,
    /// Who is who.
    pub credentials: Arc<Credentials>,
    /// Who signs.
    pub issuers: Arc<Issuers>,
    /// What to raise when something changed.
    pub generations: Arc<Generations>,
    /// What keys were used for.
    pub usage: Arc<Usage>,
    /// What tokens are for.
    pub audiences: Audiences,
    /// How long a token lives where no policy says, whole seconds.
    pub token_lifetime: Duration,
    /// When signing keys are rotated, by the settings of this server alone; see
    /// [`Management::schedule`].
    pub configured: Schedule,
    /// For how long it said that JWKSs may be cached.
    pub announcement: Announcement,
    /// Where this deployment is.
    pub base: BaseUrl,
    /// What time it is.
    pub clock: Clock,
    /// Makes RSA keys.
    pub rsa: RsaMaker,
}

impl Management {
    /// The secret of a new API key and the hash to store of it.
    async fn mint(&self) -> Result<Minted, Refusal> {
        self.mint_for(KeyId::new(random::ulid(self.clock.unix_millis())))
            .await
    }

    /// A new secret for the key of this id, and the hash to store of it. The hash takes a while,
    /// and waits its turn with others: made before an act begins, it keeps nobody waiting.
    async fn mint_for(&self, id: KeyId) -> Result<Minted, Refusal> {
        let secret = Arc::new(self.crypto.mint(id.ulid()));
        let hash = self.credentials.hash(&secret).await?;
        Ok(Minted { secret, hash })
    }
}

impl Management {
    /// The operator names organizations that may not exist. One's own always does.
    async fn require_organization(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
    ) -> Result<(), Refusal> {
        if matches!(actor, Actor::Key(caller) if caller.organization == *organization) {
            return Ok(());
        }
        let found = self.store.organization(organization).await?;
        found.map(drop).ok_or(Refusal::NotFound(Kind::Organization))
    }
}

struct Minted {
    secret: Arc<ApiKeySecret>,
    hash: StoredHash,
}

/// Runs a write to its end in a task of its own: a client that hangs up drops whoever waits
/// for it, also between commit and invalidation.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::spawn(work.in_current_span())
        .await
        .unwrap_or(Err(Refusal::Broken))
}
