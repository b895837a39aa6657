//! `ckdiff check` as a project uses it: each test is a repository of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

/// A repository in a folder of its own.
struct Project(tempfile::TempDir);

/// What a run said.
struct Said {
    status: i32,
    out: String,
    err: String,
}

impl Project {
    fn new() -> Project {
        Project(tempfile::tempdir().expect("a folder"))
    }

    /// With one contract on `w/*.json`, which are read like checkpoints.
    fn with_contract(more: &str) -> Project {
        let project = Project::new();
        project.write(
            "ckdiff.toml",
            &format!("[[contract]]\nname = \"net\"\nsource = \"w/*.json\"\nexpected = \"expected.json\"\n{more}"),
        );
        project.write("expected.json", EXPECTED);
        project
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder can be made");
        fs::write(path, text).expect("a file can be written");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).expect("the file is there")
    }

    fn run_in(&self, folder: &str, line: &str) -> Said {
        let done = Command::new(env!("CARGO_BIN_EXE_ckdiff"))
            .args(line.split_whitespace())
            .current_dir(self.path().join(folder))
            .output()
            .expect("ckdiff starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
        Said { status: done.status.code().expect("it exits"), out: text(done.stdout), err: text(done.stderr) }
    }

    fn run(&self, line: &str) -> Said {
        self.run_in("", line)
    }

    fn json(&self, line: &str) -> (i32, serde_json::Value) {
        let said = self.run(&format!("{line} --format json"));
        (said.status, serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {} {}", said.out, said.err)))
    }
}

const EXPECTED: &str = r#"{
  "body.conv.weight": {"dtype": "F32", "shape": [64, 3, 7, 7]},
  "body.fc.weight": {"dtype": "F32", "shape": [32, 64]},
  "head.weight": {"dtype": "F32", "shape": [10, 32]},
  "head.bias": {"dtype": "F32", "shape": [10]}
}
"#;

/// A checkpoint whose head is called otherwise.
fn renamed() -> String {
    EXPECTED.replace("head.", "classifier.")
}

/// A checkpoint without its head.
fn headless() -> String {
    "{\"body.conv.weight\": {\"dtype\": \"F32\", \"shape\": [64, 3, 7, 7]}, \"body.fc.weight\": {\"dtype\": \"F32\", \"shape\": [32, 64]}}"
        .into()
}

#[test]
fn nothing_is_said_on_standard_output_where_all_hold() {
    let project = Project::with_contract("");
    project.write("w/a.json", EXPECTED);
    project.write("w/b.json", EXPECTED);
    let said = project.run("check");
    assert_eq!((said.status, said.out.as_str()), (0, ""));
    assert_eq!(said.err, "ckdiff check: 1 contract, 2 files: all hold\n");
    let quiet = project.run("check -q");
    assert_eq!((quiet.status, quiet.out.as_str(), quiet.err.as_str()), (0, "", ""));
}

#[test]
fn a_broken_contract_is_named_with_its_cause_and_the_others_are_checked_all_the_same() {
    let project = Project::with_contract("");
    project.write("w/a.json", &renamed());
    project.write("w/b.json", EXPECTED);
    let said = project.run("check");
    assert_eq!(said.status, 1, "{}", said.out);
    assert!(said.out.starts_with("contract net   w/a.json\nsource  a.json"), "{}", said.out);
    assert!(said.out.contains("CK104") && said.out.contains("^classifier\\. → head."), "{}", said.out);
    assert!(!said.out.contains("b.json"), "{}", said.out);
    assert_eq!(said.err, "ckdiff check: 1 contract, 2 files: 1 does not hold\n");
}

#[test]
fn a_level_excuses_what_it_allows() {
    let project = Project::with_contract("level = \"fixable\"\n");
    project.write("w/a.json", &renamed());
    let said = project.run("check");
    assert_eq!((said.status, said.out.as_str()), (0, ""));
    project.write("w/a.json", &headless());
    assert_eq!(project.run("check").status, 1);
}

