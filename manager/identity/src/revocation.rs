//! Certificates that were taken back before their end.

mod reason;

use std::{fmt, sync::Arc, time::SystemTime};

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_parser::{
    certificate::X509Certificate, prelude::FromDer as _, revocation_list::CertificateRevocationList,
};

pub use self::reason::RevocationReason;
use crate::{RevocationError, SerialError, certificate::system_time, signature};

/// The longest serial number, in bytes (RFC 5280, section 4.1.2.2).
const LONGEST_SERIAL: usize = 20;

/// A certificate revocation list (RFC 5280, section 5). Its signature is checked in each handshake
/// against the issuer of the certificate it speaks of. One past its next update still counts: what
/// was taken back stays so. Cheap to clone; equal when the bytes are.
#[derive(Clone)]
pub struct RevocationList(Arc<Parsed>);

struct Parsed {
    der: CertificateRevocationListDer<'static>,
    list: CertRevocationList<'static>,
    issuer: String,
    number: Option<String>,
    this_update: SystemTime,
    next_update: SystemTime,
}

/// A certificate in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revoked {
    /// Its serial number, big-endian, without leading zeros.
    pub serial: Vec<u8>,
    /// When it was taken back.
    pub since: SystemTime,
    /// Why.
    pub reason: RevocationReason,
    /// Since when it may have been in wrong hands, if the list tells.
    pub invalid_since: Option<SystemTime>,
}

impl Revoked {
    /// The certificate with this serial number, taken back at `since`.
    pub fn new(serial: impl Into<Vec<u8>>, since: SystemTime, reason: RevocationReason) -> Self {
        let mut serial = serial.into();
        let zeros = serial.iter().take_while(|&&byte| byte == 0).count();
        serial.drain(..zeros);
        Self {
            serial,
            since,
            reason,
            invalid_since: None,
        }
    }
}

/// Whether a list is by whom it says it is by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListSignature {
    /// Yes.
    Valid,
    /// An authority has that name, but not the key that signed, or the signature is of a kind that is
    /// not supported.
    Invalid,
    /// The authority's key signed it, but is not for lists (key usage without `cRLSign`).
    NotAllowed,
    /// No authority asked about has that name.
    UnknownIssuer,
}

impl RevocationList {
    /// Reads a list in DER.
    ///
    /// # Errors
    /// When it is broken or of a kind that is not supported (version 1, delta and indirect lists).
    pub fn read(der: &CertificateRevocationListDer<'_>) -> Result<Self, RevocationError> {
        let parsed = CertificateRevocationList::from_der(der);
        let list = OwnedCertRevocationList::from_der(der).map_err(|error| match &parsed {
            Ok((_, parsed)) if parsed.version().is_none() => RevocationError::Version1,
            Ok((_, parsed)) if parsed.next_update().is_none() => RevocationError::NextUpdate,
            Ok((_, parsed)) if parsed.extensions().is_empty() => RevocationError::NoExtensions,
            _ => RevocationError::Malformed(Box::new(error)),
        })?;
        let (_, parsed) = parsed.map_err(|error| RevocationError::Malformed(Box::new(error)))?;
        let next_update = parsed.next_update().ok_or(RevocationError::NextUpdate)?;
        Ok(Self(Arc::new(Parsed {
            list: list.into(),
            issuer: parsed.issuer().to_string(),
            number: parsed.crl_number().map(ToString::to_string),
            this_update: system_time(parsed.last_update()),
            next_update: system_time(next_update),
            der: der.to_vec().into(),
        })))
    }

