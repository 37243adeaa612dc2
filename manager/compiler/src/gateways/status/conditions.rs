//! Conditions of one object.

use weft_api::Object;
use weft_model::status::Condition;

use crate::gateways::Refusal;

/// Conditions of one object, in order.
pub(in crate::gateways) struct Conditions {
    conditions: Vec<Condition>,
    observed_generation: Option<i64>,
}

impl Conditions {
    pub(in crate::gateways) fn of(object: &Object) -> Self {
        Self {
            conditions: Vec::new(),
            observed_generation: object.generation,
        }
    }

    /// A condition that is good when it holds; `reason` says so when nothing speaks against it.
    pub(in crate::gateways) fn positive(
        &mut self,
        condition_type: &'static str,
        reason: &'static str,
        refusal: Option<&Refusal>,
    ) {
        let why = refusal.cloned();
        let holds = why.is_none();
        self.push(
            condition_type,
            holds,
            why.unwrap_or(Refusal::new(reason, "")),
        );
    }

    pub(in crate::gateways) fn push(
        &mut self,
        condition_type: &'static str,
        status: bool,
        why: Refusal,
    ) {
        self.conditions.push(Condition {
            condition_type,
            status,
            reason: why.reason,
            message: why.message,
            observed_generation: self.observed_generation,
        });
    }

    pub(in crate::gateways) fn into_inner(self) -> Vec<Condition> {
        self.conditions
    }
}
