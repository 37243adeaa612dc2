//! Who a workload is, and how it proves it: SPIFFE ids, certificates, the authority that signs them
//! and the TLS configurations that check them.
//!
//! It never opens a socket or a file and never asks a clock: times come in as arguments, and TLS
//! takes its clock from [`TrustPolicy`]. Keys, signatures and handshakes draw on aws-lc's generator;
//! every other choice (serial numbers, jitter) is an argument.
//!
//! Reading order: [`SpiffeId`], [`TrustBundle`] and [`TrustPolicy`] (whom to believe), [`Svid`] (a
//! certificate with its key), [`server_config`] and [`client_config`], [`Csr`], [`Authority`],
//! [`RevocationList`] (what it takes back), [`schedule`] (when to renew).

#![forbid(unsafe_code)]

mod spiffe;

mod trust;

mod certificate;

mod svid;

mod tls;

mod signature;

mod csr;

mod authority;

mod revocation;

pub mod schedule;

pub mod pem;

mod error;

pub use rustls::{
    pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime},
    time_provider::TimeProvider,
};

pub use self::{
    authority::{Authority, PluginFiles, Serial},
    certificate::{CertificateFacts, peer_id},
    csr::{Csr, SigningRequest},
    error::{
        AuthorityError, BundleError, CsrError, PeerError, PemError, ReasonError, RevocationError,
        SerialError, SpiffeIdError, SvidError, TlsError,
    },
    revocation::{ListSignature, RevocationList, RevocationReason, Revoked, parse_serial},
    spiffe::{SpiffeId, TrustDomains},
    svid::Svid,
    tls::{
        ALPN_H2, authority_client_config, authority_server_config, client_config, refusal,
        server_config,
    },
    trust::{TrustBundle, TrustPolicy},
};
