//! Certificates, trust anchors and handshakes. It records what a handshake showed; the judge is elsewhere.
