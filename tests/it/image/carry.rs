//! `mimeo image copy` and `take-in`: a version travels on a disk, and nothing else comes in with it.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    time::Duration,
};

use mimeo_core::units::SectorSize;
use mimeo_lab::content;
use mimeo_server::{db, imaging::provenance::Fingerprint};
use nix::mount::{MntFlags, umount2};
use serde_json::Value;

use super::{Child, Shop, flip_a_byte_of_a_pack, mimeo, run};

/// What a command answers, and whether it succeeded.
fn ask(arguments: &[&str]) -> (bool, Value, String) {
    let output = Child::command(arguments).run();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // The harness of the tests has said something before.
    let json = said
        .find(['[', '{'])
        .map_or(Value::Null, |start| serde_json::from_str(said[start..].trim()).unwrap_or(Value::Null));
    (output.status.success(), json, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Copies what is named from the shop's library into the folder `to`, and gives the fingerprint under which it went.
fn copy(shop: &Shop, to: &str, masters: &[&str]) -> (Value, String) {
    let (library, to) = (shop.path("library"), shop.path(to));
    let (succeeded, answer, error) =
        ask(&[&["image", "copy"], masters, &["--store", &library, "--to", &to]].concat());
    assert!(succeeded, "{error}");
    let fingerprint = answer[0]["provenance"]["fingerprint"].as_str().expect("a fingerprint").to_owned();
    (answer, fingerprint)
}

fn take_in(shop: &Shop, from: &str, into: &str, more: &[&str]) -> (bool, Value, String) {
    let (from, into) = (shop.path(from), shop.path(into));
    ask(&[&["image", "take-in", &from, "--store", &into], more].concat())
}

fn list(shop: &Shop, library: &str) -> Value {
    let (succeeded, answer, error) = ask(&["image", "ls", "--store", &shop.path(library)]);
    assert!(succeeded, "{error}");
    answer
}

fn pack_names(shop: &Shop, library: &str) -> Vec<String> {
    let packs = fs::read_dir(shop.path(library) + "/store/packs").expect("packs");
    let mut names: Vec<_> =
        packs.map(|entry| entry.expect("readable").file_name().into_string().expect("hexadecimal")).collect();
    names.sort();
    names
}

/// A shop with `disk@1` and, if wanted, `disk@2` with something more.
async fn shop_with_versions(second: bool) -> Shop {
    let shop = Shop::new();
    let disk = shop.disk();
    assert!(shop.image(&["capture", &disk, "--name", "disk"]).await);
    if second {
        add_noise(&disk);
        assert!(shop.image(&["capture", &disk, "--name", "disk"]).await);
    }
    shop
}

/// Writes three megabytes into a disk's boot area and behind the ext4, where every byte counts.
fn add_noise(disk: &str) {
    let mut noise = vec![0; 900 << 10];
    blake3::Hasher::new().update(b"more").finalize_xof().fill(&mut noise);
    let file = File::options().write(true).open(disk).expect("the disk");
    file.write_all_at(&noise, 64 << 10).expect("it is writable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_a_library_and_another_appliance_takes_it_in_once_its_key_is_trusted() {
    let shop = shop_with_versions(true).await;
    let (answer, fingerprint) = copy(&shop, "stick", &["disk@1"]);
    assert_eq!((&answer[0]["version"], &answer[0]["already_there"]), (&1.into(), &false.into()));
    let before = pack_names(&shop, "stick");

    // What the stick has already is not written again.
    let (answer, again) = copy(&shop, "stick", &["disk@1", "disk", "disk@2"]);
    assert_eq!(again, fingerprint);
    let kinds: Vec<_> =
        answer.as_array().expect("a list").iter().map(|one| one["already_there"].clone()).collect();
    assert_eq!(kinds, [Value::from(true), false.into()], "{answer}");
    assert!(answer[1]["chunks"].as_u64().expect("counted") <= 9, "{answer}");
    assert!(before.iter().all(|pack| pack_names(&shop, "stick").contains(pack)));

    // The stick alone is enough to look, to verify and to restore.
    let stick = shop.path("stick");
    let restored = shop.path("restored");
    assert!(mimeo(&["image", "verify", "disk@1", "--store", &stick]).await);
    assert!(mimeo(&["image", "restore", "disk", &restored, "--store", &stick]).await);
    content::compare(Path::new(&shop.path("disk")), Path::new(&restored), SectorSize::B512)
        .expect("the same");

    // A key that nobody trusts, or another fingerprint, takes nothing in.
    let other = Fingerprint::of(&[1; 32]).to_string();
    for trust in [&[][..], &["--trust", &other]] {
        let (succeeded, _, error) = take_in(&shop, "stick", "other", trust);
        assert!(!succeeded && error.contains(&fingerprint), "{error}");
        assert_eq!(list(&shop, "other").as_array().map(Vec::len), Some(0));
    }
    let (succeeded, answer, error) = take_in(&shop, "stick", "other", &["--trust", &fingerprint]);
    assert!(succeeded, "{error}");
    assert_eq!(answer.as_array().map(Vec::len), Some(2), "{answer}");
    // From now on it is known, and what is there stays as it is.
    let (succeeded, answer, _) = take_in(&shop, "stick", "other", &[]);
    assert!(
        succeeded && answer[0]["already_there"] == true && answer[1]["already_there"] == true,
        "{answer}"
    );
    let listed = list(&shop, "other");
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    assert_eq!(listed[0]["provenance"]["fingerprint"], *fingerprint);
    assert!(mimeo(&["image", "verify", "disk@2", "--store", &shop.path("other")]).await);
    assert!(mimeo(&["image", "info", "disk@2", "--store", &shop.path("other")]).await);

    // Its own versions come home without a question, and a further copy still says where they come from.
    let (succeeded, answer, error) = take_in(&shop, "stick", "library", &[]);
    assert!(succeeded && answer[0]["already_there"] == true, "{error}");
    let (other, third) = (shop.path("other"), shop.path("third"));
    let (succeeded, answer, error) = ask(&["image", "copy", "disk", "--store", &other, "--to", &third]);
    assert!(succeeded, "{error}");
    assert_eq!(answer[0]["provenance"]["fingerprint"], *fingerprint);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_gets_the_next_version() {
    let shop = shop_with_versions(false).await;
    let (_, fingerprint) = copy(&shop, "stick", &["disk"]);
    let volume = shop.path("volume");
    assert!(mimeo(&["image", "capture", &volume, "--name", "Disk", "--store", &shop.path("other")]).await);
    let (succeeded, answer, error) = take_in(&shop, "stick", "other", &["disk", "--trust", &fingerprint]);
    assert!(succeeded, "{error}");
    assert_eq!(answer[0]["version"], 2);
    let restored = shop.path("restored");
    assert!(mimeo(&["image", "restore", "disk@2", &restored, "--store", &shop.path("other")]).await);
    content::compare(Path::new(&shop.path("disk")), Path::new(&restored), SectorSize::B512)
        .expect("the same");
}

/// Changes the stick's list, as somebody might who had it for a while.
async fn tamper(shop: &Shop, statement: &'static str) {
    let db = db::open(&Path::new(&shop.path("stick")).join("mimeo.db")).await.expect("the list");
    sqlx::query(statement).execute(&db).await.expect("it is changed");
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_tampered_with_is_refused_whoever_is_trusted() {
    const SIGNATURE: &str = "UPDATE version_provenance SET signature = randomblob(64)";
    const RENUMBER: &str = "UPDATE version_provenance SET its_number = 7";
    const RENAME: &str = "UPDATE master SET name = 'windows'";
    const RENAME_BOTH: &str = "UPDATE version_provenance SET its_master = 'windows'";
    const OTHER_KEY: &str = "UPDATE version_provenance SET key = zeroblob(32)";
    const OTHER_VERSIONS: &str = "UPDATE version_provenance SET signature = \
         (SELECT other.signature FROM version_provenance AS other WHERE other.number = 2)";
    for change in [SIGNATURE, RENUMBER, RENAME, RENAME_BOTH, OTHER_KEY, OTHER_VERSIONS] {
        let shop = shop_with_versions(true).await;
        let (_, fingerprint) = copy(&shop, "stick", &["disk@1", "disk@2"]);
        tamper(&shop, change).await;
        let (succeeded, _, error) = take_in(&shop, "stick", "other", &["--trust", &fingerprint]);
        assert!(!succeeded, "{change}");
        assert!(error.contains("signed"), "{change}: {error}");
        assert!(!Path::new(&shop.path("other")).exists(), "{change}: nothing was even made");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_was_signed_by_another_key_is_asked_about_anew() {
    let shop = shop_with_versions(false).await;
    let (_, fingerprint) = copy(&shop, "stick", &["disk"]);
    let (succeeded, _, error) = take_in(&shop, "stick", "other", &["--trust", &fingerprint]);
    assert!(succeeded, "{error}");
    // Somebody puts a version of their own on the stick. Without provenance it is the stick's, whose key is not known.
    let volume = shop.path("volume");
    assert!(mimeo(&["image", "capture", &volume, "--name", "disk", "--store", &shop.path("stick")]).await);
    let (succeeded, _, error) = take_in(&shop, "stick", "other", &[]);
    assert!(!succeeded && error.contains("--trust") && !error.contains(&fingerprint), "{error}");
    assert_eq!(list(&shop, "other").as_array().map(Vec::len), Some(1));
    // The one that is known comes in all the same, asked for by its name.
    assert!(take_in(&shop, "stick", "other", &["disk@1"]).0);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_on_the_stick_is_named_and_takes_nothing_in() {
    let shop = shop_with_versions(false).await;
    let (_, fingerprint) = copy(&shop, "stick", &["disk"]);
    let stick = shop.path("stick");
    flip_a_byte_of_a_pack(Path::new(&stick));
    let (succeeded, _, error) = take_in(&shop, "stick", "other", &["--trust", &fingerprint]);
    let pack = pack_names(&shop, "stick")[0].trim_end_matches(".pack").to_owned();
    assert!(!succeeded && error.contains("chunk ") && error.contains(&pack), "{error}");
    assert_eq!(list(&shop, "other").as_array().map(Vec::len), Some(0));
    flip_a_byte_of_a_pack(Path::new(&stick));

    let manifests = fs::read_dir(Path::new(&stick).join("store/manifests")).expect("manifests");
    let manifest = manifests.map(|entry| entry.expect("readable").path()).next().expect("one");
    let file = File::options().read(true).write(true).open(&manifest).expect("a manifest");
    let mut byte = [0];
    file.read_exact_at(&mut byte, 100).expect("it is longer");
    file.write_all_at(&[byte[0] ^ 1], 100).expect("it is writable");
    let (succeeded, _, error) = take_in(&shop, "stick", "other", &[]);
    assert!(!succeeded && error.contains("manifest"), "{error}");
    assert_eq!(list(&shop, "other").as_array().map(Vec::len), Some(0));
    file.write_all_at(&byte, 100).expect("it is writable");
    assert!(take_in(&shop, "stick", "other", &[]).0, "mended, it comes in");
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_that_are_no_library_or_another_programs_are_refused() {
    let shop = shop_with_versions(false).await;
    let empty = shop.path("empty");
    fs::create_dir(&empty).expect("a folder");
    assert!(!take_in(&shop, "empty", "other", &[]).0);
    assert!(!take_in(&shop, "nowhere", "other", &[]).0);
    assert_eq!(fs::read_dir(&empty).expect("it is there").count(), 0, "looking makes nothing");
    assert!(!Path::new(&shop.path("other")).exists());
    let library = shop.path("library");
    assert!(!ask(&["image", "copy", "nobody", "--store", &library, "--to", &shop.path("new")]).0);
    assert!(!Path::new(&shop.path("new")).exists(), "a mistyped name makes no library");
    fs::write(Path::new(&empty).join("letter"), "dear").expect("a file");
    assert!(!ask(&["image", "copy", "disk", "--store", &library, "--to", &empty]).0);
    assert_eq!(fs::read_dir(&empty).expect("it is there").count(), 1);

    let (_, fingerprint) = copy(&shop, "stick", &["disk"]);
    let lock =
        File::options().write(true).open(Path::new(&shop.path("stick")).join("lock")).expect("its lock");
    lock.lock().expect("nobody has it");
    let (succeeded, _, error) = take_in(&shop, "stick", "other", &["--trust", &fingerprint]);
    assert!(!succeeded && error.contains("another program"), "{error}");
    drop(lock);
    let (succeeded, _, error) = ask(&["image", "copy", "disk", "--store", &library, "--to", &library]);
    assert!(!succeeded && error.contains("another program"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stick_that_is_full_gets_no_half_version() {
    let shop = shop_with_versions(true).await;
    let stick = shop.path("stick");
    fs::create_dir(&stick).expect("a folder");
    // The store leaves 512 MiB free wherever it is, so 513 have too little room for two versions.
    run("mount", &["-t", "tmpfs", "-o", "size=513m", "tmpfs", &stick]);
    let unmount = || umount2(Path::new(&stick), MntFlags::MNT_DETACH).expect("unmounted");
    let (succeeded, _, error) =
        ask(&["image", "copy", "disk", "--store", &shop.path("library"), "--to", &stick]);
    let full = !succeeded && error.contains("full");
    let listed = ask(&["image", "ls", "--store", &stick]);
    unmount();
    assert!(full, "{error}");
    assert_eq!(listed.1.as_array().map(Vec::len), Some(0), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stick_whose_folders_lead_elsewhere_is_refused() {
    let shop = shop_with_versions(false).await;
    let (_, fingerprint) = copy(&shop, "stick", &["disk"]);
    let elsewhere = shop.path("elsewhere");
    fs::create_dir(&elsewhere).expect("a folder");
    fs::write(Path::new(&elsewhere).join("letter"), "dear").expect("a file");
    let incoming = shop.path("stick/store/incoming");
    fs::remove_dir(&incoming).expect("it is empty");
    std::os::unix::fs::symlink(&elsewhere, &incoming).expect("a link");
    let (succeeded, _, error) = take_in(&shop, "stick", "other", &["--trust", &fingerprint]);
    assert!(!succeeded && error.contains("link"), "{error}");
    assert!(
        Path::new(&elsewhere).join("letter").exists(),
        "what is incoming is cleared away, and this is not"
    );
}

/// How often a copy is killed, each time a little later.
const KILLS: u32 = 24;
const LATER: Duration = Duration::from_millis(40);

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_killed_lists_nothing_half_and_goes_on_where_it_was() {
    let shop = Shop::new();
    let disk = shop.noise();
    assert!(shop.image(&["capture", &disk, "--name", "disk"]).await);
    add_noise(&disk);
    assert!(shop.image(&["capture", &disk, "--name", "disk"]).await);
    let (_, fingerprint) = copy(&shop, "stick", &["disk@1", "disk@2"]);
    let other = shop.path("other");
    let mut met = 0;
    for kill in 0..KILLS {
        let arguments = ["image", "take-in", &shop.path("stick"), "--store", &other, "--trust", &fingerprint];
        let mut child = Child::command(&arguments).start();
        std::thread::sleep(LATER * kill);
        let over = child.try_wait().expect("it can be asked").is_some();
        child.kill().expect("it is killed, or over");
        child.wait().expect("it ended");
        met += u32::from(!over);
        let listed = ask(&["image", "ls", "--store", &other]);
        let count = listed.1.as_array().map_or(0, Vec::len);
        for number in 1..=count {
            let verified = ask(&["image", "verify", &format!("disk@{number}"), "--store", &other]);
            assert!(verified.0, "kill {kill}: {verified:?}");
        }
        if count == 2 {
            fs::remove_dir_all(&other).expect("it is there");
        }
    }
    assert!(met >= 5, "only {met} kills met a copy at work");
    let (succeeded, _, error) = take_in(&shop, "stick", "other", &["--trust", &fingerprint]);
    assert!(succeeded, "{error}");
    assert_eq!(list(&shop, "other").as_array().map(Vec::len), Some(2));
}
