//! Taking certificates back.

use std::{collections::BTreeMap, time::SystemTime};

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::{
    certificate::X509Certificate, extensions::ParsedExtension, prelude::FromDer as _,
};

use super::{Authority, moment};
use crate::{
    AuthorityError, ListSignature, RevocationList, Revoked, schedule::BACKDATE, signature,
};

/// The longest number of a list, in bytes (RFC 5280, section 5.2.3).
const LONGEST_NUMBER: usize = 20;

impl Authority {
    /// Signs the list that replaces those of `before`, which are its own: it says what they say, takes
    /// back `more`, is dated back as certificates are, and has the next number. Whoever is in a list
    /// already stays there as he is.
    ///
    /// # Errors
    /// When the authority may not sign lists, there is no next number, or a time cannot be expressed.
    pub fn revoke(
        &self,
        before: &[RevocationList],
        more: &[Revoked],
        now: SystemTime,
        next_update: SystemTime,
    ) -> Result<CertificateRevocationListDer<'static>, AuthorityError> {
        let mut entries = BTreeMap::new();
        for revoked in before.iter().flat_map(RevocationList::revoked) {
            entries.entry(revoked.serial.clone()).or_insert(revoked);
        }
        for revoked in more {
            entries
                .entry(revoked.serial.clone())
                .or_insert_with(|| revoked.clone());
        }
        let number = RevocationList::next_number(before);
        if number.len() > LONGEST_NUMBER {
            return Err(AuthorityError::ListNumber);
        }
        self.signed_list(
            entries.into_values(),
            SerialNumber::from_slice(&number),
            now - BACKDATE,
            next_update,
        )
    }

    /// Whether a list is one of this authority.
    pub fn has_signed_list(&self, list: &RevocationList) -> bool {
        list.signature([&self.certificate]) == ListSignature::Valid
    }

    /// Whether a certificate is one that this authority has signed for somebody else.
    pub fn has_signed(&self, certificate: &CertificateDer<'_>) -> bool {
        if certificate == &self.certificate {
            return false;
        }
        let parsed = (
            X509Certificate::from_der(certificate),
            X509Certificate::from_der(&self.certificate),
        );
        let (Ok((_, certificate)), Ok((_, own))) = parsed else {
            return false;
        };
        certificate.issuer().as_raw() == own.subject().as_raw()
            && signature::verify(
                own.public_key(),
                &certificate.signature_algorithm,
                certificate.tbs_certificate.as_ref(),
                &certificate.signature_value.data,
            ) == Some(true)
    }

    pub(super) fn signed_list(
        &self,
        revoked: impl IntoIterator<Item = Revoked>,
        number: SerialNumber,
        this_update: SystemTime,
        next_update: SystemTime,
    ) -> Result<CertificateRevocationListDer<'static>, AuthorityError> {
        let revoked_certs = revoked
            .into_iter()
            .map(|revoked| {
                Ok(RevokedCertParams {
                    serial_number: SerialNumber::from_slice(&revoked.serial),
                    revocation_time: moment(revoked.since)?,
                    reason_code: Some(revoked.reason.code()),
                    invalidity_date: revoked.invalid_since.map(moment).transpose()?,
                })
            })
            .collect::<Result<_, AuthorityError>>()?;
        let params = CertificateRevocationListParams {
            this_update: moment(this_update)?,
            next_update: moment(next_update)?,
            crl_number: number,
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: self.key_identifier(),
        };
        let list = params
            .signed_by(&self.issuer)
            .map_err(|error| match error {
                rcgen::Error::IssuerNotCrlSigner => AuthorityError::NoLists,
                error => AuthorityError::List(error),
            })?;
        Ok(list.into())
    }

    /// As its certificate has it: readers look for the signer of a list by it.
    fn key_identifier(&self) -> KeyIdMethod {
        let parsed = X509Certificate::from_der(&self.certificate);
        let identifier = parsed.ok().and_then(|(_, own)| {
            let mut extensions = own.iter_extensions().map(|it| it.parsed_extension());
            extensions.find_map(|extension| match extension {
                ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0.to_vec()),
                _ => None,
            })
        });
        identifier.map_or(KeyIdMethod::Sha256, KeyIdMethod::PreSpecified)
    }
}
