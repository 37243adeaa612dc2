//! `sessionPersistence`.

use super::parts::{HEADER_NAME, TIME, at, has};
use crate::schema::{Field, may, must, object, one_of, rule, text};

pub(in super::super) const SESSION_PERSISTENCE: Field = may(
    "sessionPersistence",
    object(&[
        may("absoluteTimeout", TIME),
        may(
            "cookie",
            object(&[
                may(
                    "lifetimeType",
                    one_of(&["Permanent", "Session"]).or(r#""Session""#),
                ),
                may("name", text(1, 256).like(HEADER_NAME)),
                may("path", text(0, 1024).or(r#""/""#)),
            ]),
        ),
        may(
            "header",
            object(&[must("name", text(1, 256).like(HEADER_NAME))]),
        ),
        may("type", one_of(&["Cookie", "Header"]).or(r#""Cookie""#)),
    ])
    .with(&[
        rule(
            "AbsoluteTimeout must be specified when cookie lifetimeType is Permanent",
            |session| {
                let cookie = session.get("cookie");
                cookie.is_none_or(|cookie| at(cookie, "lifetimeType") != "Permanent")
                    || has(session, "absoluteTimeout")
            },
        ),
        rule("cookie must be nil if type is not Cookie", |session| {
            !has(session, "cookie") || at(session, "type") == "Cookie"
        }),
        rule("cookie must be specified for Cookie type", |session| {
            at(session, "type") != "Cookie" || has(session, "cookie")
        }),
        rule("header must be nil if type is not Header", |session| {
            !has(session, "header") || at(session, "type") == "Header"
        }),
        rule("header must be specified for Header type", |session| {
            at(session, "type") != "Header" || has(session, "header")
        }),
    ]),
);
