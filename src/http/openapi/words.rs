//! The words of the domain as JSON Schema: bounds and patterns, from the domain's own constants.
//!
//! The domain knows nothing of OpenAPI; what its types look like on the wire is said here. A
//! pattern says what is necessary. What a schema cannot say (an end that is past, a name that
//! holds a secret) is refused with 422 and a pointer.

use std::borrow::Cow;

use serde_json::json;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, KnownFormat, Object, ObjectBuilder, Schema, SchemaFormat,
    SchemaType, Type,
};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::api_key::{Days, Maker, OverlapSpan, RevokeReason, Status, StatusFilter};
use crate::domain::audience::Audience;
use crate::domain::network::NetworkSet;
use crate::domain::organization::{ChosenOrganizationId, OrganizationId};
use crate::domain::policy::{AllowedAudiences, Policy, PolicyEdit, Rule};
use crate::domain::rate_limit::RateLimit;
use crate::domain::role::{RoleName, RoleNames};
use crate::domain::scope::{ActionName, DefinedBy, Scope, ScopeSet};
use crate::domain::secret::KeyId;
use crate::domain::signing_key::{Algorithm, Kid, PrivateKeyPem, RsaBits};
use crate::domain::text::{Metadata, Text};
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::{Grain, Outcome};
use crate::manage::api_keys::Warning;

/// A scope as requests may write it: a string, or an object of its halves.
pub struct ScopeWritten;
/// At most 64 scopes as requests may write them.
pub struct ScopesWritten;
/// The same where there must be one.
pub struct SomeScopesWritten;
/// Which keys many are revoked of: any but those that are.
pub struct Revocable;
/// Why a caller revokes a key.
pub struct ReasonGiven;
/// Entries of metadata to set, or with `null` to remove.
pub struct MetadataWritten;
/// The address of a client, or its network.
pub struct Address;

const NAME: &str = "^[a-z0-9][a-z0-9_-]{0,63}$";
const KEY_ID: &str = "^key_[0-7][0-9A-HJKMNP-TV-Z]{25}$";
const ACTION: &str = r"^[a-z0-9_-]+(\.[a-z0-9_-]+)*$";
const SCOPE: &str = concat!(
    r"^(\*|[a-z0-9_-]+(\.[a-z0-9_-]+)*(\.\*)?)",
    r"(:(\*\*|(\*|[A-Za-z0-9._~-]+)(/(\*|[A-Za-z0-9._~-]+))*(/\*\*)?))?$"
);
/// What no text has inside, for a class of characters: as the domain lists it, less what needs
/// more than four digits.
const INVISIBLE: &str = r"\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb";
const NETWORK: &str = r"^[0-9A-Fa-f:.]{2,39}(/[0-9]{1,3})?$";

/// What a type is called, and what it looks like.
macro_rules! words {
    ($($type:ty, $name:literal => $schema:expr;)*) => {
        $(
            impl PartialSchema for $type {
                fn schema() -> RefOr<Schema> {
                    $schema.into()
                }
            }
            impl ToSchema for $type {
                fn name() -> Cow<'static, str> {
                    $name.into()
                }
            }
        )*
    };
}

