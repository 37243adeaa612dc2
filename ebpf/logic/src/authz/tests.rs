use std::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

extern crate std;

/// One clause, as policy says it.
#[derive(Clone, Debug)]
struct Clause {
    kind: u8,
    identities: Vec<u32>,
    /// Also identities that no clause names.
    others: bool,
    /// Prefixes of IPv4 addresses; none fits all.
    sources: Vec<(u8, u8)>,
    /// None fits all.
    ports: Vec<u16>,
}

impl Clause {
    fn anyone(kind: u8) -> Self {
        Self {
            kind,
            identities: (0..IDENTITIES).collect(),
            others: true,
            sources: Vec::new(),
            ports: Vec::new(),
        }
    }

    fn fits_identity(&self, identity: u32) -> bool {
        self.identities.contains(&identity) || (identity >= IDENTITIES && self.others)
    }

    fn fits_source(&self, source: u8) -> bool {
        self.sources.is_empty()
            || self
                .sources
                .iter()
                .any(|(value, bits)| covers(*value, *bits, source))
    }

    fn fits_port(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.contains(&port)
    }

    fn fits(&self, identity: u32, source: u8, port: u16) -> bool {
        self.fits_identity(identity) && self.fits_source(source) && self.fits_port(port)
    }
}

const DENY: u8 = 0;
const ALLOW: u8 = 1;
const AUDIT: u8 = 2;
const DRY_DENY: u8 = 3;
const DRY_ALLOW: u8 = 4;
/// Identities with entries of their own are below.
const IDENTITIES: u32 = 4;
const SET: u32 = 7;

fn covers(value: u8, bits: u8, source: u8) -> bool {
    bits == 0 || (value ^ source) >> (8 - bits) == 0
}

fn address(last: u8) -> Address {
    Address::v4([10, 0, 0, last])
}

/// Value and bits of the last byte; none is everywhere.
type Prefix = Option<(u8, u8)>;

/// Tables as a compiler would fill them.
#[derive(Clone, Default)]
struct Memory {
    sets: BTreeMap<u32, RuleSet>,
    identities: BTreeMap<SetIdentityKey, RuleBits>,
    sources: Vec<(u32, Prefix, RuleBits)>,
    ports: BTreeMap<SetPortKey, RuleBits>,
}

impl AuthzTables for Memory {
    fn rules(&self, set: u32) -> Option<&RuleSet> {
        self.sets.get(&set)
    }

    fn by_identity(&self, key: &SetIdentityKey) -> Option<&RuleBits> {
        self.identities.get(key)
    }

    fn by_source(&self, key: &SetSourceKey) -> Option<&RuleBits> {
        assert_eq!(key.prefix_length, 160);
        let last = key.address.bytes[15];
        self.sources
            .iter()
            .filter(|(set, prefix, _)| {
                set.to_be() == key.set
                    && prefix.is_none_or(|(value, bits)| covers(value, bits, last))
            })
            .max_by_key(|(_, prefix, _)| prefix.map_or(0, |(_, bits)| bits + 1))
            .map(|(_, _, bits)| bits)
    }

    fn by_port(&self, key: &SetPortKey) -> Option<&RuleBits> {
        self.ports.get(key)
    }
}

fn bits(clauses: &[Clause], fits: impl Fn(&Clause) -> bool) -> RuleBits {
    let mut bits = RuleBits::default();
    for (index, _) in clauses.iter().enumerate().filter(|(_, one)| fits(one)) {
        bits.words[index / 64] |= 1 << (index % 64);
    }
    bits
}

fn compile(clauses: &[Clause]) -> Memory {
    let mut memory = Memory::default();
    let of = |kind| bits(clauses, |clause| clause.kind == kind);
    let has = |kind, flag| {
        let any = clauses.iter().any(|clause| clause.kind == kind);
        if any { flag } else { 0 }
    };
    let rules = RuleSet {
        deny: of(DENY),
        allow: of(ALLOW),
        audit: of(AUDIT),
        dry_deny: of(DRY_DENY),
        dry_allow: of(DRY_ALLOW),
        flags: has(ALLOW, RuleSet::HAS_ALLOW) | has(DRY_ALLOW, RuleSet::HAS_DRY_ALLOW),
        reserved: 0,
    };
    memory.sets.insert(SET, rules);
    for identity in (0..IDENTITIES).chain([SetIdentityKey::OTHERS]) {
        let key = SetIdentityKey { set: SET, identity };
        let fits = bits(clauses, |clause| clause.fits_identity(identity));
        memory.identities.insert(key, fits);
    }
    let everywhere = bits(clauses, |clause| clause.sources.is_empty());
    memory.sources.push((SET, None, everywhere));
    for (value, length) in clauses.iter().flat_map(|clause| &clause.sources) {
        let inside = bits(clauses, |clause| {
            clause.sources.is_empty()
                || clause
                    .sources
                    .iter()
                    .any(|(around, outer)| outer <= length && covers(*around, *outer, *value))
        });
        memory.sources.push((SET, Some((*value, *length)), inside));
    }
    for port in clauses.iter().flat_map(|clause| &clause.ports).chain([&0]) {
        let key = SetPortKey {
            set: SET,
            port: *port,
            reserved: 0,
        };
        memory
            .ports
            .insert(key, bits(clauses, |clause| clause.fits_port(*port)));
    }
    memory
}

