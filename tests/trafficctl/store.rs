//! What becomes of a file that is changed: links to it, its attributes, its owner, its lock.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{XattrFlags, getxattr, listxattr, setxattr};
use testbed::trafficctl::Ended;

use super::{Desk, POLICY};

/// A change of the policy on a desk.
const CHANGE: &str = "set-traffic ranker model-v1=1";

/// Runs the change of the file at `path`, which must be refused. Returns the message.
fn refused(desk: &Desk, path: &Path, options: &str) -> String {
    let (before, files) = (fs::read_to_string(path).unwrap(), desk.others().len());
    let ended = desk.run(&format!("{CHANGE} -f {}{options}", path.display()));
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert_eq!(ended.stdout, "");
    assert_eq!(fs::read_to_string(path).unwrap(), before);
    assert_eq!(desk.others().len(), files);
    ended.stderr
}

/// Runs the change of the file at `path`, which must succeed.
fn changed(desk: &Desk, path: &Path, options: &str) {
    desk.ok(&format!("{CHANGE} -f {}{options}", path.display()));
    assert!(fs::read_to_string(path).unwrap().contains(r#""traffic": { "model-v1": 1 }"#));
}

#[test]
fn a_symbolic_link_is_changed_only_on_request_and_then_its_target_is() {
    let desk = Desk::with("policy.json", POLICY);
    let link = desk.folder.path().join("link.json");
    symlink("policy.json", &link).unwrap();
    let message = refused(&desk, &link, "");
    for words in ["link.json is a symbolic link to ", "/policy.json, and Envoy, which watches the folder", "--follow"] {
        assert!(message.contains(words), "{message}");
    }
    refused(&desk, &link, " --dry-run");
    changed(&desk, &link, " --follow");
    assert!(link.is_symlink());
    assert!(desk.text().contains(r#""model-v1": 1"#));
}

#[test]
fn a_link_to_a_folder_on_the_way_to_the_file_makes_no_difference() {
    let desk = Desk::with("policy.json", POLICY);
    let elsewhere = tempfile::tempdir().unwrap();
    let folder = elsewhere.path().join("folder");
    symlink(desk.folder.path(), &folder).unwrap();
    changed(&desk, &folder.join("policy.json"), "");
}

#[test]
fn a_file_that_kubernetes_writes_is_never_changed() {
    let desk = Desk::with("policy.json", POLICY);
    let volume = desk.folder.path().join("volume");
    // As the kubelet does: a folder with the time in its name, a link to it, and links through that.
    let data = volume.join("..2026_11_25_09_00_00.123456789");
    fs::create_dir_all(data.join("deep")).unwrap();
    symlink(data.file_name().unwrap(), volume.join("..data")).unwrap();
    for name in ["policy.json", "deep/policy.json"] {
        fs::write(data.join(name), POLICY).unwrap();
    }
    for (link, target) in [("policy.json", "..data/policy.json"), ("deep", "..data/deep")] {
        symlink(target, volume.join(link)).unwrap();
    }
    symlink("volume/policy.json", desk.folder.path().join("link.json")).unwrap();
    let paths = ["volume/policy.json", "volume/deep/policy.json", "volume/..data/policy.json", "link.json"];
    for path in paths.map(|path| desk.folder.path().join(path)) {
        for options in ["", " --follow", " --follow --dry-run"] {
            let message = refused(&desk, &path, options);
            for words in ["writes", "from a ConfigMap", "its next sync would undo the change", "kubectl apply -f -"] {
                assert!(message.contains(words), "{}: {message}", path.display());
            }
        }
        desk.ok(&format!("list -f {}", path.display()));
    }
}

#[test]
fn a_file_with_a_second_name_is_not_changed() {
    let desk = Desk::with("policy.json", POLICY);
    let second = desk.folder.path().join("second.json");
    fs::hard_link(desk.file(), &second).unwrap();
    for options in ["", " --follow", " --dry-run"] {
        let message = refused(&desk, &second, options);
        assert!(message.contains("second.json has 2 names (hard links)"), "{message}");
    }
    fs::remove_file(&second).unwrap();
    changed(&desk, Path::new(desk.file()), "");
}

/// The extended attributes of a file.
fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 1 << 16];
    let length = listxattr(path, &mut names[..]).unwrap();
    let names = String::from_utf8(names[..length].to_vec()).unwrap();
    let value = |name: &str| {
        let mut value = vec![0; 1 << 16];
        let length = getxattr(path, name, &mut value[..]).unwrap();
        value[..length].to_vec()
    };
    names.split_terminator('\0').map(|name| (name.to_owned(), value(name))).collect()
}

/// An access control list as Linux stores it, which lets the user 12345 read a file that only its
/// owner and group may read otherwise.
fn access_list() -> Vec<u8> {
    const NOBODY: u32 = u32::MAX;
    let entries: [(u16, u16, u32); 5] =
        [(0x01, 6, NOBODY), (0x02, 4, 12_345), (0x04, 4, NOBODY), (0x10, 4, NOBODY), (0x20, 0, NOBODY)];
    let entry = |(tag, rights, id): (u16, u16, u32)| {
        [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    [&2_u32.to_le_bytes()[..], &entries.map(entry).concat()].concat()
}

#[test]
fn an_access_control_list_and_other_extended_attributes_stay() {
    let desk = Desk::with("policy.json", POLICY);
    let path = Path::new(desk.file());
    setxattr(path, "user.reviewed", b"yes", XattrFlags::empty()).unwrap();
    setxattr(path, "system.posix_acl_access", &access_list(), XattrFlags::empty()).unwrap();
    let (before, mode) = (attributes(path), fs::metadata(path).unwrap().mode());
    assert!(before.len() >= 2, "{before:?}");
    changed(&desk, path, "");
    assert_eq!((attributes(path), fs::metadata(path).unwrap().mode()), (before, mode));
}

#[test]
fn a_change_gives_nobody_access_whom_the_file_did_not_give_it() {
    let desk = Desk::with("policy.json", POLICY);
    let path = Path::new(desk.file());
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    setxattr(desk.folder.path(), "system.posix_acl_default", &access_list(), XattrFlags::empty()).unwrap();
    changed(&desk, path, "");
    assert!(!attributes(path).contains_key("system.posix_acl_access"));
    assert_eq!(fs::metadata(path).unwrap().mode() & 0o7777, 0o600);
}

/// The user to whom a file belongs.
const OWNER: u32 = 61_001;

/// The user who changes it.
const EDITOR: u32 = 61_002;

/// The group of both.
const GROUP: u32 = 61_003;

/// A desk whose file belongs to another user of the editor's group; `None` unless the tests run as
/// root: only root can give a file away.
fn shared_desk(mode: u32) -> Option<Desk> {
    let desk = Desk::with("policy.json", POLICY);
    fs::set_permissions(desk.file(), Permissions::from_mode(mode)).unwrap();
    if fs::metadata(desk.file()).unwrap().uid() != 0 {
        return None;
    }
    // The editor may not be able to reach the folder where the program was built.
    fs::copy(desk.trafficctl.program(), desk.folder.path().join("trafficctl")).unwrap();
    chown(desk.file(), Some(OWNER), Some(GROUP)).unwrap();
    chown(desk.folder.path(), None, Some(GROUP)).unwrap();
    fs::set_permissions(desk.folder.path(), Permissions::from_mode(0o770)).unwrap();
    Some(desk)
}

/// Runs the change as a user of a group.
fn change_as(desk: &Desk, user: u32, group: u32) -> Ended {
    let mut command = Command::new(desk.folder.path().join("trafficctl"));
    command.args(CHANGE.split(' ')).args(["-f", desk.file()]).uid(user).gid(group);
    Ended::from(command.output().unwrap())
}

/// The owner, the group and the permissions of the file on a desk.
fn access(desk: &Desk) -> (u32, u32, u32) {
    let metadata = fs::metadata(desk.file()).unwrap();
    (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
}

/// Without root, this tests that a change of one's own file keeps owner and group.
#[test]
fn another_user_of_the_group_cannot_make_a_private_file_unreadable_for_its_owner() {
    for mode in [0o600, 0o640, 0o660] {
        let Some(desk) = shared_desk(mode) else { return owner_stays(mode) };
        // The editor can read it: otherwise, nothing would change anyway.
        fs::set_permissions(desk.file(), Permissions::from_mode(mode | 0o040)).unwrap();
        let ended = change_as(&desk, EDITOR, GROUP);
        assert_eq!(ended.status, Some(1), "{ended:?}");
        let words = format!("would belong to the user {EDITOR} instead of the user {OWNER}, which could not read it");
        assert!(ended.stderr.contains(&words), "{ended:?}");
        assert_eq!((access(&desk), desk.text()), ((OWNER, GROUP, mode | 0o040), POLICY.to_owned()));
        assert_eq!(desk.others(), [desk.folder.path().join("trafficctl")]);
    }
}

/// Without root, this tests that a change of one's own file keeps owner and group.
#[test]
fn another_user_of_the_group_changes_a_file_that_everyone_can_read_and_is_warned() {
    let Some(desk) = shared_desk(0o664) else { return owner_stays(0o664) };
    let ended = change_as(&desk, EDITOR, GROUP);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let words = format!("belonged to the user {OWNER}, and belongs to the user {EDITOR} now");
    assert!(ended.stderr.contains("warning: ") && ended.stderr.contains(&words), "{ended:?}");
    assert_eq!(access(&desk), (EDITOR, GROUP, 0o664));
    assert!(desk.text().contains(r#""model-v1": 1"#));
}

/// Without root, this tests that a change of one's own file keeps owner and group.
#[test]
fn root_changes_any_file_and_its_owner_stays() {
    for mode in [0o600, 0o664] {
        let Some(desk) = shared_desk(mode) else { return owner_stays(mode) };
        let ended = change_as(&desk, 0, 0);
        assert_eq!((ended.status, access(&desk)), (Some(0), (OWNER, GROUP, mode)), "{ended:?}");
        assert!(!ended.stderr.contains("belong"), "{ended:?}");
    }
}

/// Without root, this tests that a change of one's own file keeps owner and group.
#[test]
fn a_change_that_would_lose_an_attribute_is_refused_with_its_name() {
    let Some(desk) = shared_desk(0o664) else { return owner_stays(0o664) };
    setxattr(desk.file(), "security.label", b"a", XattrFlags::empty()).unwrap();
    let ended = change_as(&desk, EDITOR, GROUP);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("policy.json would lose its extended attribute security.label: "), "{ended:?}");
    assert_eq!((access(&desk), desk.text()), ((OWNER, GROUP, 0o664), POLICY.to_owned()));
    let ended = change_as(&desk, 0, 0);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(attributes(Path::new(desk.file()))["security.label"], b"a");
}

fn owner_stays(mode: u32) {
    let desk = Desk::with("policy.json", POLICY);
    fs::set_permissions(desk.file(), Permissions::from_mode(mode)).unwrap();
    let before = access(&desk);
    changed(&desk, Path::new(desk.file()), "");
    assert_eq!(access(&desk), before);
}

/// A process that holds the lock on a folder, until the value is dropped.
struct Holder(Child);

impl Holder {
    fn of(folder: &Path) -> Self {
        let mut command = Command::new("flock");
        let child = command.args(["--no-fork".as_ref(), folder.as_os_str()]).args(["sleep", "600"]).spawn().unwrap();
        let holder = Self(child);
        let start = Instant::now();
        while fs::File::open(folder).unwrap().try_lock().is_ok() {
            assert!(start.elapsed() < Duration::from_secs(30), "the lock is still free");
            std::thread::sleep(Duration::from_millis(10));
        }
        holder
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_change_gives_up_on_a_lock_after_the_timeout_and_names_its_holder() {
    let desk = Desk::with("policy.json", POLICY);
    let holder = Holder::of(desk.folder.path());
    for (timeout, warnings) in [(0, 0), (1, 0), (2, 1)] {
        let start = Instant::now();
        let message = refused(&desk, Path::new(desk.file()), &format!(" --lock-timeout {timeout}"));
        let (took, timeout) = (start.elapsed(), Duration::from_secs(timeout));
        assert!(timeout <= took && took < timeout + Duration::from_secs(20), "{took:?}");
        assert!(
            message.contains(&format!("error: not changed: process {} (sleep) has locked", holder.0.id())),
            "{message}"
        );
        assert_eq!(message.matches("warning: waiting for ").count(), warnings, "{message}");
    }
}

#[test]
fn a_change_that_waits_for_a_lock_says_for_whom_and_is_made_when_the_lock_is_free() {
    let desk = Desk::with("policy.json", POLICY);
    let holder = Holder::of(desk.folder.path());
    let mut command = desk.trafficctl.command(CHANGE.split(' '));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(desk.text(), POLICY);
    let words = format!("process {} (sleep) has locked the folder", holder.0.id());
    drop(holder);
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.stderr.starts_with("warning: waiting for ") && ended.stderr.contains(&words), "{ended:?}");
    assert!(desk.text().contains(r#""model-v1": 1"#));
}
