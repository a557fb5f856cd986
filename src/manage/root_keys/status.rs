//! What depends on each root key, and when one can be given up. Changes nothing.

use serde::Serialize;

use super::what_keeps;
use crate::crypto::keyring::Keyring;
use crate::crypto::root_key::RootKeyId;
use crate::domain::timestamp::Timestamp;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::root_keys::{FormerRootKey, Holder, Need, NeedyKey, RootKeys};

/// How many API keys are read at once.
const BATCH: i64 = 1_000;

/// The root keys of a deployment.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The id of the one that everything new depends on.
    pub current: String,
    /// Each there is or was: the current one, then such as are to come, then former ones.
    pub root_keys: Vec<Described>,
    /// The servers that live.
    pub nodes: Vec<Node>,
    /// The API keys that need a former root key.
    pub api_keys: Vec<Waiting>,
}

/// A root key.
#[derive(Debug, Serialize)]
pub struct Described {
    /// Its id.
    pub id: String,
    /// What it is to the deployment.
    pub state: State,
    /// When another took its place.
    pub superseded_at: Option<Timestamp>,
    /// Whether it is held here.
    pub held: bool,
    /// Organizations whose audit chains go on under it.
    pub organizations: i64,
    /// Signing keys that it sealed.
    pub signing_keys: i64,
    /// API keys that need it.
    pub api_keys: i64,
    /// Whether it can be given up with nothing lost.
    pub droppable: bool,
}

impl Described {
    /// Whether anything depends on it.
    #[must_use]
    pub const fn is_needed(&self) -> bool {
        self.is_sealing() || self.api_keys > 0
    }

    /// Whether the rotation away from it was not finished.
    #[must_use]
    pub const fn is_unfinished(&self) -> bool {
        match self.state {
            State::Replacing => true,
            State::Former => self.is_sealing(),
            State::Current | State::Added | State::Dropped => false,
        }
    }

    const fn is_sealing(&self) -> bool {
        self.organizations > 0 || self.signing_keys > 0
    }
}

/// What a root key is to the deployment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Everything new depends on it.
    Current,
    /// It is held, and was never current.
    Added,
    /// It was current, and what it sealed is being sealed anew.
    Replacing,
    /// It was current.
    Former,
    /// It was given up.
    Dropped,
}

/// A server, and what it holds.
#[derive(Debug, Serialize)]
pub struct Node {
    /// Its id.
    pub id: String,
    /// The root key that everything new of it depends on.
    pub in_use: String,
    /// All that it holds.
    pub held: Vec<String>,
    /// When it last said so.
    pub seen_at: Timestamp,
}

/// An API key that needs a former root key until it is next used, rotated or revoked.
#[derive(Debug, Serialize)]
pub struct Waiting {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub organization: String,
    /// What it is called.
    pub name: String,
    /// Which root key it needs.
    pub root_key: String,
    /// active, disabled or expired.
    pub status: &'static str,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// What would end if the root key were given up by force.
    pub would_end: WouldEnd,
    /// Whether its organization is managed with it.
    pub management_key: bool,
    /// Whether it was used after the root key was replaced, and not freed of it: its next use does.
    pub used_since: bool,
}

/// What of an API key would end with a root key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WouldEnd {
    /// The key: none of its secrets could be verified any more.
    Key,
    /// One of two secrets, which a rotation lets count beside each other.
    Secret,
}

/// Looks at the root keys of a deployment; `keyring` is what is held here.
///
/// # Errors
/// When the database is unavailable or a row corrupt.
pub async fn status(
    store: &Store,
    keyring: &Keyring,
    now: Timestamp,
) -> Result<Option<Status>, StoreError> {
    let Some(Looked {
        stored,
        nodes,
        root_keys,
    }) = look(store, keyring, now).await?
    else {
        return Ok(None);
    };
    let mut api_keys = Vec::new();
    for former in &stored.former {
        api_keys.extend(waiting(store, &former.id, now).await?);
    }
    let nodes = nodes.into_iter().map(|holder| Node {
        id: holder.node,
        in_use: holder.in_use,
        held: holder.held,
        seen_at: holder.seen_at,
    });
    Ok(Some(Status {
        root_keys,
        nodes: nodes.collect(),
        api_keys,
        current: stored.current,
    }))
}

