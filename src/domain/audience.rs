//! Audiences: which resources a token is for (RFC 8707, RFC 7519 §4.1.3).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use super::issuer::BaseUrl;

/// One resource: an absolute URI without a fragment (RFC 8707 §2), at most 256 bytes,
/// compared byte by byte. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Resource(Arc<str>);

/// Not usable as a resource indicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write an absolute URI without a fragment, at most 256 characters")]
pub struct ResourceError;

/// The `aud` of a token: one resource, written as a string, or several, as an array.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Audience(Vec<Resource>);

/// The resources a deployment issues tokens for.
#[derive(Clone, Debug)]
pub struct Audiences {
    platform: Vec<Resource>,
    management: Resource,
}

/// Why no token is issued for the resources asked for (`invalid_target`, RFC 8707 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Relative, with a fragment, or no URI at all.
    #[error("resource must be an absolute URI without a fragment")]
    Malformed,
    /// Not among the deployment's audiences.
    #[error("this resource is not one that tokens are issued for here")]
    Unknown,
    /// Beyond what the organization's policy allows.
    #[error("the policy of this organization does not allow tokens for this resource")]
    NotAllowed,
    /// The organization's policy allows none that there is.
    #[error(
        "the policy of this organization allows no resource that there is: ask its administrator"
    )]
    NoneAllowed,
    /// The management plane together with another resource: whoever is shown such a token
    /// could manage keys with it.
    #[error("ask for the management plane's resource alone")]
    ManagementNotAlone,
    /// The management plane, at an organization issuer.
    #[error("tokens for the management plane come from the deployment's token endpoint")]
    ManagementElsewhere,
}

/// Why a list of audiences cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AudiencesError {
    /// None given.
    #[error("name at least one audience")]
    Empty,
    /// The base URL itself: every token would then manage keys.
    #[error(
        "the base URL is the management plane's audience; choose another, such as {{base}}/api"
    )]
    Management,
}

impl FromStr for Resource {
    type Err = ResourceError;

    fn from_str(text: &str) -> Result<Self, ResourceError> {
        let plain = text.bytes().all(|b| b.is_ascii_graphic()) && !text.contains('#');
        // Url::parse refuses what has no scheme; the text is kept as it was written.
        if !plain || text.len() > 256 || Url::parse(text).is_err() {
            return Err(ResourceError);
        }
        Ok(Self(Arc::from(text)))
    }
}

impl Resource {
    /// The URI, to the byte.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Audience {
    /// The audience of one resource.
    #[must_use]
    pub fn one(resource: Resource) -> Self {
        Self(vec![resource])
    }

    /// Whether `resource` is among them.
    #[must_use]
    pub fn includes(&self, resource: &Resource) -> bool {
        self.0.contains(resource)
    }

    /// Whether this is `resource` and nothing else.
    #[must_use]
    pub fn is_exactly(&self, resource: &Resource) -> bool {
        matches!(&*self.0, [only] if only == resource)
    }
}