    /// The list in DER.
    pub fn der(&self) -> &CertificateRevocationListDer<'static> {
        &self.0.der
    }

    /// The authority that says to have signed it.
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// Its number, in decimal digits; each list has a higher one than the list it replaces.
    pub fn number(&self) -> Option<&str> {
        self.0.number.as_deref()
    }

    /// When it was signed.
    pub fn this_update(&self) -> SystemTime {
        self.0.this_update
    }

    /// When another is to have replaced it.
    pub fn next_update(&self) -> SystemTime {
        self.0.next_update
    }

    /// The certificates it takes back.
    pub fn revoked(&self) -> Vec<Revoked> {
        self.with_parsed(|parsed| {
            let entries = parsed.iter_revoked_certificates().map(|entry| {
                let reason = entry.reason_code().map(|(_, reason)| reason.0);
                let invalid_since = entry.invalidity_date().map(|(_, date)| system_time(date));
                Revoked {
                    invalid_since,
                    ..Revoked::new(
                        entry.raw_serial(),
                        system_time(entry.revocation_date),
                        reason.map(RevocationReason::of_code).unwrap_or_default(),
                    )
                }
            });
            entries.collect()
        })
    }

    /// Whether one of `authorities` has signed it.
    pub fn signature<'a>(
        &self,
        authorities: impl IntoIterator<Item = &'a CertificateDer<'a>>,
    ) -> ListSignature {
        self.with_parsed(|list| {
            let mut verdict = ListSignature::UnknownIssuer;
            for authority in authorities {
                let Ok((_, authority)) = X509Certificate::from_der(authority) else {
                    continue;
                };
                if authority.subject().as_raw() != list.issuer().as_raw() {
                    continue;
                }
                let is_signed = signature::verify(
                    authority.public_key(),
                    &list.signature_algorithm,
                    list.tbs_cert_list.as_ref(),
                    &list.signature_value.data,
                ) == Some(true);
                let usage = authority.key_usage().ok().flatten();
                match usage {
                    Some(usage) if is_signed && !usage.value.crl_sign() => {
                        verdict = ListSignature::NotAllowed;
                    }
                    _ if is_signed => return ListSignature::Valid,
                    _ if verdict == ListSignature::UnknownIssuer => {
                        verdict = ListSignature::Invalid;
                    }
                    _ => {}
                }
            }
            verdict
        })
    }

    /// The number of what is to replace `lists`, big-endian.
    pub(crate) fn next_number(lists: &[Self]) -> Vec<u8> {
        let numbers = lists
            .iter()
            .filter_map(|list| list.with_parsed(|parsed| parsed.crl_number().cloned()));
        numbers
            .max()
            .map_or_else(|| vec![1], |number| (number + 1_u8).to_bytes_be())
    }

    pub(crate) fn as_list(&self) -> &CertRevocationList<'static> {
        &self.0.list
    }

    fn with_parsed<T>(&self, take: impl FnOnce(&CertificateRevocationList<'_>) -> T) -> T {
        let (_, parsed) = CertificateRevocationList::from_der(&self.0.der)
            .expect("the bytes were parsed when the list was read");
        take(&parsed)
    }
}

impl PartialEq for RevocationList {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.der == other.0.der
    }
}

impl Eq for RevocationList {}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationList")
            .field("issuer", &self.0.issuer)
            .field("number", &self.0.number)
            .finish_non_exhaustive()
    }
}

/// Reads a serial number in hexadecimal, as `openssl x509 -serial`, with colons as in its texts, or
/// after `0x`. The bytes come without leading zeros.
///
/// # Errors
/// When it is none, zero, or too long for a certificate.
pub fn parse_serial(text: &str) -> Result<Vec<u8>, SerialError> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let joined = if digits.contains(':') {
        let is_byte = |part: &str| matches!(part.len(), 1 | 2);
        if !digits.split(':').all(is_byte) {
            return Err(SerialError::Digits);
        }
        digits
            .split(':')
            .map(|part| format!("{part:0>2}"))
            .collect()
    } else {
        digits.to_owned()
    };
    if joined.is_empty() || !joined.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(SerialError::Digits);
    }
    let significant = joined.trim_start_matches('0');
    if significant.is_empty() {
        return Err(SerialError::Zero);
    }
    let even = format!("{}{significant}", "0".repeat(significant.len() % 2));
    let length = even.len() / 2;
    if length > LONGEST_SERIAL {
        return Err(SerialError::TooLong(length));
    }
    let bytes = (0..length).map(|at| u8::from_str_radix(&even[2 * at..2 * at + 2], 16));
    bytes
        .collect::<Result<_, _>>()
        .map_err(|_error| SerialError::Digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_read_as_tools_print_them() {
        for (text, bytes) in [
            ("0A1B", &[0x0a, 0x1b][..]),
            ("a1b", &[0x0a, 0x1b]),
            ("0x0a1b", &[0x0a, 0x1b]),
            ("00:8a:1B", &[0x8a, 0x1b]),
            ("7:1", &[7, 1]),
            (&"ff".repeat(20), &[0xff; 20]),
        ] {
            assert_eq!(parse_serial(text).as_deref(), Ok(bytes), "{text}");
        }
        for (text, error) in [
            ("", SerialError::Digits),
            ("0x", SerialError::Digits),
            ("12g4", SerialError::Digits),
            ("-1", SerialError::Digits),
            ("12:345", SerialError::Digits),
            ("1::2", SerialError::Digits),
            ("ä1", SerialError::Digits),
            ("00:00", SerialError::Zero),
            (&"11".repeat(21), SerialError::TooLong(21)),
        ] {
            assert_eq!(parse_serial(text), Err(error), "{text}");
        }
    }
}
