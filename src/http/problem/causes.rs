//! Causes rendered: every refusal of the management plane in one exhaustive match.

use axum::http::StatusCode;

use super::{Problem, roles, signing_keys};
use crate::credentials::Denied;
use crate::domain::policy::{Looser, Rule, Violation};
use crate::domain::signing_key::KeySpec;
use crate::domain::timestamp::Timestamp;
use crate::manage::refusal::Refusal;
use crate::manage::signing_keys::MOST_PUBLISHED;

impl From<Refusal> for Problem {
    #[allow(
        clippy::too_many_lines,
        reason = "one match over every cause, on one screen or two"
    )]
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Anonymous => Self::unauthenticated(
                "send Authorization: Bearer with an API key, or with an access token obtained \
                 for the resource of this management plane",
                None,
            ),
            Refusal::CredentialInUrl => Self::new(
                StatusCode::BAD_REQUEST,
                "credential_in_url",
                "Credential in the URL",
                "send it as Authorization: Bearer; URLs are kept in logs and histories, so \
                 consider the one you sent leaked",
            ),
            Refusal::Key(
                Denied::Forged
                | Denied::Unknown
                | Denied::WrongSecret
                | Denied::Ended(_)
                | Denied::OrganizationSuspended,
            ) => Self::unauthenticated(
                "this credential is not, or no longer, in force",
                Some("invalid_token"),
            ),
            Refusal::Token(_) | Refusal::TokenDenied => Self::unauthenticated(
                "this access token does not count here: obtain one from the deployment's token \
                 endpoint with resource set to the base URL",
                Some("invalid_token"),
            ),
            Refusal::NetworkDenied { .. } => Self::forbidden(
                "network_denied",
                "Network refused",
                "this API key cannot be used from this network address",
            ),
            Refusal::Lacks(action) => Self {
                challenge: Some(format!(
                    r#"Bearer realm="tenmint", error="insufficient_scope", scope="{}""#,
                    action.as_str()
                )),
                ..Self::forbidden(
                    "insufficient_scope",
                    "Scope missing",
                    format!("this needs the scope {}", action.as_str()),
                )
            },
            Refusal::OperatorOnly => Self::forbidden(
                "operator_only",
                "For the operator",
                "only keys of the operator organization can do this; your own organization is at /v1/…",
            ),
            Refusal::NotFound(kind) => Self::new(
                StatusCode::NOT_FOUND,
                "not_found",
                "Not found",
                format!("there is no such {kind} here"),
            ),
            Refusal::Exceeds(excess) => Self::exceeds(&excess),
            Refusal::TargetExceeds(excess) => Self::target_exceeds(&excess),
            Refusal::BootstrapExceeds(excess) => Self::bootstrap_exceeds(&excess),
            Refusal::LiftsBeyond(lift) => Self::lifts_beyond(*lift),
            Refusal::Policy(broken) => Self::breaks_policy(broken),
            Refusal::TargetBreaksPolicy(broken) => Self::target_breaks_policy(&broken),
            Refusal::LooserPolicy(looser) => Self::looser_policy(&looser),
            Refusal::KeyRevoked => Self::conflict(
                "key_revoked",
                "this key was revoked, and that is for good: create another",
            ),
            Refusal::KeyExpired => Self::key_expired(),
            Refusal::RotationUnderWay(end) => Self::rotation_under_way(end),
            Refusal::Roles(refusal) => roles::problem(refusal),
            Refusal::Changed => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "changed",
                "Changed meanwhile",
                "this is not, or no longer, the revision that If-Match names: read it again",
            ),
            Refusal::SentDifferently => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "Idempotency-Key used before",
                "another request was sent under this Idempotency-Key: choose a new one",
            ),
            Refusal::InFlight => Self::conflict(
                "in_flight",
                "the same request is under way: send it again in a moment for its result",
            ),
            Refusal::CountChanged { count } => Self::count_changed(count),
            Refusal::OrganizationExists => Self::conflict(
                "organization_exists",
                "an organization of this id exists: choose another id",
            ),
            Refusal::OtherAlgorithm(there) => Self::other_algorithm(there),
            Refusal::SigningKeyUnderWay(then) => signing_keys::under_way(
                then,
                "wait for that, or rotate at once with \"emergency\": true",
            ),
            Refusal::ImportHasToWait(next) => signing_keys::import_has_to_wait(next),
            Refusal::SigningKeyBeingMade => {
                signing_keys::being_made(", or rotate at once with \"emergency\": true")
            }
            Refusal::TooManyEmergencies { wait } => Self::too_many_emergencies(wait),
            Refusal::TooManySigningKeys => Self::conflict(
                "too_many_signing_keys",
                format!(
                    "{MOST_PUBLISHED} signing keys of this issuer are published, which is the \
                     most: rotate when the oldest has retired"
                ),
            ),
            Refusal::SigningKeyRetired(ended) => signing_keys::retired(ended),
            Refusal::SigningKeyKnown => Self::conflict(
                "signing_key_known",
                "this key is, or was, a signing key of this deployment: a key signs for one \
                 organization, once",
            ),
            Refusal::KidTaken => Self::conflict(
                "kid_taken",
                "another signing key of this deployment has this kid: import this one under \
                 another, or without",
            ),
            Refusal::NotBootstrapped => Self::conflict(
                "not_bootstrapped",
                "this organization has no signing key yet: bootstrap it first",
            ),
            Refusal::KeysRemain { keys } => Self::conflict(
                "keys_remain",
                format!(
                    "{keys} API keys are in force: revoke them first, or say ?force=true, which \
                     ends all of them"
                ),
            ),
            Refusal::OperatorNotDeletable => Self::conflict(
                "operator_not_deletable",
                "the operator organization cannot be deleted: it is whoever runs this deployment",
            ),
            Refusal::OperatorNotSuspendable => Self::conflict(
                "operator_not_suspendable",
                "the operator organization cannot be suspended: revoke its keys instead",
            ),
            Refusal::Invalid { pointer, why } => Self::invalid(pointer, why),
            Refusal::Overloaded(_) | Refusal::Key(Denied::Overloaded(_)) => {
                Self::later("overloaded", "Too much at once")
            }
            Refusal::Unavailable(_) | Refusal::Key(Denied::Unavailable(_)) => {
                Self::later("unavailable", "Unavailable")
            }
            Refusal::Corrupt(_) | Refusal::Issuer(_) | Refusal::RootKey(_) | Refusal::Broken => {
                Self::internal()
            }
        }
    }
}

