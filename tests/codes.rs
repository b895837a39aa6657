//! The codes of findings: never reused, never renamed, each with a page.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// `UPDATE=1 cargo test --test codes` writes the list anew. A code may be added to it; none may go or change its name.
#[test]
fn the_list_of_codes_is_what_it_was() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/codes.txt");
    let mut list = String::new();
    for (code, _) in ckdiff::codes::PAGES {
        writeln!(list, "{code} {}", ckdiff::codes::name(code)).expect("writing to a string");
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &list).expect("tests can be written");
    }
    let known = fs::read_to_string(&file).expect("tests/codes.txt is there");
    assert_eq!(list, known, "codes changed: UPDATE=1 cargo test --test codes, and read the diff");
}

#[test]
fn every_code_that_the_source_or_a_rule_names_has_a_page() {
    let pages: BTreeSet<&str> = ckdiff::codes::PAGES.iter().map(|(code, _)| *code).collect();
    let mut folders =
        vec!["src", "rules"].into_iter().map(|f| Path::new(env!("CARGO_MANIFEST_DIR")).join(f)).collect::<Vec<_>>();
    let code = regex::Regex::new(r#""(CK\d{3})""#).expect("a valid pattern");
    let mut wrong = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).expect("can be listed").map(|e| e.expect("can be listed").path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
            let unknown = code.captures_iter(shipped).map(|c| c[1].to_owned()).filter(|c| !pages.contains(c.as_str()));
            wrong.extend(unknown.map(|c| format!("{c} in {}", path.display())));
        }
    }
    assert!(wrong.is_empty(), "without a page: {}", wrong.join(", "));
}
