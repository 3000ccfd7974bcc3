//! Tests of the Slurm launcher, on a cluster of one node that the test starts and stops.

#![allow(clippy::unwrap_used)]

mod common;

use common::SMALL;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Runs the program for a table, with these environment variables.
fn table(out: &Path, variables: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_experiments"));
    command
        .args(["table", "perception_errors", "--scale", "digits-v1", "--seeds", "1", "--launcher", "slurm", "--out"])
        .arg(out)
        .args(SMALL);
    variables.iter().for_each(|(name, value)| {
        command.env(name, value);
    });
    command.output().unwrap()
}

#[test]
fn without_slurm_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let output = table(&folder.path().join("out"), &[("PATH", folder.path())]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("no `sbatch`") && error.contains("--launcher slurm"), "{error}");
}

/// Slurm daemons with their files in a temporary folder.
struct Cluster {
    folder: tempfile::TempDir,
    daemons: Vec<Child>,
}

impl Cluster {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(at("munge.key"), [7u8; 128]).unwrap();
        fs::set_permissions(at("munge.key"), fs::Permissions::from_mode(0o600)).unwrap();
        for name in ["state", "spool"] {
            fs::create_dir(at(name)).unwrap();
        }
        let said = |command: &str, argument: &str| {
            let output = Command::new(command).arg(argument).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let (host, user) = (said("hostname", "-s"), said("id", "-un"));
        // Ports that are free now and very likely stay so.
        let listeners: Vec<TcpListener> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        drop(listeners);
        let path = folder.path().display();
        let settings = format!(
            "ClusterName=seethink\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser={user}\nSlurmdUser={user}\n\
             AuthType=auth/munge\nAuthInfo=socket={path}/munge.socket\nCredType=cred/munge\n\
             StateSaveLocation={path}/state\nSlurmdSpoolDir={path}/spool\n\
             SlurmctldPidFile={path}/slurmctld.pid\nSlurmdPidFile={path}/slurmd.pid\n\
             SlurmctldPort={}\nSlurmdPort={}\nProctrackType=proctrack/pgid\nTaskPlugin=task/none\n\
             SelectType=select/cons_tres\nSelectTypeParameters=CR_Core\nReturnToService=2\nMpiDefault=none\n\
             NodeName={host} NodeAddr=127.0.0.1 CPUs=1 State=UNKNOWN\n\
             PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n",
            ports[0], ports[1]
        );
        fs::write(at("slurm.conf"), settings).unwrap();
        let mut cluster = Self { folder, daemons: Vec::new() };
        let names = [
            "key-file=munge.key",
            "socket=munge.socket",
            "pid-file=munged.pid",
            "log-file=munged.log",
            "seed-file=seed",
        ];
        let options = names.map(|name| {
            let (option, file) = name.split_once('=').unwrap();
            format!("--{option}={}/{file}", cluster.folder.path().display())
        });
        cluster.daemon("munged", &[&["--foreground", "--force"][..], &options.each_ref().map(String::as_str)].concat());
        cluster.daemon("slurmctld", &["-D"]);
        cluster.daemon("slurmd", &["-D"]);
        cluster
    }

    fn configuration(&self) -> PathBuf {
        self.folder.path().join("slurm.conf")
    }

    fn daemon(&mut self, name: &str, arguments: &[&str]) {
        let log = fs::File::create(self.folder.path().join(format!("{name}.out"))).unwrap();
        let mut command = Command::new(tool(name).unwrap());
        command.args(arguments).env("SLURM_CONF", self.configuration());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.daemons.push(command.spawn().unwrap());
    }

    /// Waits until the node accepts jobs; the error holds the logs of the daemons.
    fn wait(&self) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let output =
                Command::new("sinfo").args(["-h", "-o", "%T"]).env("SLURM_CONF", self.configuration()).output();
            let state =
                output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
            if state == "idle" {
                return Ok(());
            }
            if begun.elapsed() > Duration::from_secs(60) {
                return Err(format!("the node is {state:?}: {}", self.logs()));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn logs(&self) -> String {
        let names = ["munged.out", "slurmctld.out", "slurmd.out"];
        names.map(|name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()).join("\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// Path of a program, in the search path or among the system's daemons.
fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

#[test]
fn a_table_runs_on_a_cluster() {
    if ["munged", "slurmctld", "slurmd", "sbatch", "sinfo"].iter().any(|name| tool(name).is_none()) {
        assert!(std::env::var_os("SEETHINK_SLURM").is_none(), "SEETHINK_SLURM is set, but Slurm is not installed");
        eprintln!("Slurm is not installed: nothing to test");
        return;
    }
    let cluster = Cluster::start();
    if let Err(state) = cluster.wait() {
        // Some containers do not let Slurm's daemons run.
        assert!(std::env::var_os("SEETHINK_SLURM").is_none(), "SEETHINK_SLURM is set, but {state}");
        eprintln!("Slurm does not run here: nothing to test; {state}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = table(folder.path(), &[("SLURM_CONF", &cluster.configuration())]);
    let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let script = fs::read_to_string(folder.path().join("array.sbatch")).unwrap();
    assert!(script.contains("--array=0-1") && script.contains("'--arm' 'staged'"), "{script}");
    let log = |arm: &str| fs::read_to_string(folder.path().join(format!("digits-v1/qwen3_vl/{arm}/seed-1.log")));
    assert!(output.status.success(), "{text}\n{error}\n{}\n{:?}", cluster.logs(), log("staged"));
    for arm in ["merged", "staged"] {
        assert!(
            folder.path().join("digits-v1/qwen3_vl").join(arm).join("seed-1/result.json").exists(),
            "{:?}",
            log(arm)
        );
    }
    assert!(text.contains("| staged |") && !text.contains("not run"), "{text}");

    // All runs are done, so no job is submitted.
    fs::remove_file(folder.path().join("array.sbatch")).unwrap();
    assert!(table(folder.path(), &[("SLURM_CONF", &cluster.configuration())]).status.success());
    assert!(!folder.path().join("array.sbatch").exists());
}