/// The same decision, rule by rule.
fn reference(clauses: &[Clause], identity: u32, source: u8, port: u16) -> Decision {
    let first = |kind| {
        clauses
            .iter()
            .position(|one| one.kind == kind && one.fits(identity, source, port))
            .map_or(Decision::NONE, |index| index as u32)
    };
    let has = |kind| clauses.iter().any(|one| one.kind == kind);
    let (deny, allow) = (first(DENY), first(ALLOW));
    let (verdict, clause) = match (deny, allow) {
        (Decision::NONE, Decision::NONE) if has(ALLOW) => (Verdict::Deny, HitKey::NOTHING),
        (Decision::NONE, allow) => (Verdict::Allow, allow),
        (deny, _) => (Verdict::Deny, deny),
    };
    let dry_run = match (first(DRY_DENY), first(DRY_ALLOW)) {
        (Decision::NONE, Decision::NONE) if has(DRY_ALLOW) => HitKey::DRY_NOTHING,
        (deny, _) => deny,
    };
    Decision {
        verdict,
        clause,
        dry_run,
        audit: first(AUDIT),
    }
}

fn clause() -> impl Strategy<Value = Clause> {
    (
        0..5u8,
        proptest::collection::vec(0..IDENTITIES, 0..3),
        any::<bool>(),
        proptest::collection::vec((any::<u8>(), 0..=8u8), 0..3),
        proptest::collection::vec(1..4u16, 0..2),
    )
        .prop_map(|(kind, identities, others, sources, ports)| Clause {
            kind,
            identities,
            others,
            sources,
            ports,
        })
}

proptest! {
    #[test]
    fn intersected_tables_say_what_the_rules_say_one_by_one(
        clauses in proptest::collection::vec(clause(), 0..130),
        identity in 0..IDENTITIES + 2,
        source: u8,
        port in 1..6u16,
    ) {
        let decision = decide(&compile(&clauses), SET, identity, &address(source), port);
        prop_assert_eq!(decision, reference(&clauses, identity, source, port));
    }

    #[test]
    fn one_more_deny_never_lets_more_in(
        clauses in proptest::collection::vec(clause(), 0..20),
        more in clause(),
        identity in 0..IDENTITIES + 2,
        source: u8,
        port in 1..6u16,
    ) {
        let before = decide(&compile(&clauses), SET, identity, &address(source), port);
        let mut with = clauses;
        with.push(Clause { kind: DENY, ..more });
        let after = decide(&compile(&with), SET, identity, &address(source), port);
        prop_assert!(before.verdict == Verdict::Allow || after.verdict == Verdict::Deny);
    }
}

#[test]
fn without_a_set_all_are_let_in() {
    assert_eq!(
        decide(&Memory::default(), 0, 3, &address(1), 80),
        Decision::ALLOWED
    );
}

#[test]
fn a_set_that_is_not_there_refuses() {
    assert_eq!(
        decide(&compile(&[]), SET + 1, 3, &address(1), 80),
        Decision::REFUSED
    );
}

#[test]
fn a_set_that_lacks_any_table_refuses() {
    let whole = compile(&[Clause::anyone(ALLOW)]);
    let decide = |memory: &Memory, identity| decide(memory, SET, identity, &address(1), 80).verdict;
    assert_eq!(decide(&whole, 1), Verdict::Allow);
    let mut broken = whole.clone();
    broken.sources.clear();
    assert_eq!(decide(&broken, 1), Verdict::Deny);
    let mut broken = whole.clone();
    broken.ports.clear();
    assert_eq!(decide(&broken, 1), Verdict::Deny);
    let mut broken = whole;
    broken.identities.remove(&SetIdentityKey {
        set: SET,
        identity: 0,
    });
    assert_eq!(decide(&broken, 0), Verdict::Deny, "unknown is not another");
    assert_eq!(decide(&broken, 9), Verdict::Allow);
    broken.identities.clear();
    assert_eq!(decide(&broken, 9), Verdict::Deny);
}

#[test]
fn a_set_that_refuses_all_does_so_whatever_else_it_says() {
    let mut memory = compile(&[Clause::anyone(ALLOW)]);
    memory.sets.get_mut(&SET).expect("the set").flags |= RuleSet::REFUSE_ALL;
    assert_eq!(decide(&memory, SET, 1, &address(1), 80), Decision::REFUSED);
}

#[test]
fn the_last_clause_of_a_full_set_counts() {
    let mut clauses = std::vec![
        Clause { ports: std::vec![81], ..Clause::anyone(ALLOW) };
        RuleBits::RULES - 1
    ];
    clauses.push(Clause::anyone(DENY));
    let decision = decide(&compile(&clauses), SET, 1, &address(1), 80);
    assert_eq!((decision.verdict, decision.clause), (Verdict::Deny, 511));
}
