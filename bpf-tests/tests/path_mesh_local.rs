//! Two nodes of a mesh that one local file of ztunnel's format describes.

#![expect(clippy::unwrap_used, reason = "a test's set-up may panic")]

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use bpf_tests::{
    mesh::{PORT, ask, vip},
    wait_for,
};
use serde_json::Value;
use weft_testkit::{Capture, Cluster, cluster::Pod, server::Http};

/// The pods, and the file.
struct Scene {
    client: Arc<Pod>,
    other: Arc<Pod>,
    near: Arc<Pod>,
    web: Arc<Pod>,
    file: PathBuf,
    cluster: Cluster,
}

impl Scene {
    fn or_skip() -> Option<Self> {
        let mut cluster = Cluster::or_skip()?;
        let mut pod = |node, name: &str| {
            let account = name.rsplit('/').next().unwrap();
            cluster.pod(node, name, account).unwrap()
        };
        Some(Self {
            client: pod(0, "shop/client"),
            other: pod(0, "shop/other"),
            near: pod(0, "shop/near"),
            web: pod(1, "shop/web"),
            file: cluster.rig().directory().join("local.yaml"),
            cluster,
        })
    }

    fn workload(pod: &Pod, more: &str) -> String {
        let (account, v4, v6) = (pod.account(), pod.v4(), pod.v6());
        format!(
            "- name: {account}\n  namespace: shop\n  serviceAccount: {account}\n  \
             workloadIps: [\"{v4}\", \"{v6}\"]\n  protocol: HBONE\n  node: n{}\n{more}",
            pod.node()
        )
    }

    /// The file, in which `admitted` is the service account that may reach the servers.
    fn text(&self, admitted: &str) -> String {
        let behind =
            |service: &str| format!("  services:\n    shop/{service}.example:\n      80: {PORT}\n");
        let service = |name: &str, number: u8| {
            format!(
                "- name: {name}\n  namespace: shop\n  hostname: {name}.example\n  \
                 vips: [\"/{}\"]\n  ports:\n    80: {PORT}\n",
                vip(number).ip()
            )
        };
        let guarded = "  authorizationPolicies: [shop/guard]\n";
        [
            "workloads:\n".to_owned(),
            Self::workload(&self.client, ""),
            Self::workload(&self.other, ""),
            Self::workload(&self.near, &(behind("near") + guarded)),
            Self::workload(&self.web, &(behind("web") + guarded)),
            format!("services:\n{}{}", service("web", 1), service("near", 2)),
            format!(
                "policies:\n- name: guard\n  namespace: shop\n  scope: WorkloadSelector\n  \
                 action: Allow\n  rules:\n  - - - principals:\n        \
                 - Exact: cluster.local/ns/shop/sa/{admitted}\n"
            ),
        ]
        .concat()
    }

    /// Replaces the file in one step.
    fn write(&self, text: &str) {
        let draft = self.file.with_extension("new");
        fs::write(&draft, text).unwrap();
        fs::rename(draft, &self.file).unwrap();
    }

    fn start(&mut self, with_directory: bool) {
        let file = self.file.to_str().unwrap().to_owned();
        let started = self.cluster.start_with(|_, options| {
            let options = options.argument("--local-xds").argument(&file);
            if with_directory {
                options
            } else {
                options.without_policy()
            }
        });
        started.unwrap_or_else(|error| panic!("{error:#}"));
        for (node, count) in [(0, 3), (1, 1)] {
            wait_for("the workloads to be served", || {
                let list = self.json(node, &["workloads"]);
                let list = list.as_array().unwrap();
                list.len() == count && list.iter().all(|one| one["ready"] == true)
            });
        }
    }

