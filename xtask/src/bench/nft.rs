//! The comparison: nftables DNAT, written as kube-proxy writes it. One verdict map from
//! destination to the service's chain, which draws a number for an endpoint's chain, which
//! translates. In a namespace of its own, since its connection tracking taxes all traffic there.

use std::{fmt::Write as _, process::Command, time::Instant};

use anyhow::{Context, Result, ensure};
use weft_testkit::Place;

use super::{
    Effort,
    arena::{self, Arena, BACKENDS, PORT},
    connect::{Names, Side, compare},
    rows::Row,
    worker::{CLIENT_CPU, Worker},
};

/// Through nftables against direct; also the time to load the rules.
pub(super) fn measure(
    arena: &mut Arena,
    effort: &Effort,
    size: u32,
    rows: &mut Vec<Row>,
) -> Result<()> {
    let name = format!("nft{size}");
    let client = arena.rig.namespace(&name)?;
    arena.rig.link(&client, "eth0", &arena.server, &name)?;
    // A /32 route back, since the backends' network is on the server's other interface.
    client.address("eth0", "10.89.0.1/32")?;
    client.ip(&["route", "add", "10.88.0.0/24", "dev", "eth0"])?;
    client.route("10.96.0.0/16", arena::backend_address(0).into())?;
    arena
        .server
        .ip(&["route", "add", "10.89.0.1/32", "dev", &name])?;

    let rules = arena.rig.directory().join(format!("{name}.nft"));
    std::fs::write(&rules, ruleset(size)).context("write the ruleset")?;
    let begin = Instant::now();
    load(&Place::outside(&client), &rules)?;
    let seconds = begin.elapsed().as_secs_f64();

    let _listening = arena::accept_and_close(&arena.server)?;
    let translated = Worker::start(&Place::outside(&client), CLIENT_CPU);
    let nft = Side {
        worker: &translated,
        target: arena::vip,
        size,
    };
    let direct = Side {
        worker: &arena.direct,
        target: arena::backend,
        size,
    };
    rows.extend(compare(&nft, &direct, effort, &Names::of("nft", size))?);
    rows.push(Row::alone(
        &format!("nft-load-{size}"),
        "seconds to load the rules",
        &[seconds],
    ));
    drop(translated);
    // Removes the veth pair's other end, and the route through it, as well.
    client.ip(&["link", "del", "eth0"])
}

fn load(place: &Place, rules: &std::path::Path) -> Result<()> {
    let mut nft: Command = place.command("nft");
    let output = nft.arg("-f").arg(rules).output().context("run nft")?;
    ensure!(
        output.status.success(),
        "nft refuses the ruleset: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// After the `nftables` mode of kube-proxy
/// (<https://github.com/kubernetes/kubernetes/blob/v1.33.0/pkg/proxy/nftables/proxier.go>), with
/// its masquerade marks.
fn ruleset(size: u32) -> String {
    let mut rules = String::from("table ip kube-proxy {\n");
    for number in 0..size {
        for endpoint in 0..BACKENDS {
            let address = arena::backend_address(u32::from(endpoint));
            put(
                &mut rules,
                format_args!(
                    "chain endpoint-{number}-{endpoint} {{ ip saddr {address} jump mark-for-masquerade; \
                     meta l4proto tcp dnat to {address}:{PORT}; }}\n"
                ),
            );
        }
        let vip = arena::vip_address(number);
        put(
            &mut rules,
            format_args!(
                "chain service-{number} {{ ip daddr {vip} tcp dport 80 ip saddr != 10.88.0.0/15 \
                 jump mark-for-masquerade; numgen random mod {BACKENDS} vmap {{"
            ),
        );
        for endpoint in 0..BACKENDS {
            let comma = if endpoint == 0 { "" } else { "," };
            put(
                &mut rules,
                format_args!("{comma} {endpoint} : goto endpoint-{number}-{endpoint}"),
            );
        }
        rules.push_str(" }; }\n");
    }
    rules.push_str(FRAME);
    rules.push_str("map service-ips { type ipv4_addr . inet_proto . inet_service : verdict;\n");
    rules.push_str("elements = {\n");
    for number in 0..size {
        let vip = arena::vip_address(number);
        put(
            &mut rules,
            format_args!("{vip} . tcp . 80 : goto service-{number},\n"),
        );
    }
    rules.push_str("}}\n}\n");
    rules
}

const FRAME: &str = "\
chain mark-for-masquerade { mark set mark or 0x4000; }
chain services { ip daddr . meta l4proto . th dport vmap @service-ips; }
chain nat-output { type nat hook output priority -100; policy accept; jump services; }
chain nat-prerouting { type nat hook prerouting priority dstnat; policy accept; jump services; }
chain masquerading { mark and 0x4000 == 0 return; mark set mark xor 0x4000; masquerade fully-random; }
chain nat-postrouting { type nat hook postrouting priority srcnat; policy accept; jump masquerading; }
";

fn put(rules: &mut String, text: std::fmt::Arguments<'_>) {
    rules
        .write_fmt(text)
        .expect("writing to a String cannot fail");
}
