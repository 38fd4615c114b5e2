//! The one module that sees TOML: it reads the file, checks it once, and fills each module's settings.
