//! Cells of the exploration of when order matters: what differs from the tables.

use seethink::core::Capability;
use std::str::FromStr;

/// Cell of the exploration: one factor at another level than in the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// None: the settings of the tables.
    Tables,
    /// A quarter of the steps of every stage.
    Quarter,
    /// Four times the steps of every stage.
    Fourfold,
    /// Half the steps of perception, and as many in all.
    LessPerception,
    /// One and a half times the steps of perception, and as many in all.
    MorePerception,
}

impl Cell {
    /// All cells.
    pub const ALL: [Self; 5] =
        [Self::Quarter, Self::Tables, Self::Fourfold, Self::LessPerception, Self::MorePerception];

    /// Name on command lines and in folders.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tables => "tables",
            Self::Quarter => "quarter",
            Self::Fourfold => "fourfold",
            Self::LessPerception => "less_perception",
            Self::MorePerception => "more_perception",
        }
    }

    /// Label in tables.
    pub fn label(self) -> &'static str {
        match self {
            Self::Quarter => "a quarter of the steps",
            Self::Tables => "the tables",
            Self::Fourfold => "four times the steps",
            Self::LessPerception => "half the perception",
            Self::MorePerception => "half as much perception again",
        }
    }

    /// Number of steps of a capability's stage where all three are trained.
    pub fn steps(self, capability: &Capability) -> u32 {
        let [perception, other] = match self {
            Self::Tables => [180, 100],
            Self::Quarter => [45, 25],
            Self::Fourfold => [720, 400],
            Self::LessPerception => [90, 145],
            Self::MorePerception => [270, 55],
        };
        if *capability == Capability::PERCEPTION { perception } else { other }
    }
}

impl FromStr for Cell {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|cell| cell.name() == name);
        found.ok_or_else(|| format!("expected one of {}", names()))
    }
}
