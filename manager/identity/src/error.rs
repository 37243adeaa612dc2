//! What can be wrong with identities and certificates.

use rustls::pki_types;

/// Why a text is no SPIFFE id of a service account.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub enum SpiffeIdError {
    /// Not `spiffe://`.
    #[error("the id does not begin with spiffe://")]
    Scheme,
    /// Empty, too long, or with characters other than lower-case letters, digits, `-`, `.`, `_`.
    #[error(
        "the trust domain is empty, longer than 255 bytes, or has a character other than a-z, 0-9, '-', '.' and '_'"
    )]
    TrustDomain,
    /// Not `/ns/NAMESPACE/sa/ACCOUNT`.
    #[error("the path is not /ns/NAMESPACE/sa/SERVICE-ACCOUNT")]
    Path,
    /// An empty or relative segment, or a character that is not allowed.
    #[error(
        "namespace or service account is empty, relative, or has a character other than letters, digits, '-', '.' and '_'"
    )]
    Segment,
    /// Longer than 2048 bytes.
    #[error("the id has {0} bytes, more than 2048")]
    TooLong(usize),
}

/// Why a peer's certificate names no identity, or is not believed.
#[derive(thiserror::Error, Debug)]
pub enum PeerError {
    /// An empty chain.
    #[error("the peer sent no certificate")]
    NoCertificate,
    /// Not a certificate.
    #[error("the peer's certificate cannot be read")]
    Malformed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// More bytes than the certificate.
    #[error("bytes follow the peer's certificate")]
    TrailingBytes,
    /// An extension that is broken or there twice.
    #[error("an extension of the peer's certificate cannot be read or is there twice")]
    Extensions,
    /// No URI.
    #[error("the peer's certificate has no URI, so no SPIFFE id")]
    NoUri,
    /// More than one URI: which would be meant?
    #[error("the peer's certificate has {0} URIs; a SPIFFE certificate has exactly one")]
    SeveralUris(usize),
    /// No id of a service account.
    #[error("the peer's certificate is for no service account: {0}")]
    Id(#[from] SpiffeIdError),
    /// The certificate of an authority, shown as that of a workload.
    #[error("the peer shows the certificate of an authority, not of a workload")]
    Authority,
    /// The purpose is missing.
    #[error("the peer's certificate is not for {0} (extended key usage)")]
    Usage(&'static str),
    /// Another mesh.
    #[error("the peer is {0}, whose trust domain is neither the mesh's own nor an alias of it")]
    TrustDomain(crate::SpiffeId),
    /// A member, but another than expected.
    #[error("the peer is {0}, which is none of the identities expected there")]
    Unexpected(crate::SpiffeId),
}

/// Why a root is not taken.
#[derive(thiserror::Error, Debug)]
pub enum BundleError {
    /// Broken text.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// Not a certificate.
    #[error("a root certificate cannot be read")]
    Certificate(#[source] PeerError),
    /// May not sign.
    #[error("the certificate of {0:?} is no root: it is not one of an authority")]
    NoAuthority(String),
    /// Not usable as an anchor.
    #[error("a root certificate cannot be used")]
    Anchor(#[source] webpki::Error),
}

/// Why a PEM text is not taken.
#[derive(thiserror::Error, Debug)]
pub enum PemError {
    /// Broken.
    #[error("the PEM text is broken")]
    Broken(#[source] pki_types::pem::Error),
    /// Whole, but without the kind looked for.
    #[error("the PEM text has no {0}")]
    Missing(&'static str),
}

/// Why chain and key make no certificate of a workload.
#[derive(thiserror::Error, Debug)]
pub enum SvidError {
    /// An empty chain.
    #[error("the chain is empty")]
    Empty,
    /// The leaf is not one of a workload.
    #[error("the first certificate of the chain is not one of a workload")]
    Leaf(#[source] PeerError),
    /// The leaf may sign.
    #[error("the first certificate of the chain is one of an authority")]
    Authority,
    /// Another is broken.
    #[error("a certificate of the chain cannot be read")]
    Intermediate(#[source] PeerError),
    /// The key is of another kind, or of another certificate.
    #[error("the private key cannot be used with the certificate")]
    Key(#[source] Box<rustls::Error>),
}

/// Why there is no TLS configuration.
#[derive(thiserror::Error, Debug)]
pub enum TlsError {
    /// Chain and key do not fit.
    #[error(transparent)]
    Svid(#[from] SvidError),
    /// The library refuses.
    #[error("TLS cannot be configured")]
    Config(#[source] Box<rustls::Error>),
    /// A certificate or key in a text.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// No root.
    #[error("no root certificate can be used")]
    Roots(#[source] Box<rustls::Error>),
}

/// Why a signing request is refused.
#[derive(thiserror::Error, Debug)]
pub enum CsrError {
    /// Not a request.
    #[error("the signing request cannot be read")]
    Malformed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// More bytes than the request.
    #[error("bytes follow the signing request")]
    TrailingBytes,
    /// Broken text.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// Not of the holder of the key.
    #[error("the signing request is not signed by the key it is for")]
    Signature,
    /// Not a kind of key or signature that is known, or an RSA key below 2048 bits.
    #[error(
        "the signing request has a kind of key or signature that is not supported; use ECDSA P-256 or P-384, Ed25519, or RSA of 2048 bits or more"
    )]
    Algorithm,
    /// No key could be made.
    #[error("no key or request can be made")]
    Generate(#[source] rcgen::Error),
}

/// Why there is no authority, or it does not sign.
#[derive(thiserror::Error, Debug)]
pub enum AuthorityError {
    /// A file's text is broken.
    #[error("{file} cannot be read")]
    Pem {
        /// Name of the file.
        file: &'static str,
        /// What is wrong.
        source: PemError,
    },
    /// A file's certificate is broken.
    #[error("{file} holds a certificate that cannot be read")]
    Certificate {
        /// Name of the file.
        file: &'static str,
        /// What is wrong.
        source: PeerError,
    },
    /// A file's certificate may not sign.
    #[error("{file} holds a certificate that is not one of an authority")]
    NoAuthority {
        /// Name of the file.
        file: &'static str,
    },
    /// The key is of a kind that cannot sign here.
    #[error("ca-key.pem holds a key that cannot sign; use ECDSA P-256 or P-384, Ed25519, or RSA")]
    Key(#[source] rcgen::Error),
    /// Key and certificate are not a pair.
    #[error("ca-key.pem is not the key of ca-cert.pem")]
    Mismatch,
    /// Certificate and root do not belong together.
    #[error("ca-cert.pem does not lead to a root in root-cert.pem through cert-chain.pem")]
    Chain(#[source] webpki::Error),
    /// It has ended, or not begun.
    #[error("the authority's certificate is not valid now")]
    NotValid,
    /// A lifetime that is no lifetime.
    #[error("a certificate must be valid for at least a second")]
    Lifetime,
    /// A time that certificates cannot express.
    #[error("a time lies outside of what certificates can express")]
    Time,
    /// The id cannot be written into a certificate.
    #[error("a name cannot be written into a certificate")]
    Name(#[source] rcgen::Error),
    /// Signing went wrong.
    #[error("the certificate cannot be signed")]
    Sign(#[source] rcgen::Error),
    /// The request is refused.
    #[error(transparent)]
    Request(#[from] CsrError),
    /// The key usage of the certificate does not have `cRLSign`.
    #[error(
        "ca-cert.pem may sign certificates but no revocation lists: its key usage lacks cRLSign"
    )]
    NoLists,
    /// The number of the list is at its end.
    #[error("the revocation list has the highest number there is, so that none can replace it")]
    ListNumber,
    /// Signing a list went wrong.
    #[error("the revocation list cannot be signed")]
    List(#[source] rcgen::Error),
}

/// Why a revocation list is not taken.
#[derive(thiserror::Error, Debug)]
pub enum RevocationError {
    /// It has no version, which is version 1.
    #[error(
        "the revocation list is of version 1; version 2 is needed, with the extensions authorityKeyIdentifier and cRLNumber"
    )]
    Version1,
    /// Of version 2, but without what that version is for.
    #[error(
        "the revocation list has no extensions; authorityKeyIdentifier and cRLNumber are needed"
    )]
    NoExtensions,
    /// It does not say when the next one comes.
    #[error("the revocation list does not say when the next one is due (nextUpdate)")]
    NextUpdate,
    /// Broken, or of a kind that is not supported.
    #[error("the revocation list cannot be read")]
    Malformed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a text is no serial number.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub enum SerialError {
    /// Other characters.
    #[error("a serial number has hexadecimal digits only, with or without colons between bytes")]
    Digits,
    /// Zero is none.
    #[error("a serial number is not zero")]
    Zero,
    /// Longer than certificates have it.
    #[error("a serial number has 20 bytes at most, not {0}")]
    TooLong(usize),
}

/// A text that is no reason for taking a certificate back.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
#[error("no reason that a revocation list can give (RFC 5280, section 5.3.1)")]
pub struct ReasonError;
