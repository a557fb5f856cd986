//! Introspection (RFC 7662): a service asks what a credential that it was shown is worth.

use std::net::IpAddr;

use super::{Checker, Expected, Holder, Presented, Refusal, Refused};
use crate::domain::network::NetworkSet;
use crate::domain::scope::ScopeSet;
use crate::domain::usage::Outcome;
use crate::usage::Explanation;

/// A service's question.
#[derive(Debug)]
pub struct Question<'a> {
    /// What it was shown.
    pub presented: Presented<'a>,
    /// What counts for whoever asks.
    pub expected: Expected<'a>,
    /// Where it was shown it from, if that is to be decided too.
    pub address: Option<IpAddr>,
    /// What it is to be good for, if that is to be decided too.
    pub scopes: Option<ScopeSet>,
}

/// A credential in force, good for all that was asked.
#[derive(Debug)]
pub struct Active {
    /// Who holds it.
    pub holder: Holder,
    /// The networks it may be used from; `None` when from anywhere.
    pub networks: Option<NetworkSet>,
}

impl Checker {
    /// What a credential is worth. A key that is in force was used, wherever it was shown: an
    /// owner who looks for unused keys must find it in use.
    ///
    /// # Errors
    /// Why it is worth nothing to whoever asks, or [`Refusal::trouble`]; counted under
    /// `request_id`.
    pub async fn introspect(
        &self,
        asked: Question<'_>,
        request_id: &str,
    ) -> Result<Active, Refused> {
        let address = asked.address;
        let active = self.decide(asked).await;
        match &active {
            Err(Refused { refusal, key }) => {
                let why = || Explanation {
                    request_id: request_id.to_owned(),
                    detail: refusal.advice(),
                    address,
                };
                self.count_refusal(refusal.outcome(), key.as_deref(), why);
            }
            Ok(Active { holder, .. }) if holder.token.is_none() => {
                self.count_use(Outcome::Checked, holder, address, None);
            }
            Ok(_) => {}
        }
        active
    }

    async fn decide(&self, asked: Question<'_>) -> Result<Active, Refused> {
        let holder = self.holder(asked.presented, asked.expected).await?;
        if asked.address.is_some() {
            holder.require_address(asked.address)?;
        }
        self.require_direct(&holder)?;
        if let Some(scopes) = &asked.scopes {
            holder.require_scopes(scopes)?;
        }
        let Some(networks) = holder.networks() else {
            return Err(holder.refuse(Refusal::NetworkDenied { ip: None }));
        };
        let restricted = (!networks.is_unrestricted()).then(|| networks.into_owned());
        Ok(Active {
            networks: restricted,
            holder,
        })
    }
}
