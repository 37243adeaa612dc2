//! Verdicts that Istio's own tests have (`validation_test.go` of istio/istio, cases learnt, not copied):
//! what is taken, what is refused, and where there is a warning.

use weft_api::Severity;

use crate::problems;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Verdict {
    /// Without a word.
    Taken,
    /// With a warning.
    Warned,
    Refused,
}

use Verdict::{Refused, Taken, Warned};

/// Kind, what it is about, the object's `spec`, the verdict.
const VERDICTS: &[(&str, &str, &str, Verdict)] = &[
    (
        "VirtualService",
        "empty name set",
        "hosts: [foo.bar], http: [{route: [{destination: {host: foo.baz}, headers: {response: {set: {'': value}}}}]}]",
        Refused,
    ),
    (
        "VirtualService",
        "empty name removed",
        "hosts: [foo.bar], http: [{route: [{destination: {host: foo.baz}, headers: {response: {remove: ['']}}}]}]",
        Refused,
    ),
    (
        "VirtualService",
        "escaped percent set",
        "hosts: [foo.bar], http: [{route: [{destination: {host: foo.baz}, headers: {response: {set: {i-love-mesh: \"100%%\"}}}}]}]",
        Taken,
    ),
    (
        "VirtualService",
        "variable set",
        "hosts: [foo.bar], http: [{route: [{destination: {host: foo.baz}, headers: {response: {set: {name: \"%HOSTNAME%\"}}}}]}]",
        Taken,
    ),
    (
        "VirtualService",
        "bare percent set",
        "hosts: [foo.bar], http: [{route: [{destination: {host: foo.baz}, headers: {response: {set: {name: \"abcd%oijasodifj\"}}}}]}]",
        Refused,
    ),
    (
        "VirtualService",
        "escaped percent added",
        "hosts: [foo.bar], http: [{route: [{destination: {host: foo.baz}, headers: {response: {add: {i-love-mesh: \"100%% and more\"}}}}]}]",
        Taken,
    ),
    (
        "VirtualService",
        "variable added",
        "hosts: [foo.bar], http: [{route: [{destination: {host: foo.baz}, headers: {response: {add: {name: \"hello %HOSTNAME%\"}}}}]}]",
        Taken,
    ),
    (
        "VirtualService",
        "bare percent added",
        "hosts: [foo.bar], http: [{route: [{destination: {host: foo.baz}, headers: {response: {add: {name: \"abcd%oijasodifj\"}}}}]}]",
        Refused,
    ),
    (
        "VirtualService",
        "header match without a value",
        "hosts: [foo.bar], http: [{route: [{destination: {host: foo.baz}}], match: [{headers: {header: null}}]}]",
        Refused,
    ),
    (
        "VirtualService",
        "no match",
        "hosts: [foo.bar], http: [{route: [{destination: {host: foo.baz}}], match: null}]",
        Taken,
    ),
    (
        "VirtualService",
        "mirror percent above 100",
        "hosts: [foo.bar], http: [{route: [{destination: {host: foo.baz}}], mirrorPercent: 101}]",
        Refused,
    ),
    (
        "VirtualService",
        "mirror percentage above 100",
        "hosts: [foo.bar], http: [{route: [{destination: {host: foo.baz}}], mirrorPercentage: {value: 101}}]",
        Refused,
    ),
    (
        "VirtualService",
        "mirror percentage",
        "hosts: [foo.bar], http: [{route: [{destination: {host: foo.baz}}], mirrorPercentage: {value: 1}}]",
        Taken,
    ),
    (
        "VirtualService",
        "mirror percentage below 0",
        "hosts: [foo.bar], http: [{route: [{destination: {host: foo.baz}}], mirrorPercentage: {value: -1}}]",
        Refused,
    ),
    (
        "VirtualService",
        "stream",
        "hosts: [foo.bar], tcp: [{route: [{destination: {host: foo.baz}}]}]",
        Taken,
    ),
    (
        "VirtualService",
        "stream to a wildcard before a dash",
        "hosts: [foo.bar], tcp: [{route: [{destination: {host: '*-foo.baz'}}]}]",
        Taken,
    ),
    (
        "VirtualService",
        "stream to a wildcard",
        "hosts: [foo.bar], tcp: [{route: [{destination: {host: '*foo.baz'}}]}]",
        Taken,
    ),
    (
        "VirtualService",
        "stream to any host",
        "hosts: [foo.bar], tcp: [{route: [{destination: {host: '*'}}]}]",
        Refused,
    ),
    (
        "VirtualService",
        "stream to a wildcard at the end",
        "hosts: [foo.bar], tcp: [{route: [{destination: {host: 'foo.*'}}]}]",
        Refused,
    ),
    (
        "VirtualService",
        "stream to a name with a slash",
        "hosts: [foo.bar], tcp: [{route: [{destination: {host: default/baz}}]}]",
        Refused,
    ),
    (
        "VirtualService",
        "stream without a destination",
        "hosts: [foo.bar], tcp: [{route: [{}]}]",
        Refused,
    ),
    (
        "VirtualService",
        "stream with weights",
        "hosts: [foo.bar], tcp: [{route: [{destination: {host: a.b}, weight: 25}, {destination: {host: c.d}, weight: 75}]}]",
        Taken,
    ),
    (
        "VirtualService",
        "stream with a negative weight",
        "hosts: [foo.bar], tcp: [{route: [{destination: {host: a.b}, weight: 5}, {destination: {host: c.d}, weight: -1}]}]",
        Refused,
    ),
    (
        "VirtualService",
        "stream with one weight of 0",
        "hosts: [foo.bar], tcp: [{route: [{destination: {host: a.b}, weight: 0}]}]",
        Taken,
    ),
    (
        "VirtualService",
        "stream with all weights 0",
        "hosts: [foo.bar], tcp: [{route: [{destination: {host: a.b}, weight: 0}, {destination: {host: c.d}, weight: 0}]}]",
        Refused,
    ),
    (
        "VirtualService",
        "simple",
        "hosts: [foo.bar], http: [{route: [{destination: {host: foo.baz}}]}]",
        Taken,
    ),
    (
        "VirtualService",
        "hosts that cover each other",
        "hosts: ['*.foo.bar', '*.bar'], http: [{route: [{destination: {host: foo.baz}}]}]",
        Refused,
    ),
    (
        "VirtualService",
        "route without a destination",
        "hosts: [foo.bar], http: [{route: [{}]}]",
        Refused,
    ),
    (
        "VirtualService",
        "destination without a host",
        "hosts: [foo.bar], http: [{route: [{destination: {}}]}]",
        Refused,
    ),
    (
        "VirtualService",
        "delegate without hosts",
        "http: [{route: [{destination: {host: foo.baz}}]}]",
        Taken,
    ),
    (
        "VirtualService",
        "bad host",
        "hosts: ['foo.ba!r'], http: [{route: [{destination: {host: foo.baz}}]}]",
        Refused,
    ),
    ("VirtualService", "no rule", "hosts: [foo.bar]", Refused),
    (
        "VirtualService",
        "bad gateway",
        "hosts: [foo.bar], gateways: [\"b@dgateway\"], http: [{route: [{destination: {host: foo.baz}}]}]",
        Refused,
    ),
    (
        "VirtualService",
        "gateway by a domain name",
        "hosts: [foo.bar], gateways: [gateway.example.com], http: [{route: [{destination: {host: foo.baz}}]}]",
        Warned,
    ),
    (
        "VirtualService",
        "gateway of a namespace",
        "hosts: [foo.bar], gateways: [ns1/gateway], http: [{route: [{destination: {host: foo.baz}}]}]",
        Taken,
    ),
    (
        "VirtualService",
        "all gateways of a namespace",
        "hosts: [foo.bar], gateways: ['ns1/*'], http: [{route: [{destination: {host: foo.baz}}]}]",
        Refused,
    ),
    (
        "VirtualService",
        "gateway of any namespace",
        "hosts: [foo.bar], gateways: ['*/gateway'], http: [{route: [{destination: {host: foo.baz}}]}]",
        Refused,
    ),
    (
        "VirtualService",
        "all hosts of the mesh",
        "hosts: ['*'], http: [{route: [{destination: {host: foo.baz}}]}]",
        Refused,
    ),
    (
        "VirtualService",
        "all hosts of a gateway",
        "hosts: ['*'], gateways: [somegateway], http: [{route: [{destination: {host: foo.baz}}]}]",
        Taken,
    ),
    (
        "VirtualService",
        "stream rule without a route",
        "hosts: [foo.bar], tcp: [{match: [{port: 999}]}]",
        Refused,
    ),
    (
        "VirtualService",
        "tls rule without a route",
        "hosts: [foo.bar], tls: [{match: [{port: 999, sniHosts: [foo.bar]}]}]",
        Refused,
    ),
    (
        "VirtualService",
        "superseded mirror percent",
        "hosts: [foo.bar], gateways: [ns1/gateway], http: [{mirrorPercent: 5, route: [{destination: {host: foo.baz}}]}]",
        Warned,
    ),
    (
        "VirtualService",
        "authority set by the rule",
        "hosts: [foo.bar], http: [{route: [{destination: {host: foo.baz}}], headers: {request: {set: {\":authority\": foo}}}}]",
        Taken,
    ),
    (
        "VirtualService",
        "authority set by the destination",
        "hosts: [foo.bar], http: [{route: [{destination: {host: foo.baz}, headers: {request: {set: {\":authority\": foo}}}}]}]",
        Taken,
    ),
    (
        "VirtualService",
        "authority set and rewritten",
        "hosts: [foo.bar], http: [{route: [{destination: {host: foo.baz}}], headers: {request: {set: {\":authority\": foo}}}, rewrite: {authority: bar}}]",
        Refused,
    ),
    (
        "VirtualService",
        "a prefix that covers a later one",
        "hosts: [foo.bar], http: [{route: [{destination: {host: foo.baz}}], match: [{uri: {prefix: /api/v1/product}}, {uri: {prefix: /api/v1/products}, method: {exact: GET}}]}]",
        Warned,
    ),
    (
        "VirtualService",
        "a prefix of everything beside an exact path",
        "hosts: [foo.bar], http: [{route: [{destination: {host: foo.baz}}], match: [{uri: {prefix: /}}, {uri: {exact: /}, method: {exact: GET}}]}]",
        Taken,
    ),
    (
        "DestinationRule",
        "locality weights",
        "host: reviews, trafficPolicy: {outlierDetection: {}, loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {distribute: [{from: a/b/c, to: {a/b/c: 80, a/b1: 20}}]}}}",
        Taken,
    ),
    (
        "DestinationRule",
        "locality weights above 100",
        "host: reviews, trafficPolicy: {outlierDetection: {}, loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {distribute: [{from: a/b/c, to: {a/b/c: 80, a/b1: 25}}]}}}",
        Refused,
    ),
    (
        "DestinationRule",
        "locality weights below 100",
        "host: reviews, trafficPolicy: {outlierDetection: {}, loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {distribute: [{from: a/b/c, to: {a/b/c: 80, a/b1: 15}}]}}}",
        Refused,
    ),
    (
        "DestinationRule",
        "locality weight 0",
        "host: reviews, trafficPolicy: {outlierDetection: {}, loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {distribute: [{from: a/b/c, to: {a/b/c: 0, a/b1: 100}}]}}}",
        Refused,
    ),
    (
        "DestinationRule",
        "distribute and failover",
        "host: reviews, trafficPolicy: {outlierDetection: {}, loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {distribute: [{from: a/b/c, to: {a/b/c: 80, a/b1: 20}}], failover: [{from: region1, to: region2}]}}}",
        Refused,
    ),
    (
        "DestinationRule",
        "failover to the same region",
        "host: reviews, trafficPolicy: {outlierDetection: {}, loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {failover: [{from: region1, to: region1}]}}}",
        Refused,
    ),
    (
        "DestinationRule",
        "wildcards in two places",
        "host: reviews, trafficPolicy: {outlierDetection: {}, loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {distribute: [{from: '*/zone/*', to: {x: 100}}]}}}",
        Refused,
    ),
    (
        "DestinationRule",
        "wildcard not at the end",
        "host: reviews, trafficPolicy: {outlierDetection: {}, loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {distribute: [{from: '*/zone', to: {x: 100}}]}}}",
        Refused,
    ),
    (
        "DestinationRule",
        "any region beside a subzone",
        "host: reviews, trafficPolicy: {outlierDetection: {}, loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {distribute: [{from: '*', to: {x: 100}}, {from: 'a/b/c', to: {x: 100}}]}}}",
        Refused,
    ),
    (
        "DestinationRule",
        "a region beside a subzone of it",
        "host: reviews, trafficPolicy: {outlierDetection: {}, loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {distribute: [{from: 'a', to: {x: 100}}, {from: 'a/b/c', to: {x: 100}}]}}}",
        Refused,
    ),
    (
        "DestinationRule",
        "any zone beside a subzone",
        "host: reviews, trafficPolicy: {outlierDetection: {}, loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {distribute: [{from: 'a/*', to: {x: 100}}, {from: 'a/b/c', to: {x: 100}}]}}}",
        Refused,
    ),
    (
        "DestinationRule",
        "a zone beside a subzone of it",
        "host: reviews, trafficPolicy: {outlierDetection: {}, loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {distribute: [{from: 'a/b', to: {x: 100}}, {from: 'a/b/c', to: {x: 100}}]}}}",
        Refused,
    ),
    (
        "DestinationRule",
        "any subzone beside one",
        "host: reviews, trafficPolicy: {outlierDetection: {}, loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {distribute: [{from: 'a/b/*', to: {x: 100}}, {from: 'a/b/c', to: {x: 100}}]}}}",
        Refused,
    ),
    (
        "DestinationRule",
        "localities apart",
        "host: reviews, trafficPolicy: {outlierDetection: {}, loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {distribute: [{from: 'a1/*', to: {x: 100}}, {from: 'a2/*', to: {x: 100}}, {from: 'a3/b3/c3', to: {x: 100}}, {from: 'a4/b4', to: {x: 100}}, {from: 'a5/b5/*', to: {x: 100}}]}}}",
        Taken,
    ),
];

#[test]
fn verdicts_are_those_of_istio() {
    let mut wrong = Vec::new();
    for (kind, about, spec, expected) in VERDICTS {
        let all = problems("networking.istio.io/v1", kind, spec);
        // What is not supported yet is Weft's to say.
        let said: Vec<_> = all.iter().filter(|p| p.code != "not-supported").collect();
        let has = |severity| said.iter().any(|problem| problem.severity == severity);
        let verdict = match (has(Severity::Error), has(Severity::Warning)) {
            (true, _) => Refused,
            (false, true) => Warned,
            (false, false) => Taken,
        };
        if verdict != *expected {
            wrong.push(format!("{about}: {verdict:?}, not {expected:?}: {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
