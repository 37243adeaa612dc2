//! The authority: signs certificates for identities that somebody else has authenticated.

mod plugin;
mod revoke;

use std::{
    fmt,
    net::IpAddr,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs8KeyDer,
};
use time::OffsetDateTime;

pub use self::plugin::PluginFiles;
use crate::{
    AuthorityError, CsrError, RevocationReason as Reason, Revoked, SigningRequest, SpiffeId,
    schedule::BACKDATE,
};

/// A serial number of sixteen bytes, which the caller draws at random: RFC 5280 wants it unique,
/// and not to be guessed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Serial([u8; 16]);

impl Serial {
    /// Makes a number of random bytes; it is positive and of full length whatever they are.
    pub fn new(mut random: [u8; 16]) -> Self {
        random[0] = (random[0] & 0x7f) | 0x40;
        Self(random)
    }

    fn number(self) -> SerialNumber {
        SerialNumber::from_slice(&self.0)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A certificate authority: a key, its certificate, and the way from that to the roots. `Debug`
/// does not show the key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// What peers need between a leaf and their root: empty when the certificate is a root.
    intermediates: Vec<CertificateDer<'static>>,
    roots: Vec<CertificateDer<'static>>,
    not_before: SystemTime,
    /// The first end on the way to the root.
    not_after: SystemTime,
}

impl Authority {
    /// Makes a self-signed authority for `trust_domain` with an ECDSA P-256 key.
    ///
    /// # Errors
    /// When the generator fails or the times cannot be expressed.
    pub fn create(
        trust_domain: &str,
        lifetime: Duration,
        now: SystemTime,
        serial: Serial,
    ) -> Result<Self, AuthorityError> {
        if lifetime < Duration::from_secs(1) {
            return Err(AuthorityError::Lifetime);
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map_err(|error| AuthorityError::Request(CsrError::Generate(error)))?;
        let mut params = CertificateParams::default();
        params.not_before = moment(now - BACKDATE)?;
        params.not_after = moment(now + lifetime)?;
        params.serial_number = Some(serial.number());
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, trust_domain);
        // A name of its own: revocation lists are found by the issuer's name, and during a change
        // of root the list of one must not be taken for that of the other.
        params
            .distinguished_name
            .push(DnType::CommonName, format!("weft {serial}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(AuthorityError::Sign)?;
        let root = certificate.der().clone();
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate: root.clone(),
            intermediates: Vec::new(),
            roots: vec![root],
            not_before: now - BACKDATE,
            not_after: now + lifetime,
        })
    }

    /// Signs a certificate for `id`, valid for `ttl` from `now`, or until the authority ends if
    /// that is sooner. Only the key is taken from the request; whoever it names, the certificate is
    /// for the authenticated `id`. The answer is a chain, leaf first, without the root.
    ///
    /// # Errors
    /// When the authority is not valid now, or the lifetime is none.
    pub fn sign(
        &self,
        request: &SigningRequest,
        id: &SpiffeId,
        ttl: Duration,
        now: SystemTime,
        serial: Serial,
    ) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
        let mut params = self.leaf(ttl, now, serial)?;
        params.subject_alt_names = vec![uri(id)?];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.signed(&params, &request.public_key)
    }

    /// A certificate with its key for the authority's own service, under DNS names or addresses.
    /// It carries `id` too, but is for servers only.
    ///
    /// # Errors
    /// As [`Self::sign`], and when a name cannot be written.
    pub fn serving(
        &self,
        names: &[&str],
        id: &SpiffeId,
        ttl: Duration,
        now: SystemTime,
        serial: Serial,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map_err(|error| AuthorityError::Request(CsrError::Generate(error)))?;
        let mut params = self.leaf(ttl, now, serial)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = vec![uri(id)?];
        for &name in names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.try_into().map_err(AuthorityError::Name)?),
            });
        }
        let chain = self.signed(&params, &key)?;
        Ok((chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
    }

    /// Signs a first list of certificates taken back, each by its serial number and since when. What
    /// follows on lists that are there is signed by [`Self::revoke`].
    ///
    /// # Errors
    /// When the authority may not sign lists, or the times cannot be expressed or contradict each
    /// other.
    pub fn revocation_list(
        &self,
        revoked: &[(Vec<u8>, SystemTime)],
        number: u64,
        now: SystemTime,
        next_update: SystemTime,
    ) -> Result<CertificateRevocationListDer<'static>, AuthorityError> {
        let entries = revoked
            .iter()
            .map(|(serial, since)| Revoked::new(serial.clone(), *since, Reason::Unspecified));
        let number = SerialNumber::from(number);
        self.signed_list(entries, number, now, next_update)
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What follows a leaf in a chain: nothing when the authority is a root.
    pub fn intermediates(&self) -> &[CertificateDer<'static>] {
        &self.intermediates
    }

    /// The roots that peers are to believe, the authority's own among them.
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// When the first certificate on the way to the root ends.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    fn leaf(
        &self,
        ttl: Duration,
        now: SystemTime,
        serial: Serial,
    ) -> Result<CertificateParams, AuthorityError> {
        if ttl < Duration::from_secs(1) {
            return Err(AuthorityError::Lifetime);
        }
        if now < self.not_before || now >= self.not_after {
            return Err(AuthorityError::NotValid);
        }
        let wanted = now.checked_add(ttl).ok_or(AuthorityError::Time)?;
        let mut params = CertificateParams::default();
        params.not_before = moment(now - BACKDATE)?;
        params.not_after = moment(wanted.min(self.not_after))?;
        params.serial_number = Some(serial.number());
        params.distinguished_name = DistinguishedName::new();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }

    fn signed(
        &self,
        params: &CertificateParams,
        key: &impl rcgen::PublicKeyData,
    ) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
        let leaf = params
            .signed_by(key, &self.issuer)
            .map_err(AuthorityError::Sign)?;
        let mut chain = vec![leaf.into()];
        chain.extend(self.intermediates.iter().cloned());
        Ok(chain)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("roots", &self.roots.len())
            .field("intermediates", &self.intermediates.len())
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

fn uri(id: &SpiffeId) -> Result<SanType, AuthorityError> {
    let text = id.to_string().try_into().map_err(AuthorityError::Name)?;
    Ok(SanType::URI(text))
}

/// A time as certificates have it, in whole seconds.
fn moment(time: SystemTime) -> Result<OffsetDateTime, AuthorityError> {
    let seconds = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(span) => i64::try_from(span.as_secs()),
        Err(error) => i64::try_from(error.duration().as_secs()).map(|it| -it),
    };
    let moment = OffsetDateTime::from_unix_timestamp(seconds.unwrap_or(i64::MAX));
    match moment {
        Ok(moment) if (1950..=9999).contains(&moment.year()) => Ok(moment),
        _ => Err(AuthorityError::Time),
    }
}
