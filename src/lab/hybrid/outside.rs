//! Why Exchange treats mail as mail from outside.

/// Why a message is treated as mail from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutsideCause {
    /// It came in plaintext.
    Plaintext,
    /// The client presented no certificate.
    NoCertificate,
    /// The client's certificate is not valid.
    InvalidCertificate,
    /// The client's certificate has no name that may send cross-premises headers.
    OtherCertificate,
    /// It has no cross-premises headers, as mail from outside has none.
    NoCrossPremisesHeaders,
    /// A send connector that is not for the other side removed them.
    FilteredBySendConnector,
    /// They were there when it was sent, and something on the way removed them.
    HeadersStripped,
    /// It does not say whose mail it is.
    NoOrganisation,
    /// It is another organisation's.
    OtherOrganisation,
    /// The other side says that its author is not one of us.
    AuthorNotOurs,
}

impl OutsideCause {
    /// The token in tables and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::NoCertificate => "no-client-certificate",
            Self::InvalidCertificate => "invalid-client-certificate",
            Self::OtherCertificate => "other-client-certificate",
            Self::NoCrossPremisesHeaders => "no-cross-premises-headers",
            Self::FilteredBySendConnector => "filtered-by-send-connector",
            Self::HeadersStripped => "headers-stripped",
            Self::NoOrganisation => "no-originator-organisation",
            Self::OtherOrganisation => "other-originator-organisation",
            Self::AuthorNotOurs => "author-not-internal",
        }
    }

    /// The same in words.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Plaintext => "it came in plaintext",
            Self::NoCertificate => "the client presented no certificate",
            Self::InvalidCertificate => "the client's certificate is not valid",
            Self::OtherCertificate => {
                "the client's certificate has no name that may send cross-premises headers"
            }
            Self::NoCrossPremisesHeaders => "it has no X-MS-Exchange-CrossPremises headers",
            Self::FilteredBySendConnector => "a send connector removed its cross-premises headers",
            Self::HeadersStripped => "its cross-premises headers were removed on the way",
            Self::NoOrganisation => "it does not say whose mail it is (X-OriginatorOrg)",
            Self::OtherOrganisation => "it is another organisation's mail (X-OriginatorOrg)",
            Self::AuthorNotOurs => "the other side says that its author is not internal (AuthAs)",
        }
    }
}