#[test]
fn the_configuration_is_found_from_a_folder_below() {
    let project = Project::with_contract("");
    project.write("w/a.json", &renamed());
    project.write("src/deep/x.py", "");
    let said = project.run_in("src/deep", "check");
    assert_eq!(said.status, 1, "{}", said.err);
    assert!(said.out.contains("a.json"), "{}", said.out);
    let given = project.run_in("w", "check a.json");
    assert_eq!(given.status, 1, "{}", given.err);
}

#[test]
fn without_a_configuration_the_shortest_one_is_shown() {
    let said = Project::new().run("check");
    assert_eq!(said.status, 2);
    assert!(said.err.contains("no ckdiff.toml") && said.err.contains("[[contract]]"), "{}", said.err);
}

#[test]
fn a_configuration_without_contracts_says_that_it_promises_nothing() {
    let project = Project::new();
    project.write("ckdiff.toml", "");
    let said = project.run("check");
    assert_eq!((said.status, said.out.as_str()), (0, ""));
    assert_eq!(said.err, "ckdiff check: ckdiff.toml has no [[contract]]: nothing is promised\n");
}

#[test]
fn a_mistake_in_the_configuration_is_marked_and_ends_with_status_2() {
    let project = Project::with_contract("levle = \"strict\"\n");
    let said = project.run("check");
    assert_eq!((said.status, said.out.as_str()), (2, ""));
    let lines: Vec<&str> = said.err.lines().map(str::trim_end).collect();
    assert_eq!(lines[0], "error  CK902  ckdiff.toml: line 5, column 1");
    assert_eq!(lines[2].trim(), "5 | levle = \"strict\"");
    assert_eq!(lines[3].trim(), "| ^^^^^");
    assert!(lines[4].contains("unknown field `levle`"), "{}", said.err);
}

