//! Key sets (RFC 7517) and signatures (RFC 7518, RFC 8037).

use std::fmt;

use aws_lc_rs::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::Value;

use super::{
    TokenFault, base64,
    token::{Algorithm, Token},
};

/// Public keys that tokens are signed with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// A text that is no key set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeySetError(String);

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a set of JSON web keys: {}", self.0)
    }
}

impl std::error::Error for KeySetError {}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Key {
    id: Option<String>,
    /// `alg`: the only algorithm it is for.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Material {
    /// Modulus and exponent, big-endian.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// A point as SEC 1 writes it, uncompressed.
    Elliptic {
        curve: Curve,
        point: Vec<u8>,
    },
    Ed25519(Vec<u8>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "P-256" => Self::P256,
            "P-384" => Self::P384,
            "P-521" => Self::P521,
            _ => return None,
        })
    }

    fn coordinate_length(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

impl KeySet {
    /// Reads a key set. Keys that are not for signatures, or of kinds not known, are passed over.
    pub fn parse(text: &str) -> Result<Self, KeySetError> {
        let set: Value =
            serde_json::from_str(text).map_err(|error| KeySetError(error.to_string()))?;
        let Some(keys) = set.get("keys").and_then(Value::as_array) else {
            return Err(KeySetError("it has no list \"keys\"".to_owned()));
        };
        Ok(Self {
            keys: keys.iter().filter_map(Key::parse).collect(),
        })
    }

    /// Whether a token was signed by one of the keys: by the one it names, when it names one.
    pub(super) fn verify(&self, token: &Token) -> Result<(), TokenFault> {
        if self.keys.is_empty() {
            return Err(TokenFault::NoValidKey);
        }
        let named = |key: &&Key| match (&token.key_id, &key.id) {
            (Some(wanted), Some(id)) => wanted == id,
            _ => true,
        };
        let mut is_found = false;
        for key in self.keys.iter().filter(named) {
            if key
                .algorithm
                .is_some_and(|algorithm| algorithm != token.algorithm)
            {
                continue;
            }
            match key.material.verifies(token) {
                Some(true) => return Ok(()),
                Some(false) => is_found = true,
                None => {}
            }
        }
        Err(if is_found {
            TokenFault::NotVerified
        } else {
            TokenFault::NoMatchingKey
        })
    }
}

impl Key {
    fn parse(key: &Value) -> Option<Self> {
        let text = |name| key.get(name).and_then(Value::as_str);
        let bytes = |name| base64::decode(text(name)?);
        if text("use").is_some_and(|used_for| used_for != "sig") {
            return None;
        }
        let material = match text("kty")? {
            "RSA" => Material::Rsa {
                n: bytes("n")?,
                e: bytes("e")?,
            },
            "EC" => {
                let curve = Curve::parse(text("crv")?)?;
                let length = curve.coordinate_length();
                let mut point = vec![4];
                for coordinate in [bytes("x")?, bytes("y")?] {
                    // Some write a coordinate without its leading zeros.
                    let missing = length.checked_sub(coordinate.len())?;
                    point.extend(std::iter::repeat_n(0, missing));
                    point.extend(coordinate);
                }
                Material::Elliptic { curve, point }
            }
            "OKP" if text("crv") == Some("Ed25519") => Material::Ed25519(bytes("x")?),
            _ => return None,
        };
        let algorithm = match text("alg") {
            Some(name) => Some(Algorithm::parse(name)?),
            None => None,
        };
        Some(Self {
            id: text("kid").map(str::to_owned),
            algorithm,
            material,
        })
    }
}

impl Material {
    /// Whether the signature is this key's; none when the key is not for the algorithm.
    fn verifies(&self, token: &Token) -> Option<bool> {
        let (message, proof) = (token.signed.as_bytes(), token.signature.as_slice());
        match self {
            Self::Rsa { n, e } => {
                let parameters = rsa(token.algorithm)?;
                let n = n.strip_prefix(&[0]).unwrap_or(n);
                let key = RsaPublicKeyComponents { n, e };
                Some(key.verify(parameters, message, proof).is_ok())
            }
            Self::Elliptic { curve, point } => {
                let algorithm = match (token.algorithm, curve) {
                    (Algorithm::Es256, Curve::P256) => &signature::ECDSA_P256_SHA256_FIXED,
                    (Algorithm::Es384, Curve::P384) => &signature::ECDSA_P384_SHA384_FIXED,
                    (Algorithm::Es512, Curve::P521) => &signature::ECDSA_P521_SHA512_FIXED,
                    _ => return None,
                };
                Some(
                    UnparsedPublicKey::new(algorithm, point)
                        .verify(message, proof)
                        .is_ok(),
                )
            }
            Self::Ed25519(key) => {
                let key = UnparsedPublicKey::new(&signature::ED25519, key);
                (token.algorithm == Algorithm::EdDsa).then(|| key.verify(message, proof).is_ok())
            }
        }
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}
