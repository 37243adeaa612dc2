//! What happens to a request or connection: pure functions over the model, the same for the proxy
//! and for commands that explain. No socket, no clock, no randomness: where chance decides, all
//! outcomes are given with their shares.
//!
//! Reading order: [`request`] (who asks for what), [`router`] (route tables made ready, and the
//! decision), `index` and `matching` (which rule fits), [`rewriting`] (paths and Locations),
//! [`destinations`] (what stands behind a rule's destinations), [`explain`] (what rules asked, and
//! what was there).

#![forbid(unsafe_code)]

pub mod request;

pub mod router;

mod index;

mod matching;

pub mod rewriting;

pub mod destinations;

pub mod explain;

pub mod subject;

pub mod authorize;

pub mod path;

pub mod mtls;

pub mod jwt;

pub use authorize::{Attributes, HttpAttributes, Layer, Verdict, authorize};
pub use explain::Check;
pub use jwt::{Authentication, KeySet, TokenRequest, authenticate};
pub use mtls::{MtlsDecision, mtls};
pub use request::{Client, Connection, Request};
pub use rewriting::Location;
pub use router::{HttpAnswer, HttpDecision, Router, StreamAnswer, StreamDecision};
pub use subject::{GatewaySubject, Subject};