#[test]
fn given_files_choose_the_contracts_that_they_belong_to() {
    let project = Project::with_contract("");
    let more = "\n[[contract]]\nname = \"other\"\nsource = \"o.json\"\nexpected = \"other.json\"\n";
    project.write("ckdiff.toml", &(project.read("ckdiff.toml") + more));
    project.write("w/a.json", &renamed());
    project.write("w/b.json", &renamed());
    project.write("o.json", &renamed());
    project.write("other.json", EXPECTED);
    project.write("README.md", "");
    let contracts = |line: &str| {
        let (_, json) = project.json(line);
        let rows = json["contracts"].as_array().expect("a list").clone();
        rows.iter().map(|r| r["source"].as_str().expect("a string").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(contracts("check"), ["w/a.json", "w/b.json", "o.json"]);
    assert_eq!(contracts("check w/b.json README.md"), ["w/b.json"]);
    assert_eq!(contracts("check expected.json"), ["w/a.json", "w/b.json"]);
    assert_eq!(contracts("check ./other.json w/a.json"), ["w/a.json", "o.json"]);
    assert_eq!(contracts("check ckdiff.toml"), ["w/a.json", "w/b.json", "o.json"]);
    let none = project.run("check README.md nothing.txt");
    assert_eq!((none.status, none.out.as_str(), none.err.as_str()), (0, "", ""));
}

#[test]
fn a_pattern_that_matches_no_file_is_a_finding() {
    let project = Project::with_contract("");
    let said = project.run("check");
    assert_eq!(said.status, 1, "{}", said.err);
    assert!(said.out.contains("CK903  `w/*.json` matches no file (ckdiff.toml:3)"), "{}", said.out);
    let lenient = Project::with_contract("[severity]\nunmatched-source = \"warning\"\n");
    assert_eq!(lenient.run("check").status, 0);
}

#[test]
fn an_ignore_accepts_a_finding_and_one_that_matches_nothing_is_a_finding_itself() {
    let ignore = "[[ignore]]\ncode = \"renamed\"\nkey = \"head.*\"\nreason = \"the loader renames the head\"\n";
    let project = Project::with_contract(ignore);
    project.write("w/a.json", &renamed());
    let (status, json) = project.json("check");
    assert_eq!(status, 0, "{json}");
    assert_eq!(json["findings"][0]["status"], "ignored");
    assert_eq!(json["findings"][0]["reason"], "the loader renames the head");

    project.write("w/a.json", EXPECTED);
    let said = project.run("check");
    assert_eq!(said.status, 0, "a warning does not fail");
    assert!(said.out.contains("warning  CK904  an ignore of CK104 matches nothing (ckdiff.toml:5)"), "{}", said.out);
    // Of a part of the contracts nothing can be said about it.
    assert_eq!(project.run("check w/a.json").out, "");
    let strict = project.read("ckdiff.toml") + "[severity]\nunmatched-ignore = \"error\"\n";
    project.write("ckdiff.toml", &strict);
    assert_eq!(project.run("check").status, 1);
}

#[test]
fn a_severity_of_the_project_decides_what_fails() {
    let project = Project::with_contract("[severity]\nrenamed = \"warning\"\n");
    project.write("w/a.json", &renamed());
    let said = project.run("check");
    assert_eq!(said.status, 0);
    assert!(said.out.contains("warning  CK104"), "{}", said.out);
    project.write("ckdiff.toml", &project.read("ckdiff.toml").replace("warning", "off"));
    let said = project.run("check");
    assert_eq!((said.status, said.out.as_str()), (0, ""));
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_ends_with_status_2_while_the_others_are_checked() {
    let project = Project::with_contract("");
    project.write("w/a.json", "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12\n");
    project.write("w/b.json", &renamed());
    let said = project.run("check");
    assert_eq!(said.status, 2, "{}", said.err);
    assert!(said.out.contains("CK001") && said.out.contains("git-lfs"), "{}", said.out);
    assert!(said.out.contains("CK104"), "{}", said.out);
    let ignore = "[[ignore]]\ncode = \"CK001\"\npath = \"w/a.json\"\nreason = \"not fetched here\"\n";
    project.write("ckdiff.toml", &(project.read("ckdiff.toml") + ignore));
    assert_eq!(project.run("check").status, 1);
}

#[test]
fn a_missing_expected_json_says_how_it_is_made() {
    let project = Project::with_contract("");
    project.write("w/a.json", EXPECTED);
    fs::remove_file(project.path().join("expected.json")).expect("it was there");
    let said = project.run("check");
    assert_eq!(said.status, 2);
    assert!(said.out.contains("ckdiff check --update writes it"), "{}", said.out);
    let said = project.run("check --update");
    assert_eq!((said.status, said.out.as_str()), (0, "contract net   expected.json: written, 4 keys of w/a.json\n"));
    assert_eq!(said.err, "ckdiff check: 1 snapshot: 1 written\n");
    assert_eq!(project.read("expected.json"), EXPECTED);
    assert_eq!(project.run("check").status, 0);
}

#[test]
fn a_baseline_accepts_what_is_there_and_fails_on_what_is_new() {
    let project = Project::with_contract("");
    project.write("w/a.json", &headless());
    let said = project.run("check --baseline known.json");
    assert_eq!(said.status, 2, "there is none yet");
    assert!(said.err.contains("--update-baseline"), "{}", said.err);

    let said = project.run("check --baseline known.json --update-baseline");
    assert_eq!(said.status, 0, "{}", said.err);
    assert!(said.err.contains("known.json: 1 finding accepted, 1 new, 0 gone"), "{}", said.err);
    let written = project.read("known.json");
    assert_eq!(written.lines().count(), 3, "one finding a line: {written}");
    assert!(written.contains("\"head.{weight,bias}\""), "{written}");
    assert!(!written.contains(project.path().to_str().expect("UTF-8")), "no absolute path: {written}");
    project.run("check --baseline known.json --update-baseline");
    assert_eq!(project.read("known.json"), written, "the same again");

    let said = project.run("check --baseline known.json");
    assert_eq!((said.status, said.out.as_str()), (0, ""));
    assert_eq!(said.err, "ckdiff check: 1 contract, 1 file: holds; 1 finding accepted\n");

    // A new fault in another file, and in the same one.
    project.write("w/b.json", &headless());
    let said = project.run("check --baseline known.json");
    assert_eq!(said.status, 1);
    assert!(said.out.contains("b.json") && !said.out.contains("a.json"), "{}", said.out);
    fs::remove_file(project.path().join("w/b.json")).expect("it was there");
    project.write("w/a.json", "{\"body.fc.weight\": {\"dtype\": \"F32\", \"shape\": [32, 64]}}");
    assert_eq!(project.run("check --baseline known.json").status, 1);
}

#[test]
fn entries_of_a_baseline_that_are_gone_are_named() {
    let project = Project::with_contract("");
    project.write("w/a.json", &headless());
    project.run("check --baseline known.json --update-baseline");
    project.write("w/a.json", EXPECTED);
    let said = project.run("check --baseline known.json");
    assert_eq!(said.status, 0);
    assert!(said.out.contains("warning  CK905") && said.out.contains("w/a.json"), "{}", said.out);
    assert!(said.out.contains("it can be dropped, which --update-baseline does"), "{}", said.out);
    let said = project.run("check --baseline known.json --format github");
    assert!(said.out.contains("::warning file=known.json,line=2,title=CK905 stale-baseline::"), "{}", said.out);
    let said = project.run("check --baseline known.json --update-baseline");
    assert!(said.err.contains("0 findings accepted, 0 new, 1 gone"), "{}", said.err);
    assert_eq!(project.run("check --baseline known.json").out, "");
}

#[test]
fn a_baseline_that_is_none_is_marked_and_never_written_over() {
    let project = Project::with_contract("");
    project.write("w/a.json", EXPECTED);
    for line in ["check --baseline expected.json", "check --baseline expected.json --update-baseline"] {
        let said = project.run(line);
        assert_eq!(said.status, 2);
        assert!(said.err.contains("line 2, column") && said.err.contains('^'), "{}", said.err);
        assert_eq!(project.read("expected.json"), EXPECTED);
    }
}

#[test]
fn an_update_writes_the_snapshot_anew_and_says_what_that_means_for_old_files() {
    let project = Project::with_contract("");
    project.write("w/a.json", &renamed());
    let said = project.run("check --update");
    assert_eq!(said.status, 1, "old files do not load as they are");
    assert!(said.out.starts_with("contract net   expected.json: 2 keys added, 2 removed, 0 changed\n"), "{}", said.out);
    assert!(said.out.contains("\nrenamed: old files load after `^head\\.` → `classifier.`\n"), "{}", said.out);
    assert_eq!(said.err, "ckdiff check: 1 snapshot: 1 written; old files do not load as they are\n");
    assert_eq!(project.read("expected.json"), renamed());
    let again = project.run("check --update");
    assert_eq!((again.status, again.out.as_str()), (0, ""));
    assert_eq!(again.err, "ckdiff check: 1 snapshot: 1 as it was\n");
    assert_eq!(project.run("check").status, 0);
}

#[test]
fn an_update_refuses_sources_that_disagree_and_leaves_checkpoints_alone() {
    let project = Project::with_contract("");
    project.write("w/a.json", EXPECTED);
    project.write("w/b.json", &renamed());
    let said = project.run("check --update");
    assert_eq!(said.status, 2);
    assert!(said.out.contains("CK906  w/a.json and w/b.json differ in `classifier.bias`"), "{}", said.out);
    assert!(said.out.contains("a snapshot is taken of one model"), "{}", said.out);
    assert_eq!(project.read("expected.json"), EXPECTED);
}

#[test]
fn an_update_goes_on_behind_a_contract_that_it_cannot_see_to() {
    let project = Project::with_contract("");
    project.write("w/a.json", EXPECTED);
    project.write("w/b.json", &renamed());
    for (name, source) in [("torn", "torn.json"), ("other", "o.json")] {
        let more =
            format!("[[contract]]\nname = \"{name}\"\nsource = \"{source}\"\nexpected = \"{name}.expected.json\"\n");
        project.write("ckdiff.toml", &(project.read("ckdiff.toml") + &more));
    }
    project.write("torn.json", "{\"a\": ");
    project.write("o.json", EXPECTED);
    let said = project.run("check --update");
    assert_eq!(said.status, 2);
    assert!(said.out.contains("contract net\nerror  CK906"), "{}", said.out);
    assert!(said.out.contains("contract torn\nerror  CK003"), "{}", said.out);
    assert!(said.out.contains("contract other   other.expected.json: written"), "{}", said.out);
    assert_eq!(project.read("other.expected.json"), EXPECTED);
    assert!(!project.path().join("torn.expected.json").exists());
}

#[test]
fn an_update_says_that_a_source_is_gone() {
    let project = Project::with_contract("");
    let said = project.run("check --update");
    assert_eq!((said.status, said.err.as_str()), (1, ""));
    assert!(said.out.contains("CK903  `w/*.json` matches no file (ckdiff.toml:3)"), "{}", said.out);
    assert_eq!(project.read("expected.json"), EXPECTED);
    // Where it may be gone, what is there is enough.
    let lenient = Project::with_contract("[severity]\nunmatched-source = \"note\"\n");
    let said = lenient.run("check --update");
    assert_eq!((said.status, said.out.as_str()), (0, ""));
}

#[test]
fn two_contracts_that_share_a_file_must_agree_on_it() {
    let project = Project::with_contract("");
    let more = "[[contract]]\nname = \"twin\"\nsource = \"o.json\"\nexpected = \"expected.json\"\n";
    project.write("ckdiff.toml", &(project.read("ckdiff.toml") + more));
    project.write("w/a.json", &renamed());
    project.write("o.json", &renamed());
    let said = project.run("check --update");
    assert_eq!((said.status, said.out.matches("keys added").count()), (1, 1), "{}", said.out);
    project.write("o.json", EXPECTED);
    let said = project.run("check --update");
    assert_eq!(said.status, 2);
    assert!(
        said.out.contains("contract twin\nerror  CK906  its sources and those of contract net differ"),
        "{}",
        said.out
    );
    assert_eq!(project.read("expected.json"), renamed());
}

#[test]
fn an_update_leaves_alone_what_was_not_taken_of_the_sources() {
    // Old weights that a loader renames: what the model expects does not follow from them.
    let project = Project::with_contract("level = \"fixable\"\n");
    project.write("w/a.json", &renamed());
    let said = project.run("check --update");
    assert_eq!((said.status, said.out.as_str()), (0, ""));
    assert!(
        said.err.contains("expected.json is left alone: what is to load into it does, at level fixable"),
        "{}",
        said.err
    );
    assert!(said.err.contains("ckdiff snapshot w/a.json -o expected.json"), "{}", said.err);
    assert_eq!(project.read("expected.json"), EXPECTED);
    // Another checkpoint is what it is.
    let header = r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let weights = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 4]].concat();
    fs::write(project.path().join("base.safetensors"), &weights).expect("it can be written");
    project.write("ckdiff.toml", &project.read("ckdiff.toml").replace("expected.json", "base.safetensors"));
    let said = project.run("check --update");
    assert_eq!(said.status, 0);
    assert!(said.err.contains("base.safetensors is a checkpoint and no snapshot: left alone"), "{}", said.err);
    assert_eq!(fs::read(project.path().join("base.safetensors")).expect("it is there"), weights);
}

#[test]
fn an_update_does_not_rewrite_a_list_that_says_the_same_otherwise() {
    let project = Project::with_contract("");
    // As Python writes it, in another order, and less of it.
    let other = r#"{"head.bias": [10], "head.weight": {"dtype": "torch.float32", "shape": [10, 32]},
        "body.fc.weight": {"dtype": "torch.float32", "shape": [32, 64]}, "body.conv.weight": [64, 3, 7, 7]}"#;
    project.write("expected.json", other);
    project.write("w/a.json", EXPECTED);
    let said = project.run("check --update");
    assert_eq!((said.status, said.out.as_str(), said.err.as_str()), (0, "", "ckdiff check: 1 snapshot: 1 as it was\n"));
    assert_eq!(project.read("expected.json"), other);
}

