//! Names for things: calls, tickets, legs, offers, agents, queues, trunks, places.
//!
//! Call, ticket and event ids are ULIDs (26 characters of Crockford base 32). Their 80 low bits carry, from the
//! top: 10 bits of node, 16 bits of tenant tag, 54 bits of randomness, so that two nodes or two places can never
//! mint the same id. Deliberately absent: minting by clock or random source; both come in as values.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const RANDOM_BITS: u32 = 54;
const TENANT_BITS: u32 = 16;
const NODE_BITS: u32 = 10;

/// A 128-bit sortable id with node and tenant inside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ulid(u128);

impl Ulid {
    /// Composes an id from the wall time, the engine's node number, the place and random bits.
    #[must_use]
    pub fn compose(wall: Timestamp, node: u16, tenant: &TenantName, random: u64) -> Self {
        let millis = u128::try_from(wall.as_millisecond()).unwrap_or(0) & ((1 << 48) - 1);
        let node = u128::from(node) & ((1 << NODE_BITS) - 1);
        let random = u128::from(random) & ((1 << RANDOM_BITS) - 1);
        Self(millis << 80 | node << (TENANT_BITS + RANDOM_BITS) | u128::from(tenant.tag()) << RANDOM_BITS | random)
    }

    /// The node that minted this id.
    #[must_use]
    pub const fn node(self) -> u16 {
        ((self.0 >> (TENANT_BITS + RANDOM_BITS)) & ((1 << NODE_BITS) - 1)) as u16
    }

    /// The tag of the place this id belongs to ([`TenantName::tag`]).
    #[must_use]
    pub const fn tenant_tag(self) -> u16 {
        ((self.0 >> RANDOM_BITS) & ((1 << TENANT_BITS) - 1)) as u16
    }

    /// The id with these raw bits, as [`Self::bits`] gave them.
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// The raw 128 bits.
    #[must_use]
    pub const fn bits(self) -> u128 {
        self.0
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for place in (0..26).rev() {
            let digit = ((self.0 >> (place * 5)) & 31) as usize;
            f.write_char(char::from(ALPHABET.get(digit).copied().unwrap_or(b'0')))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no ULID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id: 26 characters of 0-9 and A-Z without I, L, O, U are expected")]
pub struct NotAnId;

impl FromStr for Ulid {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if text.len() != 26 || text.as_bytes().first().is_none_or(|first| *first > b'7') {
            return Err(NotAnId);
        }
        text.bytes()
            .try_fold(0_u128, |bits, byte| {
                let digit = ALPHABET.iter().position(|symbol| *symbol == byte.to_ascii_uppercase()).ok_or(NotAnId)?;
                Ok(bits << 5 | digit as u128)
            })
            .map(Self)
    }
}

impl Serialize for Ulid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ulid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! ulid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Ulid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                text.parse().map(Self)
            }
        }
    };
}

ulid_id! {
    /// One call: everything from one INVITE that passed admission (or one originated call) to its last leg's end.
    CallId
}
ulid_id! {
    /// One ticket, minted by the engine when its call begins.
    TicketId
}
ulid_id! {
    /// One published event; the receiver's idempotency key.
    EventId
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps a configured name.
            #[must_use]
            pub fn new(name: impl AsRef<str>) -> Self {
                Self(Arc::from(name.as_ref()))
            }

            /// The name as configured.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self::new(name)
            }
        }
    };
}

name! {
    /// A place (tenant): `chifeng`.
    TenantName
}
name! {
    /// An agent's id, which is also the user part of the phone's registration: `1001`.
    AgentId
}
name! {
    /// A queue, unique within its place.
    QueueName
}
name! {
    /// A trunk, unique within the engine.
    TrunkName
}
name! {
    /// A skill an agent may have and a call may need.
    SkillName
}

impl TenantName {
    /// A stable 16-bit tag of the name (FNV-1a, folded), carried inside every id.
    #[must_use]
    pub fn tag(&self) -> u16 {
        let hash =
            self.0.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        ((hash >> 16) ^ (hash & 0xffff)) as u16
    }
}

/// A queue of one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueueId {
    /// The place.
    pub tenant: TenantName,
    /// The queue within it.
    pub queue: QueueName,
}

/// A leg within its call; never reused while the call lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LegId(pub u16);

/// One wait in one queue. A call may wait twice (the citizen, and a consult in an expert queue).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JoinId {
    /// The call that waits.
    pub call: CallId,
    /// Counts that call's waits from zero.
    pub nth: u16,
}

/// One offer of one wait to one agent: one reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OfferId(pub u64);

/// One question a call asks of the switch (where is this agent, which flows reach this trunk).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LookupId(pub u32);

/// The hash of the configuration and dialplan a call was decided with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConfigHash(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_carries_node_and_tenant() {
        let chifeng = TenantName::new("chifeng");
        let wall: Timestamp = "2026-11-21T02:00:00.123Z".parse().unwrap();
        let id = Ulid::compose(wall, 7, &chifeng, u64::MAX);
        let text = id.to_string();
        assert_eq!(text.len(), 26);
        assert_eq!(text.parse::<Ulid>().unwrap(), id);
        assert_eq!((id.node(), id.tenant_tag()), (7, chifeng.tag()));
    }

    #[test]
    fn ids_sort_by_time() {
        let place = TenantName::new("p");
        let early = Ulid::compose("2026-01-01T00:00:00Z".parse().unwrap(), 900, &place, u64::MAX);
        let late = Ulid::compose("2026-01-01T00:00:00.001Z".parse().unwrap(), 0, &place, 0);
        assert!(early < late && early.to_string() < late.to_string());
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "01J", "81J00000000000000000000000", "0IJ00000000000000000000000"] {
            assert_eq!(text.parse::<Ulid>(), Err(NotAnId), "{text}");
        }
    }
}
