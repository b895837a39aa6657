//! In a git repository: what `git diff` shows of weights, and what git-lfs has to do with them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::tensor::{Dtype, TensorView};

/// A repository in a folder of its own, in which no configuration of this user or this machine counts.
struct Repository(tempfile::TempDir);

impl Repository {
    fn new() -> Repository {
        let repository = Repository(tempfile::tempdir().expect("a folder"));
        repository.git(&["init", "--quiet", "."]);
        repository
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        for name in ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"] {
            command.env(name, if cfg!(windows) { "NUL" } else { "/dev/null" });
        }
        // Found as an installed program is.
        let programs = Path::new(env!("CARGO_BIN_EXE_ckdiff")).parent().expect("in a folder").to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(programs).chain(std::env::split_paths(&path)));
        command.env("PATH", path.expect("no colon in the path of the build"));
        command.env("GIT_CEILING_DIRECTORIES", self.path().parent().expect("within a folder"));
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "nobody").env(format!("GIT_{who}_EMAIL"), "nobody@example.org");
        }
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_EXTERNAL_DIFF", "GIT_PAGER"] {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(self.path()).output().unwrap_or_else(|e| panic!("{program}: {e}"))
    }

    /// What git prints; it must succeed.
    fn git(&self, arguments: &[&str]) -> String {
        let done = self.run("git", arguments);
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "git {arguments:?}: {told}");
        String::from_utf8(done.stdout).expect("git shows text")
    }

    /// Exit status and what is said of files.
    fn inspect(&self, arguments: &[&str]) -> (i32, String) {
        let done = self.run(env!("CARGO_BIN_EXE_ckdiff"), &[&["inspect"], arguments].concat());
        let text = String::from_utf8(done.stdout).expect("UTF-8") + &String::from_utf8(done.stderr).expect("UTF-8");
        (done.status.code().expect("it exits"), text)
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder can be made");
        fs::write(&path, content).expect("a file can be written");
        path
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "-m", message]);
    }

    /// What the README gives to paste, pasted.
    fn with_textconv(self) -> Repository {
        let readme = include_str!("../README.md");
        let (_, block) = readme.split_once("```sh\necho '*.pth diff=ckdiff'").expect("the README tells how");
        let (block, _) = block.split_once("```").expect("the block ends");
        let done = self.run("sh", &["-e", "-c", &format!("echo '*.pth diff=ckdiff'{block}")]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        self
    }
}

/// A safetensors file of f32 zeros.
fn weights(keys: &[(&str, &[usize])]) -> Vec<u8> {
    let zeros = vec![0u8; 4096];
    let views = keys.iter().map(|(key, shape)| {
        let bytes = 4 * shape.iter().product::<usize>();
        (*key, TensorView::new(Dtype::F32, shape.to_vec(), &zeros[..bytes]).expect("a view"))
    });
    safetensors::serialize(views, None).expect("serializes")
}

const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n";

/// The lines that a diff adds and takes away.
fn changed(diff: &str) -> Vec<&str> {
    diff.lines().filter(|l| l.starts_with(['+', '-']) && !l.starts_with("+++") && !l.starts_with("---")).collect()
}

#[test]
fn a_diff_of_weights_shows_the_keys_that_changed() {
    let repository = Repository::new().with_textconv();
    repository.write("a b/模.safetensors", &weights(&[("body.weight", &[4, 3]), ("head.weight", &[2, 4])]));
    repository.commit("the first weights");
    repository.write("a b/模.safetensors", &weights(&[("body.weight", &[4, 3]), ("head.weight", &[5, 4])]));
    let diff = repository.git(&["diff"]);
    let shown: Vec<&str> = include_str!("../README.md")
        .split_once("```diff\n")
        .and_then(|(_, rest)| rest.split_once("```"))
        .map(|(block, _)| block.lines().collect())
        .expect("the README shows a diff");
    assert_eq!(changed(&diff), shown[1..], "{diff}");
    assert!(diff.contains(&format!("\n{}\n", shown[0])), "{diff}");
    repository.commit("more classes");
    // The same in the history.
    assert_eq!(changed(&repository.git(&["log", "-p", "-1", "--format="])).len(), 2);
}

#[test]
fn new_and_deleted_weights_are_listed_whole() {
    let repository = Repository::new().with_textconv();
    repository.write("a.safetensors", &weights(&[("w", &[4]), ("b", &[2])]));
    repository.commit("weights");
    let show = repository.git(&["show", "--format=", "--", "a.safetensors"]);
    assert_eq!(changed(&show).iter().filter(|l| l.starts_with('+')).count(), 4, "{show}");
    fs::remove_file(repository.path().join("a.safetensors")).expect("it was there");
    assert_eq!(changed(&repository.git(&["diff"])).len(), 4);
}

