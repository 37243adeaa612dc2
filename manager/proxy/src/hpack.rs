//! Header compression for HTTP/2 (RFC 7541): a complete decoder with bounds, and an encoder that
//! keeps no state.

mod decoder;
mod encoder;
mod huffman;
mod table;

pub use decoder::{Decoder, HpackError};
pub(crate) use encoder::Encoder;
