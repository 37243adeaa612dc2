//! What a verdict of authorization says, in the answer's words.

use weft_decision::{
    Layer, Verdict,
    authorize::{Considered as Judged, Reason},
};
use weft_model::policy::Action;

use super::{
    answer::{Considered, Reference, Response},
    passage::Passage,
};

pub(super) fn name(layer: Layer) -> &'static str {
    match layer {
        Layer::L4 => "l4",
        Layer::L7 => "l7",
    }
}

fn action(action: &Action) -> String {
    match action {
        Action::Allow => "ALLOW".into(),
        Action::Deny => "DENY".into(),
        Action::Audit => "AUDIT".into(),
        Action::Custom(provider) => format!("CUSTOM {provider}"),
    }
}

pub(super) fn write_down(verdict: &Verdict<'_>, passage: &mut Passage) {
    passage.layer = name(verdict.layer);
    for judged in &verdict.considered {
        passage.considered.push(Considered {
            resource: Reference::new(&judged.policy.author.origin, judged.rule),
            r#type: "authorization",
            action: action(&judged.policy.action),
            matched: judged.rule.is_some(),
            reason: reason(judged),
        });
    }
    for (provider, judged) in verdict.external() {
        let policy = &judged.policy.author.name;
        passage.notes.push(format!(
            "{policy} asks the external authorizer {provider}, whose answer is not known here"
        ));
    }
    if let Some((policy, rule)) = verdict.decided_by {
        passage.decided_by = Some(Reference::new(&policy.author.origin, rule));
    }
    opposite(verdict, passage);
    if verdict.is_allowed {
        return;
    }
    passage.verdict = "deny";
    passage.response = (verdict.layer == Layer::L7).then(|| match verdict.reason {
        Reason::BadPath => Response {
            status: 400,
            body: String::new(),
        },
        _ => Response {
            status: 403,
            body: "RBAC: access denied".into(),
        },
    });
}

fn reason(judged: &Judged<'_>) -> String {
    if judged.policy.is_dry_run {
        return match judged.rule {
            Some(_) => "would fit, but it is a dry run".into(),
            None => "would not fit; it is a dry run".into(),
        };
    }
    match judged.rule {
        Some(rule) => format!("rule {rule} fits"),
        None if judged.policy.rules.is_empty() => "it has no rules: nothing fits".into(),
        None => {
            let misses = judged.misses.iter().enumerate();
            let misses: Vec<String> = misses
                .map(|(rule, miss)| format!("rule {rule}: {miss} does not fit"))
                .collect();
            misses.join("; ")
        }
    }
}

/// What would have to change for the opposite verdict.
fn opposite(verdict: &Verdict<'_>, passage: &mut Passage) {
    match verdict.reason {
        Reason::NoPolicy => passage
            .opposite
            .push("a DENY policy would have to fit, or an ALLOW policy exist and not fit".into()),
        Reason::Allowed => {
            if let Some((policy, _)) = verdict.decided_by {
                let policy = &policy.author.name;
                passage.opposite.push(format!(
                    "{policy} would have to stop fitting, or a DENY policy fit"
                ));
            }
        }
        Reason::Denied => {
            if let Some((policy, rule)) = verdict.decided_by {
                let rule = rule.map_or(String::new(), |rule| format!(" rule {rule} of"));
                let policy = &policy.author.name;
                passage.opposite.push(
                    format!("{rule} {policy} would have to stop fitting")
                        .trim()
                        .into(),
                );
            }
        }
        Reason::NotAllowed => {
            let allows = verdict.considered.iter().filter(|judged| {
                judged.policy.action == Action::Allow && !judged.policy.is_dry_run
            });
            for judged in allows {
                let policy = &judged.policy.author.name;
                if judged.misses.is_empty() {
                    passage
                        .opposite
                        .push(format!("{policy} would have to have a rule that fits"));
                }
                for (rule, miss) in judged.misses.iter().enumerate() {
                    passage.opposite.push(format!(
                        "{miss} of rule {rule} of {policy} would have to fit"
                    ));
                }
            }
        }
        Reason::SeveralProviders => passage
            .opposite
            .push("CUSTOM policies would have to name one provider".into()),
        Reason::BadPath => passage
            .opposite
            .push("the path would have to be one that can be normalized".into()),
    }
}
