use weft_admin::{LastChange, MapReport, Origin, ProblemCounts, ProgramReport, Readiness};

use super::*;

fn status() -> StatusReport {
    StatusReport {
        enrolled: 2,
        proxied: 31,
        version: "0.1.0".into(),
        node: "node-a".into(),
        pid: 42,
        uptime_seconds: 192.4,
        adopted: true,
        directory: "/etc/weft".into(),
        state: "/run/weft/default".into(),
        cgroup: "/sys/fs/cgroup".into(),
        interfaces: vec!["eth0".into()],
        readiness: Readiness::unless(Vec::new()),
        generation: 4,
        last_change: Some(LastChange {
            seconds_ago: 12.0,
            effect_seconds: Some(0.0021),
            writes: 3,
        }),
        services: 12,
        endpoints: 48,
        workloads: 30,
        problems: ProblemCounts {
            errors: 1,
            warnings: 0,
            infos: 0,
        },
        ejected: 1,
        maps: vec![MapReport {
            name: "SERVICES".into(),
            entries: 3,
            max_entries: 300,
        }],
        programs: vec![ProgramReport {
            name: "weft_connect4".into(),
            attached: vec!["/sys/fs/cgroup".into()],
            runs: 1000,
            mean_ns: Some(287),
        }],
        losses: [("weft_ring_buffer_dropped_total".to_owned(), 7)].into(),
        events: vec![EventReport {
            seconds_ago: 1.5,
            cause: "connect_failed".into(),
            errno: Some(111),
            service: Some("shop/web:80".into()),
            backend: Some("10.0.0.7:8080".into()),
            workload: None,
            consecutive: 3,
            count: 9,
        }],
    }
}

#[test]
fn status_says_all_at_a_glance() {
    let text = "\
weft 0.1.0 on node-a: ready
  manager    pid 42, up 3m12s, adopted the maps it found
  policy     /etc/weft
  config     generation 4, changed 12.0s ago, 3 writes, in effect after 2.1ms
  cgroup     /sys/fs/cgroup
  interfaces eth0
  state      /run/weft/default
  serving    12 services, 48 endpoints (1 ejected), 30 workload addresses
  problems   1 errors, 0 warnings; list them with --problems
  lost       7 weft_ring_buffer_dropped_total

PROGRAM        RUNS   MEAN  ATTACHED
weft_connect4  1000  287ns  /sys/fs/cgroup

MAP       ENTRIES  ROOM  FULL
SERVICES        3   300  1.0%

 AGO  COUNT  WHAT                SERVICE      BACKEND        WORKLOAD  IN A ROW
1.5s      9  connection refused  shop/web:80  10.0.0.7:8080  -                3
";
    assert_eq!(status_text(&status()), text);
}

#[test]
fn a_manager_that_is_not_ready_says_why() {
    let reasons = vec!["the canary connection failed".to_owned()];
    let status = StatusReport {
        readiness: Readiness::unless(reasons),
        ..status()
    };
    let text = status_text(&status);
    assert!(
        text.starts_with("weft 0.1.0 on node-a: NOT READY\n"),
        "{text}"
    );
    assert!(
        text.contains("  because    the canary connection failed\n"),
        "{text}"
    );
}

#[test]
fn problems_name_file_line_object_and_field() {
    let problem = ProblemReport {
        severity: "error".into(),
        code: "invalid-field".into(),
        origin: Origin {
            kind: "Service".into(),
            namespace: "shop".into(),
            name: "web".into(),
            file: "web.yaml".into(),
            line: 3,
        },
        path: "spec.ports[0].port".into(),
        line: 9,
        message: "0 is no port".into(),
    };
    assert_eq!(
        problems_text(&[problem]),
        "error: web.yaml:9: Service shop/web: spec.ports[0].port: 0 is no port [invalid-field]\n"
    );
    assert_eq!(problems_text(&[]), "no problems\n");
}
