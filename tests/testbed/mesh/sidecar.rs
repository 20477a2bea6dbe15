//! A pod with a sidecar, in a network of its own with real iptables.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use anyhow::{Context, anyhow, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;

use super::agent::{Agent, local};
use super::istio::{Istio, PATIENCE};
use super::program::{Program, tool};
use crate::admin::policy_hash;
use crate::client::{Client, Http};
use crate::wait_for;

/// The variable that is set in a process that has a network of its own.
const OWN_NETWORK: &str = "TRAFFIC_POLICY_OWN_NETWORK";

/// The user whose traffic iptables leaves alone, as in Istio's images. Only the group is needed.
const PROXY: &str = "1337";

/// The network that a pod and the rest of the mesh share. The mesh has its addresses 1 and 11 to 14.
pub const NETWORK: [u8; 3] = [10, 99, 0];

/// The address of the pod.
const POD: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);

/// Whether this process has a network of its own. If not, runs the test `name` of this program again
/// in one.
///
/// # Errors
/// When the test fails there.
pub fn in_own_network(name: &str) -> anyhow::Result<bool> {
    if std::env::var_os(OWN_NETWORK).is_some() {
        let ip = program("ip")?;
        run(Command::new(&ip).args(["link", "set", "lo", "up"]))?;
        for host in [1, 11, 12, 13, 14] {
            run(Command::new(&ip).args(["addr", "add", &format!("10.99.0.{host}/32"), "dev", "lo"]))?;
        }
        return Ok(true);
    }
    let mut command = Command::new("unshare");
    command.arg("--net").arg(std::env::current_exe()?).args([name, "--exact", "--nocapture"]).env(OWN_NETWORK, "1");
    let status = command.status().context("start unshare")?;
    ensure!(status.success(), "{name} fails in a network of its own: {status}");
    Ok(false)
}

/// A running pod: its network, whose outgoing traffic iptables lead to a sidecar. Dropping the value
/// stops it.
pub struct Sidecar {
    agent: Program,
    pod: Program,
    status: u16,
}

impl Sidecar {
    /// Starts a pod with these labels and waits until its sidecar is ready. In a process with a
    /// network of its own only.
    ///
    /// # Errors
    /// When it does not come up. The error contains its log.
    pub async fn start(istio: &Istio, name: &str, labels: &Value) -> anyhow::Result<Self> {
        let mut agent = Agent::new(istio, "sidecar", name, labels, &POD.to_string(), 1).await?;
        let mut pod = Command::new("unshare");
        let pod = Program::start("pod", &agent.folder, pod.args(["--net", "sleep", "infinity"]))?;
        let network = network_of(&pod);
        let own = File::open("/proc/self/ns/net")?;
        let is_apart = async || same(&network, &own).is_ok_and(|same| !same);
        wait_for(PATIENCE, "the pod has a network", is_apart).await?;
        let ip = program("ip")?;
        let id = pod.id().to_string();
        run(Command::new(&ip).args(["link", "add", "to-mesh", "netns", &id, "type", "veth", "peer", "name", "to-pod"]))?;
        run(Command::new(&ip).args(["addr", "add", "10.99.0.254/24", "dev", "to-pod"]))?;
        run(Command::new(&ip).args(["link", "set", "to-pod", "up"]))?;
        for arguments in [
            vec!["link", "set", "lo", "up"],
            vec!["addr", "add", "10.99.0.2/24", "dev", "to-mesh"],
            vec!["link", "set", "to-mesh", "up"],
            vec!["route", "add", "default", "via", "10.99.0.254"],
        ] {
            run(inside(&pod, &ip).args(arguments))?;
        }
        let libraries = tool("debian/usr/lib/x86_64-linux-gnu")?;
        let mut rules = inside(&pod, &tool("bin/pilot-agent")?);
        rules.args(["istio-iptables", "-p", "15001", "-z", "15006", "-u", PROXY, "-g", PROXY, "-m", "REDIRECT"]);
        rules.args(["-i", "*", "-b", "*", "-d", "15090,15020,15021"]);
        let path = std::env::var("PATH").unwrap_or_default();
        rules.env("PATH", format!("{}:{path}", tool("debian/usr/sbin")?.display()));
        rules.env("LD_LIBRARY_PATH", &libraries).env("XTABLES_LIBDIR", libraries.join("xtables"));
        run(&mut rules)?;
        let mut command = inside(&pod, &PathBuf::from("setpriv"));
        command.args(["--regid", PROXY, "--clear-groups"]).arg(agent.command.get_program());
        command.args(agent.command.get_args()).current_dir(&agent.folder);
        command.envs(agent.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        agent.command = command;
        let status = agent.status;
        let agent = Program::start(name, &agent.folder, &mut agent.command)?;
        let sidecar = Self { agent, pod, status };
        let is_ready = async || sidecar.page("/healthz/ready").is_ok();
        wait_for(PATIENCE, "the sidecar is ready", is_ready).await.with_context(|| sidecar.agent.log())?;
        Ok(sidecar)
    }

    /// Runs `application` in the pod's network, and returns what it returns.
    ///
    /// # Errors
    /// When the network can't be entered.
    pub fn run<R: Send>(&self, application: impl AsyncFnOnce() -> R + Send) -> anyhow::Result<R> {
        let network = File::open(network_of(&self.pod))?;
        let within = || {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
            // All threads of the runtime are in the network of this one.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            anyhow::Ok(runtime.block_on(application()))
        };
        thread::scope(|scope| scope.spawn(within).join()).map_err(|_| anyhow!("the application panicked"))?
    }

    /// The hash of the policy without a name that is in force, as the filter reports it; 0 if there is
    /// none.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn policy_hash(&self) -> anyhow::Result<u64> {
        policy_hash(&self.page("/stats/prometheus")?)
    }

    fn page(&self, path: &str) -> anyhow::Result<String> {
        self.run(async || {
            let answer = Client::new(local(self.status), Http::V1).get(path, &[]).await?;
            ensure!(answer.status() == 200, "{path}: {}", answer.status());
            anyhow::Ok(String::from_utf8_lossy(answer.body()).into_owned())
        })?
    }

    /// What agent, Envoy and filter have logged so far.
    pub fn log(&self) -> String {
        self.agent.log()
    }
}

fn network_of(pod: &Program) -> PathBuf {
    PathBuf::from(format!("/proc/{}/ns/net", pod.id()))
}

fn same(network: &PathBuf, own: &File) -> anyhow::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata(network)?.ino() == own.metadata()?.ino())
}

/// A command that runs in the pod's network.
fn inside(pod: &Program, program: &PathBuf) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", network_of(pod).display())).arg(program);
    command
}

/// A program of Debian, installed or unpacked.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    for folder in ["/usr/sbin", "/sbin", "/usr/bin"] {
        let path = PathBuf::from(folder).join(name);
        if path.exists() {
            return Ok(path);
        }
    }
    tool(&format!("debian/sbin/{name}"))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
    Ok(())
}
