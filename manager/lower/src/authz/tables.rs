//! Clauses as a rule set with a table per question.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use weft_abi::{Address, RuleBits, RuleSet, SetPortKey, SetSourceKey};
use weft_decision::{
    Attributes, Subject,
    authorize::{fits_connection, holding},
};
use weft_logic::authz::{self, Decision};
use weft_model::policy::{Action, AuthorizationPolicy, Condition, Policies};

use super::{
    Bank, Provenance,
    clause::{self, Clause, Question},
    range::Prefix,
    verdict::MemoryTables,
};

/// All policy that holds for one workload, as what the maps hold of it. Equal for workloads with the
/// same policies.
#[derive(Debug)]
pub struct RuleTables {
    policies: Vec<Arc<AuthorizationPolicy>>,
    /// The workload's address, where some policy asks for it.
    destination: Option<IpAddr>,
    set: RuleSet,
    clauses: Vec<Clause>,
    sources: BTreeMap<Prefix, RuleBits>,
    any_source: RuleBits,
    ports: BTreeMap<u16, RuleBits>,
    any_port: RuleBits,
    excess: Option<usize>,
}

/// The policies that hold at layer 4 for a workload at an address, in the order they are asked.
/// Those attached by `targetRefs` do not: they are for waypoints and gateways.
pub fn held(policies: &Policies, subject: &Subject<'_>) -> Vec<Arc<AuthorizationPolicy>> {
    let subject = Subject {
        services: &[],
        gateway: None,
        ..*subject
    };
    let held = holding(policies, &subject).into_iter();
    held.filter_map(|policy| policies.authorization.get(&policy.author.name))
        .cloned()
        .collect()
}

impl RuleTables {
    /// What `policies`, from [`held`], ask of connections to `destination`. None without policies:
    /// all pass.
    pub fn new(policies: Vec<Arc<AuthorizationPolicy>>, destination: IpAddr) -> Option<Self> {
        if policies.is_empty() {
            return None;
        }
        let mut clauses = clause::clauses(&policies, destination);
        let asked = clauses.len();
        let mut tables = Self {
            destination: clause::asks_destination(&policies).then_some(destination),
            set: RuleSet::default(),
            sources: BTreeMap::new(),
            any_source: RuleBits::default(),
            ports: BTreeMap::new(),
            any_port: RuleBits::default(),
            excess: (asked > RuleBits::RULES).then_some(asked),
            policies,
            clauses: Vec::new(),
        };
        if tables.excess.is_some() {
            clauses.clear();
        }
        tables.clauses = clauses;
        tables.fill_set();
        tables.fill_sources();
        tables.fill_ports();
        Some(tables)
    }

    /// Whether these are the tables of the same policies (and, where they ask for it, address).
    pub(crate) fn is_of(&self, policies: &[Arc<AuthorizationPolicy>], destination: IpAddr) -> bool {
        self.destination.is_none_or(|own| own == destination) && *self.policies == *policies
    }

    /// Value of `AUTHZ_SETS`.
    pub fn rule_set(&self) -> &RuleSet {
        &self.set
    }

    /// How many clauses the policies have, if more than a set holds: then all is refused.
    pub fn excess(&self) -> Option<usize> {
        self.excess
    }

    /// The policies, in the order they are asked.
    pub fn policies(&self) -> &[Arc<AuthorizationPolicy>] {
        &self.policies
    }

    /// The rule that a clause comes from.
    pub fn provenance(&self, clause: u32) -> Option<Provenance> {
        let clause = self.clauses.get(usize::try_from(clause).ok()?)?;
        let policy = &self.policies[clause.policy];
        Some(Provenance {
            policy: policy.author.name.clone(),
            origin: policy.author.origin.clone(),
            bank: clause.bank,
            rule: clause.rule,
        })
    }

    /// The verdict on a connection: by the tables that the kernel looks into, but for the identity,
    /// which may be one that has no number here. `principal` is without `spiffe://`.
    pub fn decide(&self, principal: Option<&str>, source: IpAddr, port: u16) -> Decision {
        let tables = MemoryTables {
            tables: self,
            identity: self.of_principal(principal),
        };
        // Whatever its number in the maps, there is one set here.
        authz::decide(&tables, 1, 0, &Address::from(source), port)
    }

    /// Clauses that fit an identity; none is a client without.
    pub fn of_principal(&self, principal: Option<&str>) -> RuleBits {
        let attributes = Attributes {
            principal,
            source: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            remote: None,
            destination: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 0,
            server_name: None,
            http: None,
        };
        self.bits(|clause| {
            let fits = |condition: &Condition| fits_connection(condition, &attributes);
            clause.identity.fits(fits)
        })
    }

    /// Clauses that fit identities without an entry of their own. None is ever asked for before its
    /// entry is written; if one were, it would find the stricter answer.
    pub(crate) fn of_others(&self) -> RuleBits {
        let unknown = self.of_principal(None);
        let mut others = self.bits(|clause| clause.identity.is_open());
        for (index, clause) in self.clauses.iter().enumerate() {
            let denies = matches!(clause.bank, Bank::Deny | Bank::DryDeny);
            if denies && unknown.words[index / 64] >> (index % 64) & 1 == 1 {
                mark(&mut others, index);
            }
        }
        others
    }

    /// Clauses that fit a client's address.
    pub(super) fn of_source(&self, source: IpAddr) -> &RuleBits {
        let mut found = &self.any_source;
        // Shorter prefixes come first.
        for (prefix, bits) in &self.sources {
            if *prefix == Prefix::around(source, prefix.length) {
                found = bits;
            }
        }
        found
    }