    /// What a command says in JSON, whatever the code it ends with.
    fn json(&mut self, node: usize, args: &[&str]) -> Value {
        let args = [args, &["-o", "json"]].concat();
        let output = self.cluster.mesh(node).command(&args).unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// Messages of a node's problems in the file.
    fn problems(&mut self, node: usize) -> Vec<String> {
        let output = self
            .cluster
            .mesh(node)
            .command(&["status", "--problems"])
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = text.lines().filter(|line| line.contains("local.yaml"));
        lines.map(str::to_owned).collect()
    }
}

fn http(pod: &Pod) -> Http {
    Http::start(&pod.inside(), pod.at(PORT), pod.account()).unwrap()
}

fn reaches(pod: &Pod, to: SocketAddr) -> bool {
    ask(&pod.inside(), to).is_ok()
}

#[test]
fn a_local_file_alone_makes_two_nodes_a_mesh_and_its_policy_refuses() {
    let Some(mut scene) = Scene::or_skip() else {
        return;
    };
    scene.write(&scene.text("client"));
    scene.start(false);
    let _servers = [http(&scene.web), http(&scene.near)];
    let client = scene.client.clone();
    let capture = Capture::uplink(scene.cluster.node(0)).unwrap();
    for (to, server) in [
        (vip(1), "web"),
        (vip(2), "near"),
        (scene.web.at(PORT), "web"),
    ] {
        let (answered, seen) = ask(&client.inside(), to).unwrap();
        assert_eq!(
            (answered.as_str(), seen),
            (server, Some(client.v4().into())),
            "{to}"
        );
        assert!(!reaches(&scene.other, to), "{to}");
    }
    let recording = capture.stop();
    assert!(
        recording
            .frames
            .iter()
            .any(|f| f.destination.port() == 15008)
    );
    assert!(
        !recording.contains(b"HTTP/1.1"),
        "a request passed in clear"
    );

    // Why, by name, as for pods.
    let why = |scene: &mut Scene, from: &str| {
        scene.json(0, &["why", "--from", from, "--to", "near.example"])
    };
    assert_eq!(why(&mut scene, "shop/client")["verdict"], "allow");
    let denied = why(&mut scene, "shop/other");
    assert_eq!(denied["verdict"], "deny");

    // An edit holds at once.
    scene.write(&scene.text("other"));
    wait_for("the other to be admitted", || {
        reaches(&scene.other, vip(1)) && reaches(&scene.other, vip(2))
    });
    assert!(!reaches(&client, vip(1)) && !reaches(&client, vip(2)));
}

#[test]
fn a_local_file_that_breaks_or_goes_leaves_what_it_said_in_force() {
    let Some(mut scene) = Scene::or_skip() else {
        return;
    };
    scene.write(&scene.text("client"));
    scene.start(true);
    let _servers = [http(&scene.web), http(&scene.near)];
    // The pods of the directory stand at the same addresses, and hold.
    assert!(!scene.problems(0).is_empty());
    let (client, other) = (scene.client.clone(), scene.other.clone());
    for pod in [&client, &other, &scene.near, &scene.web] {
        scene.cluster.policy().remove(&pod.file()).unwrap();
    }
    wait_for("the file to be all there is", || {
        scene.problems(0).is_empty()
    });
    let holds = || reaches(&client, vip(1)) && !reaches(&other, vip(1)) && !reaches(&other, vip(2));
    wait_for("the policy of the file to hold", holds);

    let broken = scene
        .text("other")
        .replace("action: Allow", "action: Maybe");
    scene.write(&broken);
    wait_for("the error to be told", || !scene.problems(0).is_empty());
    let told = scene.problems(0).join("\n");
    assert!(
        told.contains("policies[0].action") && told.contains("stays in force"),
        "{told}"
    );
    assert!(holds());
    // Also to a manager that starts while it is broken.
    scene.cluster.mesh(0).terminate().unwrap();
    scene.cluster.mesh(0).restart().unwrap();
    wait_for("the policy to hold after a restart", holds);

    fs::remove_file(&scene.file).unwrap();
    wait_for("the loss to be told", || {
        scene.problems(1).join("").contains("it is gone")
    });
    assert!(holds());
    scene.write(&scene.text("other"));
    wait_for("the new file to hold", || {
        reaches(&other, vip(1)) && !reaches(&client, vip(1))
    });
    assert_eq!(scene.problems(1), Vec::<String>::new());
}