impl Problem {
    fn breaks_policy(broken: Violation) -> Self {
        let pointer = broken.rule.pointer_in_key();
        Self::policy_violation(broken.rule, pointer, broken.why)
    }

    fn target_breaks_policy(broken: &Violation) -> Self {
        let why = format!("as this key is, it cannot be given back: {}", broken.why);
        Self::policy_violation(broken.rule, None, why)
    }

    fn looser_policy(looser: &Looser) -> Self {
        let why = format!(
            "the operator's policy says {}: be as strict or stricter, or leave the rule out",
            looser.bound
        );
        Self::policy_violation(looser.rule, Some(looser.rule.pointer()), why)
    }

    fn policy_violation(rule: Rule, pointer: Option<&str>, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.map(str::to_owned),
            rule: Some(rule),
            ..Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "policy_violation",
                "Against a policy",
                detail,
            )
        }
    }

    fn other_algorithm(there: KeySpec) -> Self {
        let (algorithm, left_out) = (
            there.algorithm(),
            match there.rsa_bits() {
                Some(_) => "alg and rsa_bits",
                None => "alg",
            },
        );
        Self::conflict(
            "other_algorithm",
            format!(
                "this organization signs with {there}: leave {left_out} out, or say {algorithm}"
            ),
        )
    }

    fn key_expired() -> Self {
        let why = "this key is past its end: give it a later expires_at first, or create another";
        Self::conflict("key_expired", why)
    }

    fn rotation_under_way(end: Timestamp) -> Self {
        Self::conflict(
            "rotation_under_way",
            format!(
                "the secret before counts until {end}: wait for that, or end it now by POST to \
                 rotate/finish, then rotate again"
            ),
        )
    }

    fn too_many_emergencies(wait: u64) -> Self {
        Self {
            retry_after: Some(u16::try_from(wait).unwrap_or(u16::MAX).max(1)),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_emergencies",
                "Too many emergencies",
                "many signing keys of this issuer were made or withdrawn in a hurry within an \
                 hour, and nothing was done: wait, or ask whoever runs this deployment, who can. A \
                 key that was published for an hour can be revoked at any time",
            )
        }
    }

    fn count_changed(count: usize) -> Self {
        let detail = format!(
            "{count} keys match now, and nothing was done: look at them with dry_run, then name \
             that count as expected_count"
        );
        Self {
            count: u32::try_from(count).ok(),
            ..Self::conflict("count_changed", detail)
        }
    }
}
