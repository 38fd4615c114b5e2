//! Handshakes between our own two sides.
