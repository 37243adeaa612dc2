//! `GatewayClass` and `ReferenceGrant`.

use super::parts::{ANY_GROUP, ANY_KIND, ANY_NAME, ANY_NAMESPACE, OBJECT_REF};
use crate::schema::{Schema, list, may, must, object, pattern, text};

pattern!(
    CONTROLLER = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$"
);

/// The rule `field is immutable` compares with the object before: it is the API server's.
pub(in super::super) static GATEWAY_CLASS: Schema = object(&[
    must("controllerName", text(1, 253).like(CONTROLLER)),
    may("description", text(0, 64)),
    may("parametersRef", OBJECT_REF),
]);

pub(in super::super) static REFERENCE_GRANT: Schema = object(&[
    must(
        "from",
        list(
            1,
            16,
            &object(&[
                must("group", ANY_GROUP),
                must("kind", ANY_KIND),
                must("namespace", ANY_NAMESPACE),
            ]),
        ),
    ),
    must(
        "to",
        list(
            1,
            16,
            &object(&[
                must("group", ANY_GROUP),
                must("kind", ANY_KIND),
                may("name", ANY_NAME),
            ]),
        ),
    ),
]);
