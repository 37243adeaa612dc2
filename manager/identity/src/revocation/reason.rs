//! Why certificates are taken back.

use std::{fmt, str::FromStr};

use rcgen::RevocationReason as Code;

use crate::ReasonError;

/// Why a certificate was taken back (RFC 5280, section 5.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum RevocationReason {
    /// Not told.
    #[default]
    Unspecified,
    /// Its key may be in wrong hands.
    KeyCompromise,
    /// The key of the authority that it is for may be.
    CaCompromise,
    /// Whom it is for has another name or place.
    AffiliationChanged,
    /// There is a newer one.
    Superseded,
    /// It is no longer needed.
    CessationOfOperation,
    /// For now; it may be given back.
    CertificateHold,
    /// Given back; in delta lists only.
    RemoveFromCrl,
    /// Whom it is for may no longer do what it is for.
    PrivilegeWithdrawn,
    /// The key of the attribute authority that it is for may be in wrong hands.
    AaCompromise,
}

use RevocationReason as Reason;

const ALL: [(Reason, Code, &str); 10] = [
    (Reason::Unspecified, Code::Unspecified, "unspecified"),
    (Reason::KeyCompromise, Code::KeyCompromise, "keyCompromise"),
    (Reason::CaCompromise, Code::CaCompromise, "cACompromise"),
    (
        Reason::AffiliationChanged,
        Code::AffiliationChanged,
        "affiliationChanged",
    ),
    (Reason::Superseded, Code::Superseded, "superseded"),
    (
        Reason::CessationOfOperation,
        Code::CessationOfOperation,
        "cessationOfOperation",
    ),
    (
        Reason::CertificateHold,
        Code::CertificateHold,
        "certificateHold",
    ),
    (Reason::RemoveFromCrl, Code::RemoveFromCrl, "removeFromCRL"),
    (
        Reason::PrivilegeWithdrawn,
        Code::PrivilegeWithdrawn,
        "privilegeWithdrawn",
    ),
    (Reason::AaCompromise, Code::AaCompromise, "aACompromise"),
];

impl RevocationReason {
    /// Those to take a certificate back for good, which is all that a complete list is for.
    pub fn lasting() -> impl Iterator<Item = Self> {
        let all = ALL.iter().map(|(reason, ..)| *reason);
        all.filter(|reason| !matches!(reason, Self::CertificateHold | Self::RemoveFromCrl))
    }

    /// Its name in RFC 5280.
    pub fn name(self) -> &'static str {
        self.row().2
    }

    pub(crate) fn code(self) -> Code {
        self.row().1
    }

    /// A code that RFC 5280 does not have says nothing.
    pub(crate) fn of_code(code: u8) -> Self {
        let known = ALL.iter().find(|(_, one, _)| *one as u8 == code);
        known.map_or(Self::Unspecified, |(reason, ..)| *reason)
    }

    fn row(self) -> &'static (Self, Code, &'static str) {
        ALL.iter()
            .find(|(reason, ..)| *reason == self)
            .expect("every reason has its row")
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RevocationReason {
    type Err = ReasonError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = ALL.iter().find(|(.., name)| *name == text);
        known.map(|(reason, ..)| *reason).ok_or(ReasonError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_lead_back_to_the_reason() {
        for (reason, code, name) in ALL {
            assert_eq!(name.parse(), Ok(reason));
            assert_eq!(RevocationReason::of_code(code as u8), reason);
            assert_eq!((reason.name(), reason.code()), (name, code));
        }
        assert_eq!("KeyCompromise".parse::<Reason>(), Err(ReasonError));
        assert_eq!(RevocationReason::of_code(7), Reason::Unspecified);
    }
}
