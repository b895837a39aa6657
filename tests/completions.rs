//! Completion scripts and the manual page, by the programs that read them.

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn ckdiff(arguments: &[&str]) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_ckdiff")).args(arguments).output().expect("ckdiff starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("output is UTF-8")
}

/// Whether a program is there: these tests are about others' programs, which not every machine has.
fn found(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

fn fed(program: &str, arguments: &[&str], input: &str) -> Output {
    use std::io::Write as _;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("the program reads");
    child.wait_with_output().expect("the program ends")
}

/// What bash offers behind `line`, whose last word is being typed: asked as bash itself asks.
fn completed(line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let last = words.len() - 1;
    let script = format!(
        "{}\nCOMP_WORDS=({})\nCOMP_CWORD={last}\nCOMP_LINE='{line}'\nCOMP_POINT=${{#COMP_LINE}}\n\
         spec=$(complete -p ckdiff)\nfunction=${{spec##*-F }}\n${{function% *}} ckdiff '{}' '{}'\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        ckdiff(&["completions", "bash"]),
        words.iter().map(|w| format!("'{w}'")).collect::<Vec<_>>().join(" "),
        words[last],
        words[last - 1],
    );
    let done = fed("bash", &["--norc", "--noprofile"], &script);
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
    String::from_utf8_lossy(&done.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_flags_commands_and_values() {
    if !found("bash") {
        return;
    }
    assert_eq!(completed("ckdiff --le"), ["--level"]);
    assert_eq!(completed("ckdiff insp"), ["inspect"]);
    assert_eq!(completed("ckdiff --level res"), ["resizable"]);
    assert_eq!(completed("ckdiff snapshot --out"), ["--output"]);
}

#[test]
fn every_shell_gets_a_script_that_knows_the_flags() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = ckdiff(&["completions", shell]);
        assert!(script.contains("level") && script.contains("inspect"), "{shell}");
        // Where the shell is there, it must be able to read it.
        if ["bash", "zsh", "fish"].contains(&shell) && found(shell) {
            let read = fed(shell, &["-n"], &script);
            assert!(read.status.success(), "{shell}: {}", String::from_utf8_lossy(&read.stderr));
        }
    }
}

#[test]
fn the_manual_is_read_without_a_warning() {
    let page = ckdiff(&["man"]);
    let mut shown = None;
    if found("groff") {
        shown = Some(fed("groff", &["-man", "-Tutf8", "-ww", "-P-c"], &page));
    }
    if found("man") && Path::new("/usr/share/man").exists() {
        shown = Some(fed("man", &["--warnings", "-l", "-"], &page));
    }
    let Some(shown) = shown else { return };
    assert!(shown.status.success());
    assert_eq!(String::from_utf8_lossy(&shown.stderr), "");
    let text = String::from_utf8_lossy(&shown.stdout);
    for word in ["CKDIFF INSPECT", "--level", "Exit status"] {
        assert!(text.contains(word), "{word}");
    }
}