#[test]
fn an_update_keeps_the_digests_of_a_snapshot() {
    let project = Project::with_contract("");
    let file = |value: f32| {
        let header = r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 4], &value.to_le_bytes()].concat()
    };
    let source = project.path().join("w/a.json");
    fs::create_dir_all(source.parent().expect("in a folder")).expect("a folder can be made");
    fs::write(&source, file(1.0)).expect("it can be written");
    assert_eq!(project.run("snapshot --digest w/a.json -o expected.json").status, 0);
    let before = project.read("expected.json");
    assert_eq!(project.run("check --update").err, "ckdiff check: 1 snapshot: 1 as it was\n");
    fs::write(&source, file(2.0)).expect("it can be written");
    let said = project.run("check --update");
    assert_eq!(said.status, 0, "{}", said.err);
    assert!(said.out.contains("0 keys added, 0 removed, 0 changed, 1 with other values"), "{}", said.out);
    assert!(said.out.contains("old files load as they are"), "{}", said.out);
    let now = project.read("expected.json");
    assert!(now != before && now.contains("\"xxh3\"") && now.contains("\"max\": 2"), "{now}");
}

#[test]
fn an_update_says_of_every_change_what_it_means_for_old_files() {
    let keys = |lines: &[&str]| format!("{{{}}}", lines.join(", "));
    let [a, b, table] = ["\"a.w\": [4, 4]", "\"b.w\": [8, 4]", "\"pos_embed\": [1, 197, 8]"];
    for (before, now, status, says) in [
        (keys(&[a, b]), keys(&[a]), 1, "removed: old files load when what is gone is dropped"),
        (keys(&[a]), keys(&[a, b]), 1, "old files do not load any more"),
        (
            keys(&["\"m.w\": [4, 4]", b]),
            keys(&["\"n.w\": [4, 4]"]),
            1,
            "renamed: old files load after `^m\\.` → `n.`, when what is gone is dropped",
        ),
        (keys(&[a, table]), keys(&[a, "\"pos_embed\": [1, 577, 8]"]), 1, "resized: old files load after the resize"),
        (
            keys(&["\"a.w\": {\"dtype\": \"F32\", \"shape\": [4, 4]}"]),
            keys(&["\"a.w\": {\"dtype\": \"F64\", \"shape\": [4, 4]}"]),
            0,
            "old files load as they are",
        ),
    ] {
        let project = Project::with_contract("");
        project.write("expected.json", &before);
        project.write("w/a.json", &now);
        let said = project.run("check --update");
        assert!(said.out.contains(&format!("\n{says}\n")), "{before} → {now}: {}", said.out);
        assert_eq!(said.status, status, "{before} → {now}: {}", said.out);
    }
}

