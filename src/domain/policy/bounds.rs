//! The kinds of bounds that rules set, and which of two is the stricter.

use std::fmt;

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::audience::Resource;
use crate::domain::rate_limit::RateLimit;

/// What a rule says. `a.stricter(b) == a` means that whoever keeps `a` keeps `b` as well.
pub trait Bound: Clone + PartialEq {
    /// What keeps both, and is no stricter than that takes.
    #[must_use]
    fn stricter(&self, other: &Self) -> Self;
}

/// A whole number from `MIN` to `MAX` that must not be passed: the smaller is the stricter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct AtMost<const MIN: u32, const MAX: u32>(u32);

/// A whole number from `MIN` to `MAX` that must be reached: the greater is the stricter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct AtLeast<const MIN: u32, const MAX: u32>(u32);

/// Whether something is required: yes is the stricter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Required(pub bool);

/// Resources, each once, in the order first given: the fewer, the stricter. A caller names 1 to
/// [`AllowedAudiences::MAX`]; what is left of two lists may be none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AllowedAudiences(Vec<Resource>);

impl<const MIN: u32, const MAX: u32> AtMost<MIN, MAX> {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// A number from elsewhere, brought into the range.
    #[must_use]
    pub fn clamped(number: u64) -> Self {
        Self(u32::try_from(number).unwrap_or(MAX).clamp(MIN, MAX))
    }
}

impl<const MIN: u32, const MAX: u32> AtLeast<MIN, MAX> {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl AllowedAudiences {
    /// The most that one policy names.
    pub const MAX: usize = 32;

    /// The resources.
    #[must_use]
    pub fn as_slice(&self) -> &[Resource] {
        &self.0
    }
}

impl<const MIN: u32, const MAX: u32> Bound for AtMost<MIN, MAX> {
    fn stricter(&self, other: &Self) -> Self {
        Self(self.0.min(other.0))
    }
}

impl<const MIN: u32, const MAX: u32> Bound for AtLeast<MIN, MAX> {
    fn stricter(&self, other: &Self) -> Self {
        Self(self.0.max(other.0))
    }
}

impl Bound for Required {
    fn stricter(&self, other: &Self) -> Self {
        Self(self.0 || other.0)
    }
}

impl Bound for RateLimit {
    fn stricter(&self, other: &Self) -> Self {
        self.within(*other)
    }
}

impl Bound for AllowedAudiences {
    fn stricter(&self, other: &Self) -> Self {
        let both = self.0.iter().filter(|resource| other.0.contains(resource));
        Self(both.cloned().collect())
    }
}

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for AtMost<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(Whole(MIN, MAX)).map(Self)
    }
}

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for AtLeast<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(Whole(MIN, MAX)).map(Self)
    }
}

/// A whole number from the one to the other.
struct Whole(u32, u32);

impl Visitor<'_> for Whole {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "write a whole number from {} to {}", self.0, self.1)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<u32, E> {
        u32::try_from(number)
            .ok()
            .filter(|number| (self.0..=self.1).contains(number))
            .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }
}

impl Serialize for AllowedAudiences {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

impl<'de> Deserialize<'de> for AllowedAudiences {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Resources;
        impl<'de> Visitor<'de> for Resources {
            type Value = AllowedAudiences;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let max = AllowedAudiences::MAX;
                write!(f, "an array of 1 to {max} absolute URIs")
            }
            fn visit_seq<A: de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<AllowedAudiences, A::Error> {
                let mut resources = Vec::new();
                while let Some(One(resource)) = seq.next_element()? {
                    if resources.contains(&resource) {
                        continue;
                    }
                    if resources.len() == AllowedAudiences::MAX {
                        return Err(de::Error::invalid_length(resources.len() + 1, &self));
                    }
                    resources.push(resource);
                }
                if resources.is_empty() {
                    return Err(de::Error::invalid_length(0, &self));
                }
                Ok(AllowedAudiences(resources))
            }
        }
        deserializer.deserialize_seq(Resources)
    }
}

/// One resource, refused where it stands.
struct One(Resource);

impl<'de> Deserialize<'de> for One {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}
