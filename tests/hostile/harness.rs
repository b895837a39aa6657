//! Runs the program on one file, in a folder of its own, under limits.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Address space in kB: the 200 MB that are allowed, and 40 MB for the program's own text, stacks and allocator slack.
const MEMORY: u64 = 240_000;
/// Another binary to test than the one of this build: an optimised one, held to the limits that are promised (`figures.sh`).
static RELEASED: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("CKDIFF_BINARY").ok());
/// A file to which every run of the program adds its name, seconds and kilobytes.
static FIGURES: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("CKDIFF_FIGURES").ok());
/// Text shown to a person, at most, in bytes: a screen or two, not a file's content.
const TEXT: usize = 20_000;

/// Whether the program under test is optimised.
fn optimised() -> bool {
    RELEASED.is_some() || !cfg!(debug_assertions)
}

/// The time allowed: 2 s. Builds without optimisation are up to ten times slower; where figures are taken, they are the judge, since
/// all tests at once share the processors.
fn time_allowed() -> Duration {
    Duration::from_secs(if optimised() && FIGURES.is_none() { 2 } else { 20 })
}

/// How many of something a big file has: as many as the limits are meant for, fewer in builds without optimisation.
pub(crate) fn many() -> usize {
    if optimised() { 1_000_000 } else { 100_000 }
}

/// A folder with the files of one test.
pub(crate) struct Folder {
    dir: tempfile::TempDir,
}

/// What the program did.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The exit status.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// Standard output as JSON; null where it is none.
    pub json: serde_json::Value,
}

impl Folder {
    /// An empty folder.
    pub(crate) fn new() -> Folder {
        Folder { dir: tempfile::tempdir().expect("a folder for the test") }
    }

    /// Where a file of that name is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts a file into the folder.
    pub(crate) fn put(self, name: &str, bytes: impl AsRef<[u8]>) -> Folder {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).expect("folders for the file");
        }
        fs::write(path, bytes).expect("the file can be written");
        self
    }

    /// Takes a file out of it again.
    pub(crate) fn without(self, name: &str) -> Folder {
        fs::remove_file(self.path(name)).expect("the file was there");
        self
    }

    /// Inspects a file of the folder as JSON and as text, and checks what holds for every file.
    pub(crate) fn inspect(&self, name: &str) -> Outcome {
        let text = self.run(&["inspect", name]);
        assert!(text.out.len() + text.err.len() < TEXT, "a wall of text: {} bytes", text.out.len() + text.err.len());
        let json = self.run(&["inspect", name, "--format", "json"]);
        assert_eq!(text.code, json.code, "text and JSON differ in their exit status: {text:?} {json:?}");
        match json.code {
            2 => {
                assert!(json.out.is_empty() && !json.err.is_empty(), "a refusal says why, on standard error: {json:?}")
            }
            _ => assert!(json.json.is_object(), "no JSON: {}", json.out.chars().take(400).collect::<String>()),
        }
        json
    }

    /// Runs the program with these arguments, in the folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_os(&arguments.iter().map(|a| OsStr::new(*a)).collect::<Vec<_>>())
    }

    /// The same with arguments that need not be text.
    pub(crate) fn run_os(&self, arguments: &[&OsStr]) -> Outcome {
        let before = self.listing();
        let outcome = run(self.dir.path(), arguments);
        assert_eq!(before, self.listing(), "something was left behind by {arguments:?}");
        assert!((0..=2).contains(&outcome.code), "{arguments:?}: {outcome:?}");
        assert!(!outcome.err.contains("panicked"), "{}", outcome.err);
        for text in [&outcome.out, &outcome.err] {
            let control = text.chars().find(|&c| c.is_control() && c != '\n');
            assert_eq!(control, None, "a control character reaches the terminal: {arguments:?}");
        }
        outcome
    }

    fn listing(&self) -> BTreeSet<PathBuf> {
        let mut folders = vec![self.dir.path().to_path_buf()];
        let mut found = BTreeSet::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("the folder can be listed").flatten() {
                if entry.file_type().is_ok_and(|t| t.is_dir()) {
                    folders.push(entry.path());
                }
                found.insert(entry.path());
            }
        }
        found
    }
}

impl Outcome {
    /// The paths of the tensors that were listed.
    pub(crate) fn tensors(&self) -> Vec<&str> {
        let list = self.json["tensors"].as_array().map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(|t| t["path"].as_str()).collect()
    }

    /// Everything that was said: findings with their codes, and standard error.
    pub(crate) fn said(&self) -> String {
        let list = self.json["findings"].as_array().map_or(&[][..], Vec::as_slice);
        let one = |f: &serde_json::Value| format!("{} {} {}\n", f["severity"], f["code"], f["message"]);
        list.iter().map(one).collect::<String>().replace('"', "") + &self.err
    }

    /// Asserts that the file was refused, with these words.
    pub(crate) fn refused(&self, words: &str) {
        assert_eq!(self.code, 2, "was read: {self:?}");
        assert!(self.err.contains(words), "{words:?} is not in: {}", self.err);
    }

    /// Asserts that the file was read, that an error was found in it and said with these words, and that these tensors are listed.
    pub(crate) fn faulty(&self, words: &str, tensors: &[&str]) {
        assert_eq!(self.code, 1, "no error: {self:?}");
        assert!(self.said().contains(words), "{words:?} is not in: {}", self.said());
        assert_eq!(self.tensors(), tensors);
    }

    /// Asserts that the file was read without an error.
    pub(crate) fn sound(&self, tensors: &[&str]) {
        assert_eq!(self.code, 0, "{}", self.said());
        assert_eq!(self.tensors(), tensors);
    }
}

/// Inspects one file by itself.
pub(crate) fn inspect(name: &str, bytes: impl AsRef<[u8]>) -> Outcome {
    Folder::new().put(name, bytes).inspect(name)
}

fn run(folder: &Path, arguments: &[&OsStr]) -> Outcome {
    let binary = RELEASED.as_deref().unwrap_or(env!("CARGO_BIN_EXE_ckdiff"));
    // The shell sets the limit, since the standard library cannot. Beyond it an allocation fails, and the program aborts.
    let mut command = if cfg!(target_os = "linux") {
        let mut shell = Command::new("sh");
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("main");
        let time = match &*FIGURES {
            Some(file) => format!("/usr/bin/time -a -o '{file}' -f '%U %S %e %M {name}'"),
            None => String::new(),
        };
        shell.args(["-c", &format!("ulimit -v {MEMORY}; exec {time} \"$0\" \"$@\""), binary]);
        shell
    } else {
        Command::new(binary)
    };
    command.args(arguments).current_dir(folder).env("NO_COLOR", "1").env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    // Both streams are emptied at once, or the program would wait for a full pipe.
    let mut streams = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let out = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        streams.0.read_to_end(&mut bytes).map(|_| bytes)
    });
    let err = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        streams.1.read_to_end(&mut bytes).map(|_| bytes)
    });
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("the program can be waited for") {
            break status;
        }
        if start.elapsed() > time_allowed() {
            child.kill().expect("the program can be stopped");
            panic!("no answer within {:?}: {arguments:?}", time_allowed());
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let text = |bytes: std::thread::Result<std::io::Result<Vec<u8>>>| {
        let bytes = bytes.expect("the stream is read").expect("the stream is read");
        String::from_utf8(bytes).expect("output is UTF-8")
    };
    let (out, err) = (text(out.join()), text(err.join()));
    let json = serde_json::from_str(&out).unwrap_or_default();
    let code = status.code().unwrap_or_else(|| panic!("ended by {status}: {arguments:?}\n{err}"));
    Outcome { code, out, err, json }
}