    /// Clauses that fit a port; 0 is every port that has none of its own.
    pub(super) fn of_port(&self, port: u16) -> Option<&RuleBits> {
        match port {
            0 => Some(&self.any_port),
            port => self.ports.get(&port),
        }
    }

    /// Entries of `AUTHZ_SOURCE`.
    pub(crate) fn source_entries(&self, set: u32) -> BTreeMap<SetSourceKey, RuleBits> {
        let key = |length: u8, address: Address| SetSourceKey {
            prefix_length: SetSourceKey::SET_BITS + u32::from(length),
            set: set.to_be(),
            address,
            reserved: 0,
        };
        let mut entries = BTreeMap::from([(key(0, Address::default()), self.any_source)]);
        let prefixes = self.sources.iter();
        // A range of everything takes the place of the entry for all.
        entries
            .extend(prefixes.map(|(prefix, bits)| (key(prefix.length, prefix.address()), *bits)));
        entries
    }

    /// Entries of `AUTHZ_PORT`.
    pub(crate) fn port_entries(&self, set: u32) -> BTreeMap<SetPortKey, RuleBits> {
        let key = |port| SetPortKey {
            set,
            port,
            reserved: 0,
        };
        let named = self.ports.iter().map(|(port, bits)| (key(*port), *bits));
        named.chain([(key(0), self.any_port)]).collect()
    }

    fn fill_set(&mut self) {
        let set = &mut self.set;
        for (index, clause) in self.clauses.iter().enumerate() {
            let bank = match clause.bank {
                Bank::Deny => &mut set.deny,
                Bank::Allow => &mut set.allow,
                Bank::Audit => &mut set.audit,
                Bank::DryDeny => &mut set.dry_deny,
                Bank::DryAllow => &mut set.dry_allow,
            };
            mark(bank, index);
        }
        for policy in &self.policies {
            set.flags |= match Bank::of(policy) {
                Some(Bank::Allow) => RuleSet::HAS_ALLOW,
                Some(Bank::DryAllow) => RuleSet::HAS_DRY_ALLOW,
                _ => 0,
            };
        }
        if self.excess.is_some() || asks_several(&self.policies) {
            set.flags |= RuleSet::REFUSE_ALL;
        }
    }

    fn fill_sources(&mut self) {
        let questions = self.clauses.iter().map(|clause| &clause.source);
        let mut prefixes: BTreeSet<Prefix> = ranges(questions).collect();
        // Ranges of IPv6 around those of IPv4 do not mean them.
        if prefixes
            .iter()
            .any(|prefix| prefix.surrounds(Prefix::ALL_V4))
        {
            prefixes.insert(Prefix::ALL_V4);
        }
        let within = |prefix: Option<Prefix>| {
            self.bits(|clause| {
                clause.source.fits(|condition| match condition {
                    Condition::SourceAddress(ranges) => ranges.fits(|range| {
                        prefix.is_some_and(|prefix| Prefix::of(range).covers(prefix))
                    }),
                    _ => true,
                })
            })
        };
        let any_source = within(None);
        let sources = prefixes
            .into_iter()
            .map(|prefix| (prefix, within(Some(prefix))))
            .collect();
        self.any_source = any_source;
        self.sources = sources;
    }

    fn fill_ports(&mut self) {
        let conditions = self.clauses.iter().flat_map(|it| it.port.conditions());
        let named: BTreeSet<u16> = conditions
            .filter_map(|condition| match condition {
                Condition::DestinationPort(ports) => Some(ports.any.iter().chain(&ports.none)),
                _ => None,
            })
            .flatten()
            .copied()
            .filter(|port| *port != 0)
            .collect();
        let at = |port: u16| {
            self.bits(|clause| {
                clause.port.fits(|condition| match condition {
                    Condition::DestinationPort(ports) => ports.fits(|other| *other == port),
                    _ => true,
                })
            })
        };
        let any_port = at(0);
        let ports = named.into_iter().map(|port| (port, at(port))).collect();
        self.any_port = any_port;
        self.ports = ports;
    }

    fn bits(&self, fits: impl Fn(&Clause) -> bool) -> RuleBits {
        let mut bits = RuleBits::default();
        for (index, clause) in self.clauses.iter().enumerate() {
            if fits(clause) {
                mark(&mut bits, index);
            }
        }
        bits
    }
}

fn ranges<'a>(questions: impl Iterator<Item = &'a Question>) -> impl Iterator<Item = Prefix> {
    questions
        .flat_map(Question::conditions)
        .filter_map(|condition| match condition {
            Condition::SourceAddress(ranges) => Some(ranges.any.iter().chain(&ranges.none)),
            _ => None,
        })
        .flatten()
        .map(Prefix::of)
}

/// Whether CUSTOM policies of several providers hold: nobody can tell which to ask, so nothing
/// passes. Of one alone layer 4 asks nothing, as Istio's does not; whoever reports problems says so.
fn asks_several(policies: &[Arc<AuthorizationPolicy>]) -> bool {
    let mut providers = policies.iter().filter_map(|policy| match &policy.action {
        Action::Custom(provider) if !policy.is_dry_run => Some(provider),
        _ => None,
    });
    let first = providers.next();
    providers.any(|provider| Some(provider) != first)
}

fn mark(bits: &mut RuleBits, clause: usize) {
    bits.words[clause / 64] |= 1 << (clause % 64);
}