#[test]
fn an_update_answers_in_text_alone() {
    let project = Project::with_contract("");
    project.write("w/a.json", &renamed());
    for format in ["json", "sarif", "junit"] {
        let said = project.run(&format!("check --update --format {format}"));
        assert_eq!((said.status, said.out.as_str()), (2, ""));
        assert!(said.err.contains("has no meaning for `check --update`"), "{}", said.err);
    }
    assert_eq!(project.read("expected.json"), EXPECTED, "nothing was written");
}

#[test]
fn the_json_has_every_finding_with_what_became_of_it() {
    let project = Project::with_contract("");
    project.write("w/a.json", &headless());
    let (status, json) = project.json("check");
    assert_eq!(status, 1);
    assert_eq!((&json["version"], &json["holds"]), (&1.into(), &false.into()));
    let row = &json["contracts"][0];
    assert_eq!((row["contract"].as_str(), row["verdict"].as_str()), (Some("net"), Some("does-not-load")));
    assert_eq!(row["coverage"]["of"], 4);
    let finding = &json["findings"][0];
    assert_eq!(finding["status"], "fails");
    assert_eq!(finding["patterns"], serde_json::json!(["head.{weight,bias}"]));
    assert_eq!(finding["fingerprint"].as_str().map(str::len), Some(16));
    assert_eq!(finding["severity"], "error");
}

#[test]
fn the_schema_is_printed_as_it_is_published() {
    let said = Project::new().run("check --schema");
    assert_eq!((said.status, said.out.as_str()), (0, include_str!("../src/config/ckdiff.schema.json")));
}
