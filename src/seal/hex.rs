//! Values of 32 octets that are written in hexadecimal digits.

/// Makes such a value readable and writable, as text and in records.
macro_rules! hex_text {
    ($name:ident) => {
        impl $name {
            /// The value in these octets, if there are 32.
            #[must_use]
            pub fn from_octets(octets: &[u8]) -> Option<Self> {
                octets.try_into().ok().map(Self)
            }

            /// The value in these 64 hexadecimal digits, if they are.
            #[must_use]
            pub fn from_hex(text: &str) -> Option<Self> {
                let octets = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
                Self::from_octets(&octets)
            }
        }

        /// In hexadecimal digits.
        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                Self::from_hex(&text).ok_or_else(|| serde::de::Error::custom("not 64 hexadecimal digits"))
            }
        }
    };
}

pub(super) use hex_text;
