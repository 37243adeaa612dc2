//! What a rule set says of a connection.

use weft_abi::{HitKey, RuleBits, RuleSet};

/// What a rule set says of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// Whether it may pass.
    pub is_allowed: bool,
    /// The clause that decided; [`HitKey::NOTHING`] when ALLOW policies hold and none fits, or all is
    /// refused; `None` when no clause asks for anything.
    pub clause: Option<u32>,
    /// The first AUDIT clause that fits.
    pub audit: Option<u32>,
    /// What dry-run policies would refuse it for: a clause, or [`HitKey::DRY_NOTHING`].
    pub dry_refusal: Option<u32>,
}

/// The verdict, given the clauses that fit a connection.
pub(super) fn judge(set: &RuleSet, fitting: &RuleBits) -> Judgement {
    let first = |bank: &RuleBits| first(&both(bank, fitting));
    let (is_allowed, clause) = if set.flags & RuleSet::REFUSE_ALL != 0 {
        (false, Some(HitKey::NOTHING))
    } else if let Some(denied) = first(&set.deny) {
        (false, Some(denied))
    } else if let Some(allowed) = first(&set.allow) {
        (true, Some(allowed))
    } else if set.flags & RuleSet::HAS_ALLOW != 0 {
        (false, Some(HitKey::NOTHING))
    } else {
        (true, None)
    };
    let dry_nothing = set.flags & RuleSet::HAS_DRY_ALLOW != 0 && first(&set.dry_allow).is_none();
    let dry_refusal = first(&set.dry_deny).or(dry_nothing.then_some(HitKey::DRY_NOTHING));
    Judgement {
        is_allowed,
        clause,
        audit: first(&set.audit),
        dry_refusal,
    }
}

/// Bits set in both.
pub(super) fn both(a: &RuleBits, b: &RuleBits) -> RuleBits {
    RuleBits {
        words: std::array::from_fn(|word| a.words[word] & b.words[word]),
    }
}

fn first(bits: &RuleBits) -> Option<u32> {
    let words = (0_u32..).zip(&bits.words);
    let mut set = words.filter(|(_, word)| **word != 0);
    set.next()
        .map(|(index, word)| index * 64 + word.trailing_zeros())
}

pub(super) fn set(bits: &mut RuleBits, clause: usize) {
    bits.words[clause / 64] |= 1 << (clause % 64);
}
