//! HTTP/2 as far as tunnels need it (RFC 9113): frames and their limits here, a connection with its
//! streams in [`crate::session`].

mod code;
mod flood;
mod frame;
mod reader;
mod request;

pub use code::{Code, Http2Error};
pub use frame::{Frame, Setting};
pub use reader::Reader;
pub(crate) use {
    flood::Flood,
    frame::{PREFACE, head, kind, put_head, put_headers, put_settings, put_u32_frame},
    request::{Head, read_request, read_status},
};