impl Serialize for Audience {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &*self.0 {
            [only] => serializer.serialize_str(&only.0),
            several => serializer.collect_seq(several.iter().map(|r| &*r.0)),
        }
    }
}

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Audience;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Audience, E> {
                Ok(Audience(vec![Resource(Arc::from(text))]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Audience, A::Error> {
                let mut several = Vec::new();
                while let Some(text) = seq.next_element::<String>()? {
                    several.push(Resource(Arc::from(text)));
                }
                Ok(Audience(several))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl Audiences {
    /// The audiences of a deployment: the platform's, the first being the default, and the
    /// management plane's, which is the base URL.
    ///
    /// # Errors
    /// See [`AudiencesError`].
    pub fn new(platform: Vec<Resource>, base: &BaseUrl) -> Result<Self, AudiencesError> {
        let management = Resource(Arc::from(base.as_str()));
        if platform.is_empty() {
            return Err(AudiencesError::Empty);
        }
        let slashed = format!("{}/", base.as_str());
        if platform
            .iter()
            .any(|r| *r == management || *r.0 == *slashed)
        {
            return Err(AudiencesError::Management);
        }
        Ok(Self {
            platform,
            management,
        })
    }

    /// The management plane's own.
    #[must_use]
    pub const fn management(&self) -> &Resource {
        &self.management
    }

    /// Whether a resource is one of the platform's.
    #[must_use]
    pub fn has(&self, resource: &Resource) -> bool {
        self.platform.contains(resource)
    }

    /// Whether a token of this audience is for the platform: for `asked`, or, where nobody says,
    /// for any of its resources. One for the management plane is for nobody else.
    #[must_use]
    pub fn counts(&self, audience: &Audience, asked: Option<&Resource>) -> bool {
        !audience.includes(&self.management)
            && match asked {
                Some(resource) => audience.includes(resource),
                None => self.platform.iter().any(|one| audience.includes(one)),
            }
    }

    /// What a token is for when nobody says: the first of the platform's.
    #[must_use]
    pub fn default_audience(&self) -> &Resource {
        &self.platform[0]
    }

    /// The longest audience a token can carry here: all of the platform's at once.
    #[must_use]
    pub fn longest(&self) -> Audience {
        Audience(self.platform.clone())
    }

    /// One resource that tokens are to be for: `asked`, or the first that is allowed.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn select_one<'a>(
        &'a self,
        asked: Option<&'a Resource>,
        allowed: Option<&'a [Resource]>,
    ) -> Result<&'a Resource, TargetError> {
        let may = |resource: &Resource| allowed.is_none_or(|allowed| allowed.contains(resource));
        match asked {
            Some(resource) if !self.has(resource) => Err(TargetError::Unknown),
            Some(resource) if !may(resource) => Err(TargetError::NotAllowed),
            Some(resource) => Ok(resource),
            None => {
                let default = match allowed {
                    None => Some(self.default_audience()),
                    Some(allowed) => allowed.iter().find(|r| self.platform.contains(r)),
                };
                default.ok_or(TargetError::NoneAllowed)
            }
        }
    }

    /// The audience of a token for the `resource` parameters given, repeated or none. Where a
    /// policy names the platform's audiences that are `allowed`, the first of them is for those
    /// who name none; the management plane's is not among what it bounds.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn select(
        &self,
        asked: &[&str],
        management_here: bool,
        allowed: Option<&[Resource]>,
    ) -> Result<Audience, TargetError> {
        let mut chosen: Vec<Resource> = Vec::new();
        for text in asked {
            let resource: Resource = text.parse().map_err(|_| TargetError::Malformed)?;
            if !chosen.contains(&resource) {
                chosen.push(resource);
            }
        }
        if chosen.is_empty() {
            let default = self.select_one(None, allowed)?;
            return Ok(Audience::one(default.clone()));
        }
        if chosen.contains(&self.management) {
            return match (chosen.len(), management_here) {
                (1, true) => Ok(Audience(chosen)),
                (1, false) => Err(TargetError::ManagementElsewhere),
                _ => Err(TargetError::ManagementNotAlone),
            };
        }
        if !chosen.iter().all(|r| self.platform.contains(r)) {
            return Err(TargetError::Unknown);
        }
        if allowed.is_some_and(|allowed| !chosen.iter().all(|r| allowed.contains(r))) {
            return Err(TargetError::NotAllowed);
        }
        Ok(Audience(chosen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audiences() -> Audiences {
        let platform = ["https://api.example/v1", "urn:example:files"];
        let platform = platform.map(|text| text.parse().unwrap()).to_vec();
        Audiences::new(platform, &"https://auth.example".parse().unwrap()).unwrap()
    }

    #[test]
    fn nothing_asked_for_is_the_first_audience() {
        let chosen = audiences().select(&[], true, None).unwrap();
        assert_eq!(
            serde_json::to_string(&chosen).unwrap(),
            r#""https://api.example/v1""#
        );
    }

    #[test]
    fn several_resources_are_an_array_and_a_repeated_one_is_one() {
        let all = [
            "https://api.example/v1",
            "urn:example:files",
            "urn:example:files",
        ];
        let chosen = audiences().select(&all, true, None).unwrap();
        let json = serde_json::to_string(&chosen).unwrap();
        assert_eq!(json, r#"["https://api.example/v1","urn:example:files"]"#);
        assert_eq!(serde_json::from_str::<Audience>(&json).unwrap(), chosen);
    }

    #[test]
    fn the_management_plane_is_asked_for_alone_and_at_its_own_issuer() {
        let base = "https://auth.example";
        assert!(
            audiences()
                .select(&[base], true, None)
                .unwrap()
                .is_exactly(audiences().management())
        );
        assert_eq!(
            audiences().select(&[base], false, None),
            Err(TargetError::ManagementElsewhere)
        );
        assert_eq!(
            audiences().select(&[base, "urn:example:files"], true, None),
            Err(TargetError::ManagementNotAlone)
        );
    }

    #[test]
    fn unknown_relative_and_fragmented_resources_are_refused() {
        let select = |text: &str| audiences().select(&[text], true, None);
        assert_eq!(select("https://other.example"), Err(TargetError::Unknown));
        assert_eq!(select("https://api.example/v1/"), Err(TargetError::Unknown));
        for text in ["/api", "api", "", "https://api.example/v1#x", "https://a b"] {
            assert_eq!(select(text), Err(TargetError::Malformed), "{text}");
        }
    }

    #[test]
    fn the_management_plane_cannot_become_the_default() {
        let base: BaseUrl = "https://auth.example".parse().unwrap();
        for text in ["https://auth.example", "https://auth.example/"] {
            let refused = Audiences::new(vec![text.parse().unwrap()], &base);
            assert_eq!(refused.unwrap_err(), AudiencesError::Management);
        }
    }
}