words! {
    Timestamp, "Timestamp" => text("RFC 3339, whole seconds; answers are in UTC")
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .examples([json!("2027-01-31T09:00:00Z")]);
    KeyId, "KeyId" => pattern("The public id of an API key, and its OAuth client_id", KEY_ID);
    OrganizationId, "OrganizationId" => pattern("The public name of an organization", NAME);
    ChosenOrganizationId, "ChosenOrganizationId" =>
        pattern("Neither operator nor beginning with org_", NAME).examples([json!("acme")]);
    RoleName, "RoleName" => pattern("What a role is called", NAME).examples([json!("reader")]);
    ActionName, "ActionName" => pattern("One action of the platform", ACTION)
        .max_length(Some(Scope::MAX_BYTES)).examples([json!("chats.completion")]);
    Kid, "Kid" => pattern(
        "RFC 7638 SHA-256 thumbprint, unless the key was imported under another id",
        "^[A-Za-z0-9._~-]{1,128}$",
    );
    Scope, "Scope" => scope();
    ScopeWritten, "ScopeWritten" => utoipa::openapi::schema::OneOfBuilder::new()
        .item(scope()).item(halves());
    ScopeSet, "Scopes" => ArrayBuilder::new().items(Scope::schema())
        .max_items(Some(ScopeSet::MAX));
    ScopesWritten, "ScopesWritten" => ArrayBuilder::new().items(ScopeWritten::schema())
        .max_items(Some(ScopeSet::MAX))
        .examples([json!(["read:projects/42/**"])]);
    SomeScopesWritten, "SomeScopesWritten" => ArrayBuilder::new().items(ScopeWritten::schema())
        .min_items(Some(1)).max_items(Some(ScopeSet::MAX)).examples([json!(["read"])]);
    RoleNames, "RoleNames" => ArrayBuilder::new().items(RoleName::schema())
        .max_items(Some(RoleNames::MAX)).examples([json!([])]);
    NetworkSet, "Networks" => ArrayBuilder::new()
        .description(Some("CIDRs or addresses; host bits are refused with the corrected value"))
        .items(pattern("A network", NETWORK))
        .min_items(Some(1)).max_items(Some(NetworkSet::MAX))
        .examples([json!(["203.0.113.0/24", "2001:db8::/32"])]);
    Address, "Address" => pattern("An IP address, or a network", NETWORK);
    RateLimit, "RateLimit" => object(false)
        .description(Some("At most so many exchanges at once; what is spent comes back evenly"))
        .property("limit", whole(1, RateLimit::MAX_LIMIT)).required("limit")
        .property("window_seconds", whole(1, RateLimit::MAX_WINDOW)).required("window_seconds");
    Metadata, "Metadata" => entries(&[Type::String]).max_properties(Some(Metadata::MAX));
    MetadataWritten, "MetadataWritten" => entries(&[Type::String, Type::Null])
        .schema_type(SchemaType::Array(vec![Type::Object, Type::Null]));
    Days, "Days" => whole(1, Days::MAX.into()).description(Some("Counted from now"));
    OverlapSpan, "OverlapSpan" => whole(0, OverlapSpan::MAX)
        .description(Some("Seconds for which the secret before still counts; a day if not said"));
    Maker, "Maker" => pattern("The id of a key, or operator",
        "^(operator|key_[0-7][0-9A-HJKMNP-TV-Z]{25})$");
    Audience, "Audience" => utoipa::openapi::schema::OneOfBuilder::new()
        .item(text("A resource")).item(ArrayBuilder::new().items(text("A resource")));
    AllowedAudiences, "AllowedAudiences" => audiences(0);
    Policy, "Policy" => policy(false);
    PolicyEdit, "PolicyEdit" => policy(true);
    Algorithm, "Algorithm" => one_of(&Algorithm::ALL.map(Algorithm::as_str));
    RsaBits, "RsaBits" => rsa_bits();
    PrivateKeyPem, "PrivateKeyPem" => text("A private key in PEM (RFC 7468)");
    Status, "Status" => one_of(&["active", "disabled", "expired", "revoked"]);
    StatusFilter, "StatusFilter" => one_of(&StatusFilter::ALL.map(StatusFilter::as_str));
    Revocable, "Revocable" => one_of(&["active", "disabled", "expired", "unrevoked"]);
    RevokeReason, "RevokeReason" => one_of(&RevokeReason::ALL.map(RevokeReason::as_str));
    ReasonGiven, "RevokeReasonGiven" => one_of(&RevokeReason::GIVEN.map(RevokeReason::as_str));
    Outcome, "Outcome" => one_of(&Outcome::ALL.map(Outcome::as_str));
    Rule, "Rule" => one_of(&Rule::ALL.map(Rule::as_str));
    Grain, "Grain" => one_of(&["hour", "day"]);
    DefinedBy, "DefinedBy" => one_of(&["operator", "organization"]);
    Warning, "WarningCode" => one_of(&[
        "wildcard_network", "no_expiry", "widened_scopes", "widened_networks", "breaks_present_use",
    ]);
}

