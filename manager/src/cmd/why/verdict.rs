//! What a verdict of authorization says, in the answer's words.

use weft_decision::{
    Attributes, Check, Layer, Verdict,
    authorize::{self, Considered as Judged, Reason},
};
use weft_model::policy::{Action, AuthorizationPolicy, Normalization};

use super::{
    answer::{Considered, Outcome, Reference, Response},
    considered::{failing, least, needed},
    passage::Passage,
};

pub(super) fn name(layer: Layer) -> &'static str {
    match layer {
        Layer::L4 => "l4",
        Layer::L7 => "l7",
    }
}

fn action(policy: &AuthorizationPolicy) -> String {
    let dry_run = if policy.is_dry_run { " (dry run)" } else { "" };
    match &policy.action {
        Action::Custom(provider) => format!("CUSTOM {provider}{dry_run}"),
        action => format!("{}{dry_run}", action.name()),
    }
}

/// A verdict with what led to it.
struct Told<'v> {
    verdict: &'v Verdict<'v>,
    attributes: &'v Attributes<'v>,
    normalization: Normalization,
}

pub(super) fn write_down(
    verdict: &Verdict<'_>,
    attributes: &Attributes<'_>,
    normalization: Normalization,
    passage: &mut Passage,
) {
    let told = Told {
        verdict,
        attributes,
        normalization,
    };
    passage.layer = name(verdict.layer);
    for judged in &verdict.considered {
        told.policy(judged, &mut passage.considered);
    }
    for (provider, judged) in verdict.external() {
        let policy = &judged.policy.author.name;
        passage.notes.push(format!(
            "{policy} asks the external authorizer {provider}, whose answer is not known here"
        ));
    }
    for judged in verdict.audited() {
        let policy = &judged.policy.author.name;
        passage.notes.push(format!("{policy} writes it down"));
    }
    if let Some((policy, rule)) = verdict.decided_by {
        passage.decided_by = Some(Reference::new(&policy.author.origin, rule));
    }
    told.opposite(passage);
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

impl Told<'_> {
    fn checks(&self, policy: &AuthorizationPolicy) -> Vec<Vec<Check>> {
        authorize::checks(
            policy,
            self.attributes,
            self.verdict.layer,
            self.normalization,
        )
    }

    /// The policy that had decided before this one was asked.
    fn decided_before(&self, judged: &Judged<'_>) -> Option<String> {
        let policy = judged.policy;
        if policy.is_dry_run || policy.action == Action::Audit {
            return None;
        }
        let is_final = matches!(
            self.verdict.reason,
            Reason::Denied | Reason::Allowed | Reason::SeveralProviders
        );
        let (winner, rule) = self.verdict.decided_by.filter(|_| is_final)?;
        let position = |wanted: &AuthorizationPolicy| {
            let mut all = self.verdict.considered.iter();
            all.position(|other| other.policy.author.name == wanted.author.name)
        };
        let is_later = position(policy) > position(winner);
        is_later.then(|| Reference::new(&winner.author.origin, rule).title())
    }

    fn policy(&self, judged: &Judged<'_>, considered: &mut Vec<Considered>) {
        let policy = judged.policy;
        let origin = &policy.author.origin;
        let before = self.decided_before(judged);
        let mut add = |rule: Option<usize>, outcome, reason: String, checks: &[Check]| {
            considered.push(Considered {
                action: action(policy),
                checks: checks.iter().map(Into::into).collect(),
                ..Considered::new(
                    Reference::new(origin, rule),
                    "authorization",
                    outcome,
                    reason,
                )
            });
        };
        if policy.rules.is_empty() {
            let reason = "it has no rules: nothing fits";
            let (outcome, reason) = match &before {
                Some(winner) => (
                    Outcome::NotReached,
                    format!("not reached, since {winner} decides"),
                ),
                None => (Outcome::NotMatched, reason.to_owned()),
            };
            add(None, outcome, reason, &[]);
        }
        for (index, checks) in self.checks(policy).iter().enumerate() {
            let is_after = judged.rule.is_some_and(|fitting| index > fitting);
            let (outcome, reason) = if let Some(winner) = &before {
                let reason = format!("not reached, since {winner} decides");
                (Outcome::NotReached, reason)
            } else if is_after {
                let reason = "not reached, since an earlier rule of it fits";
                (Outcome::NotReached, reason.to_owned())
            } else if judged.rule == Some(index) {
                (Outcome::Matched, self.fitting(policy, index))
            } else {
                (Outcome::NotMatched, self.missing(policy, checks))
            };
            let asked = outcome != Outcome::NotReached;
            let checks = if asked { &checks[..] } else { &[] };
            add(Some(index), outcome, reason, checks);
        }
    }

    fn fitting(&self, policy: &AuthorizationPolicy, rule: usize) -> String {
        if policy.is_dry_run {
            return "would fit, but it is a dry run".into();
        }
        let unseen = policy.rules[rule].http_attributes();
        if self.verdict.layer == Layer::L4 && !unseen.is_empty() {
            return format!(
                "fits; what the kernel cannot see is passed over: {}",
                unseen.join(", ")
            );
        }
        "fits".into()
    }

    fn missing(&self, policy: &AuthorizationPolicy, checks: &[Check]) -> String {
        let prefix = if policy.is_dry_run {
            "would not fit, and it is a dry run"
        } else {
            "does not fit"
        };
        format!("{prefix}: {}", failing(checks))
    }

    /// What would have to change for the opposite verdict.
    fn opposite(&self, passage: &mut Passage) {
        let say = &mut passage.opposite;
        match (self.verdict.reason, self.verdict.decided_by) {
            (Reason::NoPolicy, _) => say.push(
                "a DENY policy would have to fit, or an ALLOW policy exist and not fit".into(),
            ),
            (Reason::Allowed, Some((policy, rule))) => {
                let title = Reference::new(&policy.author.origin, rule).title();
                let why = self.because(policy, rule);
                say.push(format!(
                    "{title} would have to stop fitting{why}, or a DENY policy fit"
                ));
            }
            (Reason::Denied, Some((policy, rule))) => {
                let title = Reference::new(&policy.author.origin, rule).title();
                let why = self.because(policy, rule);
                say.push(format!("{title} would have to stop fitting{why}"));
            }
            (Reason::NotAllowed, _) => {
                say.extend(self.nearest());
                passage.notes.extend(self.refused_at());
            }
            (Reason::SeveralProviders, _) => {
                say.push("CUSTOM policies would have to name one provider".into());
            }
            (Reason::BadPath, _) => {
                say.push("the path would have to be one that can be normalized".into());
            }
            _ => {}
        }
    }

    /// What made a rule fit.
    fn because(&self, policy: &AuthorizationPolicy, rule: Option<usize>) -> String {
        let all = self.checks(policy);
        let checks = rule.and_then(|rule| all.get(rule));
        let each = checks.into_iter().flatten().map(ToString::to_string);
        let each: Vec<String> = each.collect();
        if each.is_empty() {
            return String::new();
        }
        format!(" (it fits with {})", each.join("; "))
    }

    /// Which of the two places refuses, where there are two.
    fn refused_at(&self) -> Option<String> {
        let (decisive, _) = self.verdict.decided_by?;
        let is_for_service = authorize::is_for_service(decisive);
        let mut others = self.verdict.considered.iter().map(|judged| judged.policy);
        let is_both = others.any(|policy| {
            policy.action == Action::Allow
                && !policy.is_dry_run
                && authorize::is_for_service(policy) != is_for_service
        });
        let (here, there) = match is_for_service {
            true => ("service", "workload"),
            false => ("workload", "service"),
        };
        is_both.then(|| {
            format!(
                "policies for the {here} refuse it; those for the {there} are asked apart, and both \
                 have to allow it"
            )
        })
    }

    /// The ALLOW rule that comes closest.
    fn nearest(&self) -> Option<String> {
        let all = self.verdict.considered.iter().map(|judged| judged.policy);
        let mut allows: Vec<&AuthorizationPolicy> = all
            .filter(|policy| policy.action == Action::Allow && !policy.is_dry_run)
            .collect();
        if let Some((decisive, _)) = self.verdict.decided_by {
            let place = authorize::is_for_service(decisive);
            allows.retain(|policy| authorize::is_for_service(policy) == place);
        }
        let rules = allows.iter().flat_map(|policy| {
            let rules = self.checks(policy).into_iter().enumerate();
            rules.map(|(rule, checks)| (*policy, rule, least(&checks)))
        });
        let nearest = rules.min_by_key(|(.., checks)| checks.len());
        if let Some((policy, rule, checks)) = nearest {
            let title = Reference::new(&policy.author.origin, Some(rule)).title();
            return Some(format!("{title} would allow it with {}", needed(&checks)));
        }
        let policy = allows.first()?;
        let title = Reference::new(&policy.author.origin, None).title();
        Some(format!("{title} would have to have a rule that fits"))
    }
}
