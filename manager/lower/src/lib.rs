//! From the model to exact map contents.
#![forbid(unsafe_code)]

pub mod ops;

pub use ops::{Capacity, MapOp};
