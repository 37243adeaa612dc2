//! Contents of the mesh's maps as text.

use std::{
    fmt::{self, Write},
    net::IpAddr,
};

use weft_abi::{Enrolment, ExcludedKey, Peer, RuleBits, RuleSet, SetIdentityKey};
use weft_lower::{MapOp, MeshPlan, MeshPlanner, Registry};

/// The writes in their order, with numbers resolved.
pub(crate) fn render_mesh(plan: &MeshPlan, meshes: &MeshPlanner, registry: &Registry) -> String {
    let mut text = String::new();
    for (number, principal) in meshes.names().principals() {
        writeln!(text, "identity {number} {principal}").unwrap();
    }
    for op in plan.before.iter().chain(&plan.after) {
        write_op(&mut text, op, meshes, registry);
    }
    for problem in &plan.problems {
        writeln!(text, "problem {problem} ({})", problem.code).unwrap();
    }
    text
}

fn write_op(text: &mut String, op: &MapOp, meshes: &MeshPlanner, registry: &Registry) {
    match op {
        MapOp::PutSet(id, set) => write_set(text, *id, set, meshes),
        MapOp::PutSetIdentity(key, bits) => {
            let who = match key.identity {
                0 => "unknown".into(),
                SetIdentityKey::OTHERS => "others".into(),
                number => meshes.names().principal(number).unwrap().to_string(),
            };
            writeln!(text, "set {} from {who}: {}", key.set, Bits(bits))
        }
        MapOp::PutSetSource(key, bits) => {
            let length = key.prefix_length - 32;
            let address = std::net::Ipv6Addr::from(key.address.bytes);
            let set = u32::from_be(key.set);
            writeln!(text, "set {set} at {address}/{length}: {}", Bits(bits))
        }
        MapOp::PutSetPort(key, bits) => {
            writeln!(text, "set {} port {}: {}", key.set, key.port, Bits(bits))
        }
        MapOp::PutPeer(address, peer) => writeln!(
            text,
            "peer {} identity {} netns {} set {} mode {}{}",
            IpAddr::from(*address),
            peer.identity,
            peer.netns,
            peer.set,
            mode(peer.mode.into()),
            flags(
                peer.flags,
                &[
                    (Peer::HERE, "here"),
                    (Peer::READY, "ready"),
                    (Peer::HBONE, "hbone"),
                    (Peer::PORT_MODES, "port modes"),
                    (Peer::ENCRYPT_LOCAL, "encrypt local"),
                    (Peer::BYPASS_INBOUND, "bypass inbound"),
                ]
            ),
        ),
        MapOp::PutPortMode(key, number) => {
            let address = IpAddr::from(key.address);
            writeln!(text, "port {address} {} mode {}", key.port, mode(*number))
        }
        MapOp::PutEnrolment(netns, it) => writeln!(
            text,
            "enrolled {netns} identity {} workload {} proxy {}{}",
            it.identity,
            it.workload,
            it.proxy_port,
            flags(
                it.flags,
                &[
                    (Enrolment::READY, "ready"),
                    (Enrolment::HOLD, "hold"),
                    (Enrolment::ENCRYPT_LOCAL, "encrypt local"),
                    (Enrolment::BYPASS_OUTBOUND, "bypass outbound"),
                    (Enrolment::EXCLUDES, "excludes"),
                ]
            ),
        ),
        MapOp::PutExcluded(key, value) => {
            let length = key.prefix_length - ExcludedKey::PLACE_BITS;
            let address = std::net::Ipv6Addr::from(key.address.bytes);
            let (netns, port) = (key.netns, key.port);
            writeln!(
                text,
                "excluded {netns} port {port} {address}/{length}: {value}"
            )
        }
        MapOp::PutClientLimit(pool, limit) => writeln!(
            text,
            "limit pool {pool} {}: {} per second, burst {}, {} at once",
            registry.pool(*pool).unwrap(),
            limit.per_second,
            limit.burst,
            limit.concurrent,
        ),
        other => panic!("not of the mesh, or nothing to delete in empty maps: {other:?}"),
    }
    .unwrap();
}

fn write_set(text: &mut String, id: u32, set: &RuleSet, meshes: &MeshPlanner) -> fmt::Result {
    let flags = flags(
        set.flags,
        &[
            (RuleSet::HAS_ALLOW, "has allow"),
            (RuleSet::HAS_DRY_ALLOW, "has dry allow"),
            (RuleSet::REFUSE_ALL, "refuse all"),
        ],
    );
    writeln!(text, "set {id}{flags}")?;
    let tables = meshes.tables(id).unwrap();
    for clause in 0.. {
        let Some(from) = tables.provenance(clause) else {
            break;
        };
        writeln!(
            text,
            "  clause {clause} {:?} {} rule {} at {}:{}",
            from.bank, from.policy, from.rule, from.origin.file, from.origin.line,
        )?;
    }
    Ok(())
}

fn mode(number: u32) -> &'static str {
    ["disable", "permissive", "strict", "excluded"][usize::try_from(number).unwrap()]
}

fn flags(flags: u32, names: &[(u32, &str)]) -> String {
    let set = names.iter().filter(|(flag, _)| flags & flag != 0);
    set.map(|(_, name)| format!(", {name}")).collect()
}

struct Bits<'a>(&'a RuleBits);

impl fmt::Display for Bits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = |clause: usize| self.0.words[clause / 64] >> (clause % 64) & 1 == 1;
        let set: Vec<String> = (0..RuleBits::RULES)
            .filter(|clause| has(*clause))
            .map(|clause| clause.to_string())
            .collect();
        f.write_str(&if set.is_empty() {
            "none".into()
        } else {
            set.join(" ")
        })
    }
}