/// Looks at each root key there is or was, and at nothing of what needs it but how much that is.
///
/// # Errors
/// When the database is unavailable or a row corrupt.
pub async fn overview(
    store: &Store,
    keyring: &Keyring,
    now: Timestamp,
) -> Result<Vec<Described>, StoreError> {
    let looked = look(store, keyring, now).await?;
    Ok(looked.map(|looked| looked.root_keys).unwrap_or_default())
}

struct Looked {
    stored: RootKeys,
    nodes: Vec<Holder>,
    root_keys: Vec<Described>,
}

async fn look(
    store: &Store,
    keyring: &Keyring,
    now: Timestamp,
) -> Result<Option<Looked>, StoreError> {
    let Some(stored) = store.root_keys().await? else {
        return Ok(None);
    };
    let needs = store.root_key_needs(now).await?;
    let nodes = store.holders(now).await?;
    Ok(Some(Looked {
        root_keys: describe(&stored, &needs, &nodes, keyring),
        stored,
        nodes,
    }))
}

fn describe(
    stored: &RootKeys,
    needs: &[Need],
    nodes: &[Holder],
    keyring: &Keyring,
) -> Vec<Described> {
    let described = |id: &str, state, superseded_at| {
        let need = needs.iter().find(|need| need.root_key == id);
        let need = need.cloned().unwrap_or_default();
        Described {
            id: id.to_owned(),
            state,
            superseded_at,
            held: keyring.holds(id),
            organizations: need.organizations,
            signing_keys: need.signing_keys,
            api_keys: need.api_keys,
            droppable: state != State::Dropped && what_keeps(id, stored, &need, nodes).is_none(),
        }
    };
    let was = |id: &str| stored.former.iter().any(|former| former.id == id);
    let added = keyring.ids().map(RootKeyId::as_str);
    let added = added.filter(|id| *id != stored.current && !was(id));
    let former = stored.former.iter().map(|former| {
        let state = match former {
            FormerRootKey {
                dropped_at: Some(_),
                ..
            } => State::Dropped,
            FormerRootKey { trace: None, .. } => State::Replacing,
            FormerRootKey { .. } => State::Former,
        };
        described(&former.id, state, Some(former.superseded_at))
    });
    std::iter::once(described(&stored.current, State::Current, None))
        .chain(added.map(|id| described(id, State::Added, None)))
        .chain(former)
        .collect()
}

/// The API keys that need a root key, in the order of their ids.
///
/// # Errors
/// When the database is unavailable or a row corrupt.
pub async fn waiting(
    store: &Store,
    root_key: &str,
    now: Timestamp,
) -> Result<Vec<Waiting>, StoreError> {
    let stored = store.root_keys().await?;
    let mut former = stored.iter().flat_map(|stored| &stored.former);
    let former = former.find(|former| former.id == root_key);
    let since = former.map(|former| former.superseded_at);
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let keys = store.keys_needing(root_key, now, &after, BATCH).await?;
        let Some(last) = keys.last() else {
            return Ok(all);
        };
        after.clone_from(&last.id);
        for key in keys {
            all.push(Waiting::of(key, root_key, since, now)?);
        }
    }
}

impl Waiting {
    fn of(
        key: NeedyKey,
        root_key: &str,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let used = key.last_used_at.map(Timestamp::from_unix).transpose();
        let used = used.map_err(|_| StoreError::Corrupt {
            table: "secret_uses",
            what: "last_used_at",
        })?;
        // Of two secrets the other may have been used.
        let used_since = key.other_secrets == 0 && since.is_some() && used > since;
        Ok(Self {
            status: match key {
                NeedyKey {
                    expires_at: Some(end),
                    ..
                } if end <= now.unix() => "expired",
                NeedyKey {
                    disabled_at: Some(_),
                    ..
                } => "disabled",
                NeedyKey { .. } => "active",
            },
            would_end: match key.other_secrets {
                0 => WouldEnd::Key,
                _ => WouldEnd::Secret,
            },
            management_key: key.manages > 0,
            id: key.id,
            organization: key.organization_id,
            name: key.name,
            root_key: root_key.to_owned(),
            last_used_at: used,
            used_since,
        })
    }
}
