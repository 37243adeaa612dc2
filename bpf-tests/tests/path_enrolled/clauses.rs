//! Clauses in every word of a rule set: the kernel's own decision is the one user space takes.

use std::collections::BTreeMap;

use weft_abi::{Address, EventKind, RuleBits, RuleSet, SetIdentityKey, SetPortKey, SetSourceKey};
use weft_logic::authz::{Decision, Fit, Verdict};
use weft_lower::MapOp;

use crate::town::{A, PORT, SET, Server, Town, at, reaches, refused};

const ROUNDS: u32 = 96;

/// Numbers that are the same in every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Three of four clauses.
    fn most(&mut self) -> RuleBits {
        RuleBits {
            words: [(); 8].map(|()| self.next() | self.next()),
        }
    }

    /// Three clauses at most.
    fn few(&mut self) -> RuleBits {
        let mut bits = RuleBits::default();
        for _ in 0..self.next() % 4 {
            let clause = self.next() as usize % RuleBits::RULES;
            bits.words[clause / 64] |= 1 << (clause % 64);
        }
        bits
    }

    fn rules(&mut self) -> RuleSet {
        RuleSet {
            deny: self.few(),
            allow: self.few(),
            audit: self.few(),
            dry_deny: self.few(),
            dry_allow: self.few(),
            flags: self.next() as u32 & (RuleSet::HAS_ALLOW | RuleSet::HAS_DRY_ALLOW),
            reserved: 0,
        }
    }
}

#[test]
fn the_kernel_decides_as_user_space_does_by_clauses_in_every_word() {
    let Some(town) = Town::or_skip() else { return };
    let _server = Server::start(&town, &town.b, at(&town.b));
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut decided = [false; 8];
    for set in SET..SET + ROUNDS {
        let rules = numbers.rules();
        let [by_identity, by_source, by_port] = [(); 3].map(|()| numbers.most());
        let fit = Fit {
            by_identity: &by_identity,
            by_source: &by_source,
            by_port: &by_port,
        };
        town.apply(write(set, &fit, &rules));
        town.put_peer(&town.b, |peer| peer.set = set);
        let wanted = fit.judge(&rules);
        let events = town.events(|| match (wanted.verdict, town.dial(&town.a, at(&town.b))) {
            (Verdict::Allow, answer) => drop(reaches(answer)),
            (Verdict::Deny, answer) => refused(answer),
        });
        let told: Vec<_> = events.iter().map(|one| (one.kind, one.clause)).collect();
        assert_eq!(told, tells(&wanted), "{wanted:?} of {rules:?}");
        assert_eq!(hits(&town, set), counts(&wanted), "{wanted:?} of {rules:?}");
        if let Some(word) = decided.get_mut(wanted.clause as usize / 64) {
            *word = true;
        }
    }
    assert_eq!(decided, [true; 8], "a clause of every word has decided");
}

/// A set in which everything about `a`'s connections is as in `fit`, and nothing else fits.
fn write(set: u32, fit: &Fit<'_>, rules: &RuleSet) -> Vec<MapOp> {
    let none = RuleBits::default();
    let identity = |identity, bits| MapOp::PutSetIdentity(SetIdentityKey { set, identity }, bits);
    let port = |port, bits| {
        let key = SetPortKey {
            set,
            port,
            reserved: 0,
        };
        MapOp::PutSetPort(key, bits)
    };
    let everywhere = SetSourceKey {
        prefix_length: SetSourceKey::SET_BITS,
        set: set.to_be(),
        address: Address::default(),
        reserved: 0,
    };
    vec![
        identity(0, none),
        identity(SetIdentityKey::OTHERS, none),
        identity(A, *fit.by_identity),
        MapOp::PutSetSource(everywhere, *fit.by_source),
        port(0, none),
        port(PORT, *fit.by_port),
        MapOp::PutSet(set, Box::new(*rules)),
    ]
}

/// The events a decision makes, and their clauses.
fn tells(decision: &Decision) -> Vec<(u32, u32)> {
    let denied = match decision.verdict {
        Verdict::Allow => Decision::NONE,
        Verdict::Deny => decision.clause,
    };
    [
        (EventKind::AUDIT, decision.audit),
        (EventKind::DRY_RUN, decision.dry_run),
        (EventKind::DENIED, denied),
    ]
    .into_iter()
    .filter(|(_, clause)| *clause != Decision::NONE)
    .collect()
}

/// What a decision adds to the clauses' counts.
fn counts(decision: &Decision) -> BTreeMap<u32, u64> {
    let mut counts = BTreeMap::new();
    for clause in [decision.audit, decision.dry_run, decision.clause] {
        if clause != Decision::NONE {
            *counts.entry(clause).or_default() += 1;
        }
    }
    counts
}

fn hits(town: &Town, set: u32) -> BTreeMap<u32, u64> {
    let hits = town.plane().maps().authz_hits().unwrap();
    hits.into_iter()
        .filter(|(key, _)| key.set == set)
        .map(|(key, count)| (key.clause, count))
        .collect()
}
