//! Error codes (RFC 9113, section 7).

/// Why a stream or a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u32);

impl Code {
    pub(crate) const NO_ERROR: Self = Self(0);
    pub(crate) const PROTOCOL: Self = Self(1);
    pub(crate) const INTERNAL: Self = Self(2);
    pub(crate) const FLOW_CONTROL: Self = Self(3);
    pub(crate) const STREAM_CLOSED: Self = Self(5);
    pub(crate) const FRAME_SIZE: Self = Self(6);
    pub(crate) const REFUSED_STREAM: Self = Self(7);
    pub(crate) const CANCEL: Self = Self(8);
    pub(crate) const COMPRESSION: Self = Self(9);
    pub(crate) const CONNECT: Self = Self(10);
    pub(crate) const ENHANCE_YOUR_CALM: Self = Self(11);
}

/// What a peer did that ends the whole connection, with the code that tells it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer broke HTTP/2: {reason}")]
pub struct Http2Error {
    /// What GOAWAY carries.
    pub code: Code,
    /// For people.
    pub reason: &'static str,
}

impl Http2Error {
    pub(crate) const fn protocol(reason: &'static str) -> Self {
        Self::new(Code::PROTOCOL, reason)
    }

    pub(crate) const fn new(code: Code, reason: &'static str) -> Self {
        Self { code, reason }
    }

    pub(crate) const fn calm(reason: &'static str) -> Self {
        Self::new(Code::ENHANCE_YOUR_CALM, reason)
    }
}