#[test]
fn a_pointer_that_becomes_weights_is_shown_although_one_side_cannot_be_read() {
    let repository = Repository::new().with_textconv();
    repository.write("a.safetensors", POINTER);
    repository.commit("a pointer by mistake");
    repository.write("a.safetensors", &weights(&[("w", &[4])]));
    let diff = repository.git(&["diff"]);
    let lines = changed(&diff);
    assert!(lines[0].starts_with("-CK001 cannot be read: a git-lfs pointer"), "{diff}");
    assert_eq!(lines[1..], ["+{", "+  \"w\": {\"dtype\": \"F32\", \"shape\": [4]}", "+}"], "{diff}");
}

#[test]
fn other_values_under_the_same_keys_show_nothing_unless_digests_are_asked_for() {
    let repository = Repository::new().with_textconv();
    let zeros = weights(&[("w", &[4])]);
    repository.write("a.safetensors", &zeros);
    repository.commit("zeros");
    let mut ones = zeros.clone();
    let end = ones.len();
    ones[end - 4..].copy_from_slice(&1f32.to_le_bytes());
    repository.write("a.safetensors", &ones);
    assert_eq!(changed(&repository.git(&["diff"])), Vec::<&str>::new());
    repository.git(&["config", "diff.ckdiff.textconv", "ckdiff snapshot --textconv --digest"]);
    let diff = repository.git(&["diff"]);
    assert!(changed(&diff).iter().any(|l| l.starts_with("+  \"w\"") && l.contains("\"max\": 1")), "{diff}");
}

/// What git-lfs does, in two lines of shell: git holds a pointer, the content lies beside it under its hash.
const CLEAN: &str = "f=$(mktemp) && cat > \"$f\" && h=$(git hash-object \"$f\") && mkdir -p .git/kept && mv \"$f\" .git/kept/$h && \
                     printf 'version https://git-lfs.github.com/spec/v1\\noid %s\\n' $h";
const SMUDGE: &str = "cat .git/kept/$(sed -n 's/^oid //p')";

#[test]
fn weights_that_a_filter_keeps_elsewhere_are_shown_by_their_keys_too() {
    let repository = Repository::new();
    repository.write(".gitattributes", b"*.safetensors filter=kept diff=lfs -text\n");
    repository.git(&["config", "filter.kept.clean", CLEAN]);
    repository.git(&["config", "filter.kept.smudge", SMUDGE]);
    let repository = repository.with_textconv();
    for rows in [2, 5] {
        repository.write("a.safetensors", &weights(&[("head.weight", &[rows, 4])]));
        repository.commit("weights");
    }
    assert!(repository.git(&["cat-file", "-p", "HEAD:a.safetensors"]).starts_with("version https://git-lfs"));
    let diff = repository.git(&["diff", "HEAD~", "HEAD"]);
    assert_eq!(changed(&diff).len(), 2, "{diff}");
    assert!(changed(&diff)[1].contains("\"shape\": [5, 4]"), "{diff}");
}

#[test]
fn a_file_too_large_for_git_fails_unless_git_lfs_manages_it() {
    let repository = Repository::new();
    let content = weights(&[("w", &[256])]);
    repository.write("sub/a.safetensors", &content);
    repository.write("small.safetensors", &weights(&[("w", &[2])]));
    let lint = ["--brief", "--max-size", "1kB", "sub/a.safetensors", "small.safetensors"];
    let (status, said) = repository.inspect(&lint);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("CK016") && said.contains("git lfs track \"*.safetensors\""), "{said}");
    assert!(!said.contains("small"), "{said}");
    // The attribute may stand in a folder below.
    repository.write("sub/.gitattributes", b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n");
    assert_eq!(repository.inspect(&lint), (0, String::new()));
}

#[test]
fn a_pointer_is_a_mistake_where_git_lfs_does_not_manage_it_and_a_missing_download_where_it_does() {
    let repository = Repository::new();
    repository.write("a.pth", POINTER);
    for arguments in [&["--brief", "a.pth"][..], &["a.pth"]] {
        let (status, said) = repository.inspect(arguments);
        assert_eq!(status, 2, "{said}");
        assert!(said.contains("so git keeps the pointer in place of the weights"), "{said}");
        assert!(said.contains("git lfs track \"*.pth\""), "{said}");
    }
    repository.write(".gitattributes", b"*.pth filter=lfs diff=lfs merge=lfs -text\n");
    let (status, said) = repository.inspect(&["--brief", "a.pth"]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("`git lfs pull`") && !said.contains("git lfs track"), "{said}");
}

#[test]
fn outside_a_repository_a_pointer_is_a_missing_download() {
    let folder = Repository(tempfile::tempdir().expect("a folder"));
    folder.write("a.pth", POINTER);
    let (status, said) = folder.inspect(&["--brief", "a.pth"]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("`git lfs pull`") && !said.contains("git lfs track"), "{said}");
}
