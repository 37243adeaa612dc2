//! `tls`, `tunnel`, `localityLbSetting` and what else is taken as it is written.

use crate::{
    decode::Reading,
    kinds::destination_rule::{
        traffic::{ClientTls, ClientTlsMode, Failover, LocalitySetting, Tunnel, ZoneAwareSetting},
        written::Warmup,
    },
    path::At,
    syntax,
};

/// Judges `tls`.
pub(super) fn tls(tls: &ClientTls, at: At<'_>, cx: &mut Reading<'_>) {
    let has_files = !tls.client_certificate.is_empty()
        || !tls.private_key.is_empty()
        || !tls.ca_certificates.is_empty()
        || !tls.ca_crl.is_empty();
    if tls.insecure_skip_verify == Some(true)
        && (!tls.ca_certificates.is_empty() || !tls.subject_alt_names.is_empty())
        && tls.mode != ClientTlsMode::Disable
    {
        let message = "cannot specify caCertificates or subjectAltNames with insecureSkipVerify";
        cx.reject(at, message);
    }
    match tls.mode {
        _ if !tls.credential_name.is_empty() && has_files => {
            let message = "cannot specify client certificates or CA certificate or CA CRL \
                If credentialName is set";
            cx.reject(at, message);
        }
        ClientTlsMode::Mutual if tls.credential_name.is_empty() => {
            let message = "client certificate required for mutual tls";
            cx.require(
                !tls.client_certificate.is_empty(),
                at.key("clientCertificate"),
                message,
            );
            let message = "private key required for mutual tls";
            cx.require(!tls.private_key.is_empty(), at.key("privateKey"), message);
        }
        ClientTlsMode::IstioMutual if has_files || !tls.credential_name.is_empty() => {
            let message = "ISTIO_MUTUAL uses the mesh's own certificates; \
                no certificates may be given beside it";
            cx.warn(at, message);
        }
        _ => {}
    }
    for (index, name) in tls.subject_alt_names.iter().enumerate() {
        let list = at.key("subjectAltNames");
        cx.require(!name.is_empty(), list.index(index), "must not be empty");
    }
}

/// Judges `tunnel`.
pub(super) fn tunnel(tunnel: &Tunnel, at: At<'_>, cx: &mut Reading<'_>) {
    let fits = matches!(&*tunnel.protocol, "" | "CONNECT" | "POST");
    cx.require(
        fits,
        at.key("protocol"),
        format_args!(
            "tunnel protocol must be \"CONNECT\" or \"POST\", not {:?}",
            tunnel.protocol
        ),
    );
    let host = &*tunnel.target_host;
    let fits = host.parse::<std::net::IpAddr>().is_ok()
        || (syntax::is_host(host) && !host.starts_with('*'));
    cx.require(
        fits,
        at.key("targetHost"),
        "tunnel target host is required: a host name without wildcard, or an address",
    );
    cx.port(at.key("targetPort"), i64::from(tunnel.target_port));
}

/// Judges `localityLbSetting`.
pub(super) fn locality(setting: &LocalitySetting, at: At<'_>, cx: &mut Reading<'_>) {
    let uses = [
        !setting.distribute.is_empty(),
        !setting.failover.is_empty() || !setting.failover_priority.is_empty(),
    ];
    cx.require(
        uses != [true, true],
        at,
        "can not simultaneously specify 'distribute' and 'failover'",
    );
    let list = at.key("distribute");
    for (index, distribute) in setting.distribute.iter().enumerate() {
        let at = list.index(index);
        let mut total: u64 = 0;
        for (locality, weight) in &distribute.to {
            let to = at.key("to");
            let to = to.key(locality);
            cx.require(
                (1..=100).contains(weight),
                to,
                "locality weight must be in range [1, 100]",
            );
            total += u64::from(*weight);
        }
        cx.require(
            total == 100,
            at.key("to"),
            format_args!("total locality weight {total} != 100"),
        );
        let to = at.key("to");
        let names: Vec<&str> = distribute.to.keys().map(|name| &**name).collect();
        for (index, name) in names.iter().enumerate() {
            one_locality(name, names[..index].iter().copied(), to.key(name), cx);
        }
    }
    for (index, distribute) in setting.distribute.iter().enumerate() {
        let before = setting.distribute[..index].iter().map(|one| &*one.from);
        let at = list.index(index);
        one_locality(&distribute.from, before, at.key("from"), cx);
    }
    failover(&setting.failover, at, cx);
}

/// Judges a locality (`region`, `region/zone`, `region/zone/subzone`, `*` for the rest) and whether it
/// shares a place with one before.
fn one_locality<'n>(
    name: &str,
    mut before: impl Iterator<Item = &'n str>,
    at: At<'_>,
    cx: &mut Reading<'_>,
) {
    let stars = name.matches('*').count();
    if stars > 1 || (stars == 1 && !name.ends_with('*')) {
        let message =
            format_args!("locality {name}: there may be one wildcard '*', and only at the end");
        cx.reject(at, message);
    }
    let message = format_args!("locality {name} must not contain empty region/zone/subzone info");
    cx.require(!name.splitn(3, '/').any(str::is_empty), at, message);
    if let Some(other) = before.find(|other| share_a_place(name, other)) {
        cx.reject(at, format_args!("locality {name} overlaps with {other}"));
    }
}

fn share_a_place(a: &str, b: &str) -> bool {
    let parts = a.splitn(3, '/').zip(b.splitn(3, '/'));
    for (a, b) in parts {
        if a == "*" || b == "*" {
            return true;
        }
        if a != b {
            return false;
        }
    }
    // One is the other, or the place the other is in.
    true
}

/// Judges `zoneAwareLbSetting`.
pub(super) fn zone_aware(setting: &ZoneAwareSetting, at: At<'_>, cx: &mut Reading<'_>) {
    failover(&setting.failover, at, cx);
    let fits = setting.min_cluster_size != Some(0);
    cx.require(fits, at.key("minClusterSize"), "must be at least 1");
}

fn failover(written: &[Failover], at: At<'_>, cx: &mut Reading<'_>) {
    let list = at.key("failover");
    for (index, failover) in written.iter().enumerate() {
        let at = list.index(index);
        if failover.from == failover.to {
            let message = format!(
                "locality lb failover settings must specify different regions, not {:?} twice",
                failover.from
            );
            cx.reject(at, message);
        }
        for region in [&failover.from, &failover.to] {
            let fits = !region.contains('*') && !region.contains('/');
            cx.require(
                fits,
                at,
                format_args!("locality lb failover region {region:?} must be a region alone"),
            );
        }
    }
}

/// Judges `warmup`, apart from its duration.
pub(super) fn warmup(warmup: &Warmup, at: At<'_>, cx: &mut Reading<'_>) {
    let fits = warmup
        .minimum_percent
        .is_none_or(|percent| (0.0..=100.0).contains(&percent));
    cx.require(
        fits,
        at.key("minimumPercent"),
        "warmup.minimumPercent value should be in range [0, 100]",
    );
    let fits = warmup.aggression.is_none_or(|aggression| aggression >= 1.0);
    cx.require(
        fits,
        at.key("aggression"),
        "warmup.aggression should be greater than or equal to 1",
    );
}
