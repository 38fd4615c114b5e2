//! The one-command lab: a gateway with its partners, good and bad, on loopback.
