//! The command line as people see it: every case under `tests/cmd`, and every console block of the documents.
//!
//! `TRYCMD=overwrite cargo test --test cli` writes what the program says now; look at the diff before committing it.

#[test]
fn the_command_line_says_what_the_cases_and_the_documents_show() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
