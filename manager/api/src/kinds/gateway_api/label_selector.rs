//! Label selectors with expressions.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

/// Chooses objects by their labels: all conditions must hold, none chooses everything.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels that must be there.
    pub match_labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Other conditions.
    pub match_expressions: Vec<Requirement>,
}

/// A condition on one label.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Requirement {
    /// Label key.
    pub key: Arc<str>,
    /// What about it.
    pub operator: SelectorOperator,
    /// For `In` and `NotIn`.
    #[serde(default)]
    pub values: Vec<Arc<str>>,
}

/// What a condition says about a label.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub enum SelectorOperator {
    /// It has one of the values.
    In,
    /// It is absent or has none of the values.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
    /// Not an operator: such a selector is not valid.
    #[serde(untagged)]
    Unknown(Arc<str>),
}

impl LabelSelector {
    /// Why the selector is not valid: Kubernetes takes it in a Gateway all the same.
    pub fn fault(&self) -> Option<&'static str> {
        let fault = |requirement: &Requirement| match requirement.operator {
            SelectorOperator::In | SelectorOperator::NotIn if requirement.values.is_empty() => {
                Some("for In and NotIn, values must be given")
            }
            SelectorOperator::Exists | SelectorOperator::DoesNotExist
                if !requirement.values.is_empty() =>
            {
                Some("for Exists and DoesNotExist, values must not be given")
            }
            SelectorOperator::Unknown(_) => {
                Some("the operator must be In, NotIn, Exists or DoesNotExist")
            }
            _ => None,
        };
        self.match_expressions.iter().find_map(fault)
    }

    /// Whether an object is chosen; `label` finds the value of a key. A selector that is not valid
    /// chooses nothing.
    pub fn selects<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        let holds = |requirement: &Requirement| {
            let value = label(&requirement.key);
            let is_listed =
                || value.is_some_and(|value| requirement.values.iter().any(|v| **v == *value));
            match requirement.operator {
                SelectorOperator::In => is_listed(),
                SelectorOperator::NotIn => !is_listed(),
                SelectorOperator::Exists => value.is_some(),
                SelectorOperator::DoesNotExist => value.is_none(),
                SelectorOperator::Unknown(_) => false,
            }
        };
        self.fault().is_none()
            && self
                .match_labels
                .iter()
                .all(|(key, value)| label(key) == Some(value))
            && self.match_expressions.iter().all(holds)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operators_are_those_of_kubernetes() {
        let selects = |expression: serde_json::Value| {
            let selector: LabelSelector =
                serde_json::from_value(json!({"matchExpressions": [expression]})).unwrap();
            selector.selects(|key| (key == "team").then_some("red"))
        };
        let with = |key: &str, operator: &str, values: &[&str]| {
            selects(json!({"key": key, "operator": operator, "values": values}))
        };
        assert!(with("team", "In", &["blue", "red"]) && !with("team", "In", &["blue"]));
        assert!(!with("other", "In", &["red"]));
        assert!(with("team", "NotIn", &["blue"]) && !with("team", "NotIn", &["red"]));
        assert!(with("other", "NotIn", &["red"]));
        assert!(with("team", "Exists", &[]) && !with("other", "Exists", &[]));
        assert!(with("other", "DoesNotExist", &[]) && !with("team", "DoesNotExist", &[]));
        // Not valid: nothing is chosen.
        assert!(!with("team", "In", &[]) && !with("team", "Exists", &["red"]));
        assert!(!with("team", "Near", &["red"]));
    }

    #[test]
    fn no_condition_chooses_everything() {
        assert!(LabelSelector::default().selects(|_| None));
    }
}
