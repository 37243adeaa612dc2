//! Records of TLS 1.3 (RFC 8446, section 5).

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce,
    UnboundKey,
};
use rustls::{
    ConnectionTrafficSecrets, client::ClientConnectionData, kernel::KernelConnection,
    server::ServerConnectionData,
};

use crate::Error;

/// Length of a record's head.
pub(crate) const HEAD: usize = 5;
/// The most plaintext a record carries.
pub(crate) const MAX_PLAIN: usize = 16_384;
/// What follows the plaintext: its content type and the tag.
pub(crate) const TAIL: usize = 1 + TAG;
/// The largest record we write.
pub(crate) const RECORD: usize = HEAD + MAX_PLAIN + TAIL;

const TAG: usize = 16;
/// What may stand between the heads of two records (RFC 8446, section 5.2).
const MAX_SEALED: usize = MAX_PLAIN + 256;
/// AES-GCM is safe for 2^24.5 full records under one key; keys change long before.
const RECORDS_PER_KEY: u64 = 1 << 23;

/// Content types.
pub(crate) mod content {
    pub(crate) const ALERT: u8 = 21;
    pub(crate) const HANDSHAKE: u8 = 22;
    pub(crate) const DATA: u8 = 23;
}

/// One direction's key.
struct Secret {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    sequence: u64,
}

impl Secret {
    fn new(sequence: u64, secrets: &ConnectionTrafficSecrets) -> Result<Self, Error> {
        let (algorithm, key, iv): (&'static Algorithm, _, _) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return Err(Error::Cipher),
        };
        let iv = iv.as_ref().try_into().map_err(|_error| Error::Cipher)?;
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(|_error| Error::Cipher)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            iv,
            sequence,
        })
    }

    /// The nonce of the next record (RFC 8446, section 5.3). Each is used once: the sequence number
    /// only grows, and keys change long before it could wrap.
    fn nonce(&mut self) -> Nonce {
        let mut nonce = self.iv;
        for (byte, count) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= count;
        }
        self.sequence += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Seals what we send.
pub(crate) struct Sealer(Secret);

impl Sealer {
    /// Makes a record in place: `record` has room for the head, the plaintext and the tail.
    pub(crate) fn seal(&mut self, content: u8, record: &mut [u8]) -> Result<(), Error> {
        let [a, b] = ((record.len() - HEAD) as u16).to_be_bytes();
        let head = [content::DATA, 3, 3, a, b];
        record[..HEAD].copy_from_slice(&head);
        let tag_at = record.len() - TAG;
        let (sealed, tag) = record.split_at_mut(tag_at);
        let sealed = &mut sealed[HEAD..];
        if let Some(last) = sealed.last_mut() {
            *last = content;
        }
        let nonce = self.0.nonce();
        let made = self
            .0
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(head), sealed)
            .map_err(|_error| Error::Cipher)?;
        tag.copy_from_slice(made.as_ref());
        Ok(())
    }

    /// Appends records that carry `plain`.
    pub(crate) fn append(
        &mut self,
        content: u8,
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        for piece in plain.chunks(MAX_PLAIN) {
            let start = out.len();
            out.extend_from_slice(&[0; HEAD]);
            out.extend_from_slice(piece);
            out.extend_from_slice(&[0; TAIL]);
            self.seal(content, &mut out[start..])?;
        }
        Ok(())
    }

    pub(crate) fn is_worn(&self) -> bool {
        self.0.sequence >= RECORDS_PER_KEY
    }
}

/// Opens what we receive.
pub(crate) struct Opener(Secret);

impl Opener {
    /// Opens a whole record in place; answers its content type and the length of the plaintext,
    /// which begins after the head.
    pub(crate) fn open(&mut self, record: &mut [u8]) -> Result<(u8, usize), Error> {
        let Some((head, sealed)) = record.split_first_chunk_mut::<HEAD>() else {
            return Err(Error::Record);
        };
        // After the handshake every record is protected (RFC 8446, section 5).
        if head[0] != content::DATA {
            return Err(Error::Record);
        }
        let nonce = self.0.nonce();
        let plain = self
            .0
            .key
            .open_in_place(nonce, Aad::from(*head), sealed)
            .map_err(|_error| Error::Record)?;
        // Zeros after the content type are padding.
        let at = plain.iter().rposition(|byte| *byte != 0);
        let at = at.ok_or(Error::Record)?;
        if at > MAX_PLAIN {
            return Err(Error::Record);
        }
        Ok((plain[at], at))
    }
}

/// The length of the record that begins here; `None` while its head is not whole.
pub(crate) fn record_length(bytes: &[u8]) -> Result<Option<usize>, Error> {
    let Some([_, _, _, a, b]) = bytes.first_chunk::<HEAD>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([*a, *b]));
    if length > MAX_SEALED {
        return Err(Error::Record);
    }
    Ok(Some(HEAD + length))
}

/// Where rustls keeps what comes after the first keys.
pub(crate) enum Keys {
    Client(Box<KernelConnection<ClientConnectionData>>),
    Server(Box<KernelConnection<ServerConnectionData>>),
}

impl Keys {
    pub(crate) fn next_sealer(&mut self) -> Result<Sealer, Error> {
        let (sequence, secrets) = match self {
            Self::Client(keys) => keys.update_tx_secret()?,
            Self::Server(keys) => keys.update_tx_secret()?,
        };
        Ok(Sealer(Secret::new(sequence, &secrets)?))
    }

    pub(crate) fn next_opener(&mut self) -> Result<Opener, Error> {
        let (sequence, secrets) = match self {
            Self::Client(keys) => keys.update_rx_secret()?,
            Self::Server(keys) => keys.update_rx_secret()?,
        };
        Ok(Opener(Secret::new(sequence, &secrets)?))
    }

    /// Takes a session ticket; only servers send them.
    pub(crate) fn ticket(&mut self, payload: &[u8]) -> Result<(), Error> {
        match self {
            Self::Client(keys) => Ok(keys.handle_new_session_ticket(payload)?),
            Self::Server(_) => Err(Error::Record),
        }
    }
}

/// The two directions, from what rustls gives out when the handshake is over.
pub(super) fn directions(secrets: &rustls::ExtractedSecrets) -> Result<(Sealer, Opener), Error> {
    let sealer = Sealer(Secret::new(secrets.tx.0, &secrets.tx.1)?);
    let opener = Opener(Secret::new(secrets.rx.0, &secrets.rx.1)?);
    Ok((sealer, opener))
}
