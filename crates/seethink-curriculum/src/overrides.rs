//! Overrides: settings of the trainer that a stage changes; a curriculum carries them unread.

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Settings that a stage overrides, by key. The trainer defines the keys and checks them before a
/// run starts; a key that is not here keeps the run's value.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Overrides(pub BTreeMap<String, Setting>);

impl Overrides {
    /// Overrides a setting.
    pub fn set(&mut self, key: impl Into<String>, setting: impl Into<Setting>) {
        self.0.insert(key.into(), setting.into());
    }
}

/// Value of a setting.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Setting {
    /// Number.
    Number(f64),
    /// Text.
    Text(String),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl From<f64> for Setting {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<usize> for Setting {
    fn from(number: usize) -> Self {
        Self::Number(number as f64)
    }
}

impl From<String> for Setting {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Setting {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// The error is what was expected.
impl TryFrom<&Setting> for f64 {
    type Error = &'static str;

    fn try_from(setting: &Setting) -> Result<Self, Self::Error> {
        match *setting {
            Setting::Number(number) => Ok(number),
            Setting::Text(_) => Err("a number"),
        }
    }
}

/// The error is what was expected.
impl TryFrom<&Setting> for usize {
    type Error = &'static str;

    fn try_from(setting: &Setting) -> Result<Self, Self::Error> {
        /// Whole numbers up to here are exact in 64 bits of floating point.
        const LARGEST: f64 = (1u64 << 53) as f64;
        match *setting {
            Setting::Number(number) if (0.0..=LARGEST).contains(&number) && number.fract() == 0.0 => Ok(number as Self),
            _ => Err("a whole number of at least 0"),
        }
    }
}

/// The error is what was expected.
impl TryFrom<&Setting> for String {
    type Error = &'static str;

    fn try_from(setting: &Setting) -> Result<Self, Self::Error> {
        match setting {
            Setting::Text(text) => Ok(text.clone()),
            Setting::Number(_) => Err("text"),
        }
    }
}

/// Reads a structure as files have it, `(learning_rate: 3e-7)`, or a map; keys whose value is
/// `None` are left out.
impl<'de> Deserialize<'de> for Overrides {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Overrides;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("settings with their values")
            }

            fn visit_unit<E: Error>(self) -> Result<Overrides, E> {
                Ok(Overrides::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Overrides, A::Error> {
                let mut overrides = Overrides::default();
                while let Some((key, Value(setting))) = map.next_entry::<String, _>()? {
                    if overrides.0.contains_key(&key) {
                        return Err(A::Error::custom(format_args!("`{key}` stands here twice")));
                    }
                    overrides.0.extend(setting.map(|setting| (key, setting)));
                }
                Ok(overrides)
            }
        }
        deserializer.deserialize_any(Keys)
    }
}

/// Setting, or `None`; a value may be wrapped in `Some`.
struct Value(Option<Setting>);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrNone;
        impl<'de> Visitor<'de> for OneOrNone {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or text")
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
                Ok(Value(Some(Setting::Number(number))))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
                self.visit_f64(number as f64)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
                self.visit_f64(number as f64)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
                Ok(Value(Some(Setting::Text(text.to_owned()))))
            }

            fn visit_none<E: Error>(self) -> Result<Value, E> {
                Ok(Value(None))
            }

            fn visit_unit<E: Error>(self) -> Result<Value, E> {
                Ok(Value(None))
            }

            fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
                Value::deserialize(inner)
            }
        }
        deserializer.deserialize_any(OneOrNone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn overrides<const N: usize>(settings: [(&str, Setting); N]) -> Overrides {
        Overrides(settings.map(|(key, setting)| (key.to_owned(), setting)).into())
    }

    #[test]
    fn structures_maps_and_json_are_read() {
        let expected =
            overrides([("kl_coef", Setting::Number(0.0)), ("prompt_suffix", Setting::Text("Think.".to_owned()))]);
        for text in [
            "(kl_coef: Some(0), learning_rate: None, prompt_suffix: Some(\"Think.\"))",
            "(kl_coef: 0.0, prompt_suffix: \"Think.\")",
            "{\"kl_coef\": 0, \"prompt_suffix\": \"Think.\"}",
        ] {
            assert_eq!(ron::from_str::<Overrides>(text).unwrap(), expected, "{text}");
        }
        let json = "{\"kl_coef\": 0, \"learning_rate\": null, \"prompt_suffix\": \"Think.\"}";
        assert_eq!(serde_json::from_str::<Overrides>(json).unwrap(), expected);
        assert_eq!(ron::from_str::<Overrides>("()").unwrap(), Overrides::default());
    }

    #[test]
    fn other_values_and_keys_that_stand_twice_are_refused() {
        for text in ["(kl_coef: true)", "(kl_coef: [1.0])", "[1.0]", "5", "(kl_coef: 0.1, kl_coef: 0.2)"] {
            assert!(ron::from_str::<Overrides>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn whole_numbers_are_told_from_others() {
        assert_eq!(usize::try_from(&Setting::from(64usize)), Ok(64));
        for number in [0.5, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(usize::try_from(&Setting::Number(number)), Err("a whole number of at least 0"), "{number}");
        }
        assert!(f64::try_from(&Setting::from("1".to_owned())).is_err());
        assert!(String::try_from(&Setting::from(1.0)).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(key in "[a-z_]{1,9}", number in any::<f64>(), text in ".*") {
            let written = overrides([(&key, Setting::Number(number)), ("text", Setting::Text(text))]);
            let read: Overrides = ron::from_str(&ron::to_string(&written).unwrap()).unwrap();
            prop_assert_eq!(format!("{read:?}"), format!("{written:?}"));
            if number.is_finite() {
                let json = serde_json::to_string(&written).unwrap();
                prop_assert_eq!(serde_json::from_str::<Overrides>(&json).unwrap(), written);
            }
        }
    }
}