impl<const MAX: usize> PartialSchema for Text<MAX> {
    fn schema() -> RefOr<Schema> {
        text("Trimmed; without control, invisible and text-direction characters")
            .min_length(Some(1))
            .max_length(Some(MAX))
            // Not blank. No more: the ends are trimmed before what is inside is looked at.
            .pattern(Some(r"\S"))
            .into()
    }
}

impl<const MAX: usize> ToSchema for Text<MAX> {
    fn name() -> Cow<'static, str> {
        format!("Text{MAX}").into()
    }
}

/// A string.
pub fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
}

/// A string of this form.
pub fn pattern(description: &str, pattern: &str) -> ObjectBuilder {
    text(description).pattern(Some(pattern))
}

/// One of these strings.
pub fn one_of(words: &[&str]) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words.iter().copied()))
}

/// A whole number within these bounds.
pub fn whole(min: u32, max: u32) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(f64::from(min)))
        .maximum(Some(f64::from(max)))
}

/// An object, and whether it may have members beside those that are named.
pub fn object(others: bool) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::FreeForm(others)))
}

fn rsa_bits() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .description(Some("The size of an RS256 key"))
        .enum_values(Some(RsaBits::ALL.map(RsaBits::get)))
}

fn scope() -> Object {
    pattern("action, or action:resource-filter", SCOPE)
        .min_length(Some(1))
        .max_length(Some(Scope::MAX_BYTES))
        .examples([json!("read:projects/42/**")])
        .build()
}

fn halves() -> Object {
    let half = |description| text(description).max_length(Some(Scope::MAX_BYTES));
    object(false)
        .property("action", half("The action"))
        .required("action")
        .property("resource", half("The filter; left out for every resource"))
        .build()
}

fn entries(values: &[Type]) -> ObjectBuilder {
    let value = ObjectBuilder::new()
        .schema_type(match values {
            [only] => SchemaType::Type(only.clone()),
            several => SchemaType::Array(several.to_vec()),
        })
        .pattern(Some(format!("^[^{INVISIBLE}]*$")))
        .max_length(Some(500));
    let name = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(format!("^[^{INVISIBLE}]+$")))
        .min_length(Some(1))
        .max_length(Some(40));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(value))
        .property_names(Some(name))
        .examples([json!({ "plan": "pro" })])
}

fn audiences(least: usize) -> ArrayBuilder {
    let uri = text("An absolute URI without a fragment").max_length(Some(256));
    ArrayBuilder::new()
        .items(uri)
        .min_items(Some(least))
        .max_items(Some(AllowedAudiences::MAX))
        .examples([json!(["https://api.example.com"])])
}

/// The rules. Written, each may be `null`, which removes it.
fn policy(written: bool) -> ObjectBuilder {
    Rule::ALL.into_iter().fold(object(false), |policy, rule| {
        policy.property(rule.as_str(), or_null(bound(rule, written), written))
    })
}

fn bound(rule: Rule, written: bool) -> Schema {
    let bound = |min, max| Schema::from(whole(min, max));
    match rule {
        Rule::MaxKeyLifetimeDays => bound(1, 36_500),
        Rule::MaxActiveKeys => bound(0, 1_000_000),
        Rule::MinPrefixIpv4 => bound(0, 32),
        Rule::MinPrefixIpv6 => bound(0, 128),
        Rule::TokenLifetimeSeconds => bound(60, 3_600),
        Rule::RevokeUnusedAfterDays => bound(8, 3_650),
        Rule::RequireExpiry | Rule::RequireNetworks | Rule::OwnIssuerOnly | Rule::ExchangeOnly => {
            ObjectBuilder::new().schema_type(Type::Boolean).into()
        }
        Rule::DefaultRateLimit | Rule::MaxRateLimit => match RateLimit::schema() {
            RefOr::T(schema) => schema,
            RefOr::Ref(_) => unreachable!("it is written out above"),
        },
        Rule::AllowedAudiences => audiences(usize::from(written)).into(),
    }
}

/// The schema, or `null` as well.
pub fn or_null(schema: Schema, nullable: bool) -> Schema {
    if !nullable {
        return schema;
    }
    let null = ObjectBuilder::new().schema_type(Type::Null);
    utoipa::openapi::schema::OneOfBuilder::new()
        .item(schema)
        .item(null)
        .into()
}
