//! Whether a connection is let in: one rule set, matched dimension by dimension.
//!
//! DENY comes first; then, with no ALLOW policy, all is let in; then what an ALLOW clause fits;
//! the rest is refused. What cannot be looked up is refused.

use weft_abi::{Address, HitKey, RuleBits, RuleSet, SetIdentityKey, SetPortKey, SetSourceKey};

/// What a decision looks up. The kernel implements it with maps, the proxy and tests with tables.
pub trait AuthzTables {
    /// `AUTHZ_SETS[set]`.
    fn rules(&self, set: u32) -> Option<&RuleSet>;
    /// `AUTHZ_IDENTITY[key]`, this very entry.
    fn by_identity(&self, key: &SetIdentityKey) -> Option<&RuleBits>;
    /// `AUTHZ_SOURCE[key]`, the entry with the longest prefix of the key's `prefix_length` bits.
    fn by_source(&self, key: &SetSourceKey) -> Option<&RuleBits>;
    /// `AUTHZ_PORT[key]`, this very entry.
    fn by_port(&self, key: &SetPortKey) -> Option<&RuleBits>;
    /// [`Fit::judge`]. The kernel makes a function of it that its verifier reads once.
    #[inline(always)]
    fn judge(&self, fit: &Fit<'_>, rules: &RuleSet) -> Decision {
        fit.judge(rules)
    }
}

/// Whether a connection is let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is.
    Allow,
    /// It is not.
    Deny,
}

/// What policy says of one connection. Clauses are numbers, or constants of [`HitKey`] and
/// [`Decision::NONE`]; numbers and not `Option`s, since the kernel half keeps them in registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// Whether it is let in.
    pub verdict: Verdict,
    /// What decided: the DENY or ALLOW clause, [`HitKey::NOTHING`] when no ALLOW clause fitted or
    /// the set is missing or refuses all, [`Self::NONE`] when it is let in for want of policy.
    pub clause: u32,
    /// What dry-run policies alone would have refused it for: a DENY clause, or
    /// [`HitKey::DRY_NOTHING`]. [`Self::NONE`] when they would not.
    pub dry_run: u32,
    /// The first AUDIT clause that fits, or [`Self::NONE`].
    pub audit: u32,
}

impl Decision {
    /// No clause.
    pub const NONE: u32 = u32::MAX - 2;

    /// Let in, and nothing to say.
    pub const ALLOWED: Self = Self {
        verdict: Verdict::Allow,
        clause: Self::NONE,
        dry_run: Self::NONE,
        audit: Self::NONE,
    };

    /// Refused, and no clause to name.
    pub const REFUSED: Self = Self {
        verdict: Verdict::Deny,
        clause: HitKey::NOTHING,
        dry_run: Self::NONE,
        audit: Self::NONE,
    };
}

/// Decides on a connection under rule set `set` (0 lets all in). `identity` is the client's number,
/// 0 when it has none or none is known; `port` is the server's, host order.
#[inline(always)]
pub fn decide(
    tables: &impl AuthzTables,
    set: u32,
    identity: u32,
    source: &Address,
    port: u16,
) -> Decision {
    if set == 0 {
        return Decision::ALLOWED;
    }
    let Some(rules) = tables.rules(set) else {
        return Decision::REFUSED;
    };
    if rules.flags & RuleSet::REFUSE_ALL != 0 {
        return Decision::REFUSED;
    }
    let Some(by_identity) = identity_bits(tables, set, identity) else {
        return Decision::REFUSED;
    };
    let Some(by_port) = port_bits(tables, set, port) else {
        return Decision::REFUSED;
    };
    let key = SetSourceKey {
        prefix_length: SetSourceKey::ADDRESS_BITS,
        set: set.to_be(),
        address: *source,
        reserved: 0,
    };
    let Some(by_source) = tables.by_source(&key) else {
        return Decision::REFUSED;
    };
    let fit = Fit {
        by_identity,
        by_source,
        by_port,
    };
    tables.judge(&fit, rules)
}

/// The clauses that fit an identity.
#[inline(always)]
fn identity_bits(tables: &impl AuthzTables, set: u32, identity: u32) -> Option<&RuleBits> {
    let own = SetIdentityKey { set, identity };
    match tables.by_identity(&own) {
        Some(bits) => Some(bits),
        // A client without identity is none of the others: it has an entry in every set.
        None if identity == 0 => None,
        None => tables.by_identity(&SetIdentityKey {
            set,
            identity: SetIdentityKey::OTHERS,
        }),
    }
}

/// The clauses that fit a port.
#[inline(always)]
fn port_bits(tables: &impl AuthzTables, set: u32, port: u16) -> Option<&RuleBits> {
    let key = |port| SetPortKey {
        set,
        port,
        reserved: 0,
    };
    match tables.by_port(&key(port)) {
        Some(bits) => Some(bits),
        None => tables.by_port(&key(0)),
    }
}

/// The clauses that fit a connection: those in all three.
#[derive(Clone, Copy, Debug)]
pub struct Fit<'a> {
    /// Clauses that fit the client's identity.
    pub by_identity: &'a RuleBits,
    /// Clauses that fit its address.
    pub by_source: &'a RuleBits,
    /// Clauses that fit the server's port.
    pub by_port: &'a RuleBits,
}

impl Fit<'_> {
    /// What a set's policies say of such a connection.
    #[inline(always)]
    pub fn judge(&self, rules: &RuleSet) -> Decision {
        let fit = self.in_all();
        let mut decision = Decision {
            audit: first(&fit, &rules.audit),
            dry_run: first(&fit, &rules.dry_deny),
            ..Decision::ALLOWED
        };
        if decision.dry_run == Decision::NONE
            && rules.flags & RuleSet::HAS_DRY_ALLOW != 0
            && first(&fit, &rules.dry_allow) == Decision::NONE
        {
            decision.dry_run = HitKey::DRY_NOTHING;
        }
        let denied = first(&fit, &rules.deny);
        if denied != Decision::NONE {
            decision.verdict = Verdict::Deny;
            decision.clause = denied;
        } else if rules.flags & RuleSet::HAS_ALLOW != 0 {
            decision.clause = first(&fit, &rules.allow);
            if decision.clause == Decision::NONE {
                decision.verdict = Verdict::Deny;
                decision.clause = HitKey::NOTHING;
            }
        }
        decision
    }

    #[inline(always)]
    fn in_all(&self) -> RuleBits {
        let mut fit = *self.by_identity;
        let mut index = 0;
        while index < fit.words.len() {
            fit.words[index] &= self.by_source.words[index] & self.by_port.words[index];
            index += 1;
        }
        fit
    }
}

/// The first clause of `kind` among those that fit, or [`Decision::NONE`].
#[inline(always)]
fn first(fit: &RuleBits, kind: &RuleBits) -> u32 {
    let mut index = 0;
    while index < kind.words.len() {
        let bits = kind.words[index] & fit.words[index];
        if bits != 0 {
            return index as u32 * u64::BITS + bits.trailing_zeros();
        }
        index += 1;
    }
    Decision::NONE
}

#[cfg(test)]
mod tests;
