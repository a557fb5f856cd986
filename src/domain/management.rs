//! The actions that run tenmint itself, apart from every action of the platform.

use crate::domain::scope::{Scope, ScopeSet};

/// Something a caller may do on the management plane (`/v1`), or at introspection.
///
/// It is held by its name or by a wildcard over its family, such as
/// `api_keys.*`. The scope `*` covers none of them: a platform that hands out
/// `*` gives away everything of its own and nothing of tenmint's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ManagementAction {
    /// List and read API keys.
    ApiKeysRead,
    /// Create API keys.
    ApiKeysCreate,
    /// Edit, disable, enable and rotate API keys.
    ApiKeysUpdate,
    /// Revoke API keys.
    ApiKeysRevoke,
    /// Give a key networks beyond the caller's own.
    ApiKeysAnyNetwork,
    /// List and read roles.
    RolesRead,
    /// Create, edit and delete roles.
    RolesWrite,
    /// List and read signing keys.
    SigningKeysRead,
    /// Replace a signing key.
    SigningKeysRotate,
    /// Read usage counters.
    UsageRead,
    /// Read audit events.
    AuditRead,
    /// Ask what API keys and access tokens are worth, as services do.
    TokensIntrospect,
    /// Read the organization's own settings and policy.
    OrganizationRead,
    /// Change the organization's own settings and policy.
    OrganizationWrite,
    /// Read every organization. The operator's alone.
    OrganizationsRead,
    /// Create, bootstrap and change organizations. The operator's alone.
    OrganizationsWrite,
}

impl ManagementAction {
    /// The first that these scopes cover, and whoever is given them did not hold.
    #[must_use]
    pub fn added(scopes: &ScopeSet, held: impl Fn(&Scope) -> bool) -> Option<Self> {
        Self::ALL.into_iter().find(|action| {
            let scope = action.scope();
            scopes.covers(&scope) && !held(&scope)
        })
    }

    /// Every management action, once.
    pub const ALL: [Self; 16] = [
        Self::ApiKeysRead,
        Self::ApiKeysCreate,
        Self::ApiKeysUpdate,
        Self::ApiKeysRevoke,
        Self::ApiKeysAnyNetwork,
        Self::RolesRead,
        Self::RolesWrite,
        Self::SigningKeysRead,
        Self::SigningKeysRotate,
        Self::UsageRead,
        Self::AuditRead,
        Self::TokensIntrospect,
        Self::OrganizationRead,
        Self::OrganizationWrite,
        Self::OrganizationsRead,
        Self::OrganizationsWrite,
    ];

    /// The name that a scope calls it by, such as `api_keys.read`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKeysRead => "api_keys.read",
            Self::ApiKeysCreate => "api_keys.create",
            Self::ApiKeysUpdate => "api_keys.update",
            Self::ApiKeysRevoke => "api_keys.revoke",
            Self::ApiKeysAnyNetwork => "api_keys.any_network",
            Self::RolesRead => "roles.read",
            Self::RolesWrite => "roles.write",
            Self::SigningKeysRead => "signing_keys.read",
            Self::SigningKeysRotate => "signing_keys.rotate",
            Self::UsageRead => "usage.read",
            Self::AuditRead => "audit.read",
            Self::TokensIntrospect => "tokens.introspect",
            Self::OrganizationRead => "organization.read",
            Self::OrganizationWrite => "organization.write",
            Self::OrganizationsRead => "organizations.read",
            Self::OrganizationsWrite => "organizations.write",
        }
    }

    /// The scope a caller must hold to do this: the action on every resource.
    ///
    /// # Panics
    ///
    /// Never: a test reads every name as a scope.
    #[must_use]
    pub fn scope(self) -> Scope {
        known_scope(self.as_str())
    }

    /// Whether this reaches across organizations, which the operator alone may.
    #[must_use]
    pub const fn is_operators(self) -> bool {
        matches!(self, Self::OrganizationsRead | Self::OrganizationsWrite)
    }

    /// The action of exactly this name; `None` for an action of the platform.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == name)
    }
}

/// What an organization's first management key holds: everything of the
/// platform and every management action of its organization; for the operator
/// also the actions on all organizations.
///
/// # Panics
///
/// Never: a test builds both sets.
#[must_use]
pub fn bootstrap_scopes(operator: bool) -> ScopeSet {
    const OWN: [&str; 8] = [
        "*",
        "api_keys.*",
        "audit.*",
        "organization.*",
        "roles.*",
        "signing_keys.*",
        "tokens.*",
        "usage.*",
    ];
    let of_operator = operator.then_some("organizations.*");
    ScopeSet::new(OWN.into_iter().chain(of_operator).map(known_scope))
        .expect("nine scopes are fewer than a set may hold")
}

fn known_scope(text: &'static str) -> Scope {
    text.parse()
        .expect("the scopes named in this file are well-formed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_management_action_is_missing_from_all() {
        for (index, action) in ManagementAction::ALL.into_iter().enumerate() {
            assert_eq!(action as usize, index);
        }
        let last = ManagementAction::OrganizationsWrite as usize;
        assert_eq!(ManagementAction::ALL.len(), last + 1);
    }

    #[test]
    fn a_name_leads_back_to_its_action() {
        for action in ManagementAction::ALL {
            assert_eq!(ManagementAction::from_name(action.as_str()), Some(action));
            assert_eq!(action.scope().to_string(), action.as_str());
        }
        for other in [
            "",
            "*",
            "api_keys",
            "api_keys.*",
            "api_keys.read.all",
            "read",
        ] {
            assert_eq!(ManagementAction::from_name(other), None, "{other}");
        }
    }

    #[test]
    fn everything_of_the_platform_includes_no_management_action() {
        let everything: Scope = "*".parse().unwrap();
        for action in ManagementAction::ALL {
            assert!(!everything.covers(&action.scope()), "{action:?}");
        }
    }

    #[test]
    fn the_first_key_of_an_organization_may_do_all_but_the_operators_work() {
        let scopes = bootstrap_scopes(false);
        for action in ManagementAction::ALL {
            let held = scopes.covers(&action.scope());
            assert_eq!(held, !action.is_operators(), "{action:?}");
        }
        assert!(scopes.covers(&"anything.else:at/all".parse().unwrap()));
    }

    #[test]
    fn the_operators_first_key_may_do_everything() {
        let scopes = bootstrap_scopes(true);
        for action in ManagementAction::ALL {
            assert!(scopes.covers(&action.scope()), "{action:?}");
        }
        assert!(scopes.uncovered(&bootstrap_scopes(false)).is_none());
        assert!(bootstrap_scopes(false).uncovered(&scopes).is_some());
    }
}
