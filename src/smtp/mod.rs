//! The grammar and the two sessions of SMTP (RFC 5321), without a socket: events in, actions out.
