use super::*;
use crate::judge::Grade;

const GOOD: &str = r#"
[[contract]]
name = "swin"
source = ["weights/*.pth", "./old/swin.pth"]
expected = "expected/swin.json"
level = "fixable"
container = "model"
rules = "rules"

[[ignore]]
code = "dtype-narrowed"
path = "weights/*"
key = "head.*"
contract = "swin"
reason = """halved on
purpose"""

[severity]
CK301 = "off"
missing-key = "warning"
"#;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("ckdiff.toml"), text).map_err(|e| e.to_string())
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err()
}

#[test]
fn every_field_is_read() {
    let config = parse(GOOD).unwrap();
    let [contract] = config.contracts.as_slice() else { panic!("one contract") };
    assert_eq!((contract.name.as_str(), contract.level, contract.line), ("swin", Level::Fixable, 2));
    assert_eq!(contract.sources.iter().map(|s| s.text.as_str()).collect::<Vec<_>>(), ["weights/*.pth", "old/swin.pth"]);
    assert_eq!(contract.sources[0].line, 4);
    assert!(contract.sources[0].glob.is_some() && contract.sources[1].glob.is_none());
    let [ignore] = config.policy.ignores.as_slice() else { panic!("one ignore") };
    assert_eq!((ignore.code, ignore.reason.as_str()), (Some("CK302"), "halved on purpose"));
    assert!(ignore.key.as_ref().unwrap().is_match("head.fc.weight"));
    assert_eq!(config.policy.grades, [("CK301", Grade::Off), ("CK101", Grade::Warning)].into());
}

#[test]
fn an_unknown_field_is_named_with_line_and_caret() {
    let error = refusal(&GOOD.replace("level", "levle"));
    assert!(error.starts_with("ckdiff.toml: line 6, column 1\n"), "{error}");
    assert!(error.contains("6 | levle = \"fixable\"\n  | ^^^^^\n"), "{error}");
    assert!(error.contains("unknown field `levle`") && error.contains("`level`"), "{error}");
    assert!(refusal("[[contracts]]\n").contains("unknown field `contracts`"));
}

#[test]
fn a_value_that_does_not_fit_is_marked_where_it_stands() {
    let cases = [
        ("\"fixable\"", "\"fixabel\"", "`fixabel` is none of `strict`, `fixable`, `resizable`, `partial`"),
        ("\"fixable\"", "3", "invalid type: integer `3`"),
        ("\"dtype-narrowed\"", "\"dtype-narowed\"", "there is no code `dtype-narowed`; did you mean `dtype-narrowed`?"),
        ("\"off\"", "\"fatal\"", "`fatal` is none of `error`, `warning`, `note`, `off`"),
        ("\"weights/*\"", "\"weights/[\"", "is no pattern"),
        ("\"weights/*.pth\"", "\"/weights/*.pth\"", "relative to the folder of this file"),
        ("\"expected/swin.json\"", "\"~/swin.json\"", "relative to the folder of this file"),
        ("\"expected/swin.json\"", "\"\"", "is empty"),
        ("[\"weights/*.pth\", \"./old/swin.pth\"]", "[]", "the list is empty"),
        ("[\"weights/*.pth\", \"./old/swin.pth\"]", "3", "a string or a list of strings"),
        ("\"\"\"halved on\npurpose\"\"\"", "\"  \"", "say why the finding is ignored"),
    ];
    for (from, to, says) in cases {
        assert!(GOOD.contains(from), "{from}");
        let text = GOOD.replacen(from, to, 1);
        let error = refusal(&text);
        assert!(error.contains(says), "{to}: {error}");
        let (_, caret) = error.split_once("^").unwrap_or_else(|| panic!("no caret: {error}"));
        assert!(caret.starts_with(&"^".repeat(to.len().saturating_sub(1))), "{to}: {error}");
    }
}

#[test]
fn a_field_that_is_missing_is_marked_at_its_table() {
    for (table, fields, missing) in [
        ("contract", "source = \"a\"\nexpected = \"b\"\n", "name"),
        ("contract", "name = \"a\"\nexpected = \"b\"\n", "source"),
        ("contract", "name = \"a\"\nsource = \"a\"\n", "expected"),
        ("ignore", "code = \"CK301\"\n", "reason"),
    ] {
        let error = refusal(&format!("# what is promised\n[[{table}]]\n{fields}"));
        let carets = "^".repeat(table.len() + 4);
        let marked =
            format!("ckdiff.toml: line 2, column 1\n  |\n2 | [[{table}]]\n  | {carets}\nmissing field `{missing}`");
        assert_eq!(error, marked);
    }
}

#[test]
fn one_pair_of_brackets_is_answered_with_two() {
    for table in ["contract", "ignore"] {
        let error = refusal(&format!("[{table}]\nname = \"a\"\n"));
        assert!(error.starts_with("ckdiff.toml: line 1, column 1\n") && error.contains('^'), "{error}");
        assert!(error.contains("a list of tables: write two brackets"), "{error}");
    }
}

#[test]
fn a_field_that_is_said_twice_is_marked_at_the_second() {
    let error = refusal(&GOOD.replace("level = \"fixable\"", "level = \"fixable\"\nlevel = \"strict\""));
    assert!(error.contains("7 | level = \"strict\"\n  | ^^^^^\nduplicate key"), "{error}");
}

#[test]
fn what_is_no_text_is_named_with_its_line_and_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    std::fs::write(&path, b"# one\n# tw\xf6\n").unwrap();
    let error = Config::load(&path).unwrap_err();
    assert_eq!(
        (error.what.as_str(), error.help.as_str()),
        ("line 2: byte 10 of the file is no UTF-8", "save the file as UTF-8")
    );
    // An editor on Windows may begin with a mark and end lines in two characters.
    std::fs::write(&path, format!("\u{feff}{}", GOOD.replace('\n', "\r\n"))).unwrap();
    assert_eq!(Config::load(&path).unwrap().contracts.len(), 1);
}

#[test]
fn an_unknown_code_in_the_severities_is_refused_at_its_place() {
    let error = refusal("[severity]\nCK301 = \"off\"\nCK399 = \"off\"\n");
    assert!(error.contains("line 3") && error.contains("no code `CK399`"), "{error}");
    let error = refusal("[severity]\nCK301 = \"off\"\ndtype-widened = \"error\"\n");
    assert!(error.contains("CK301 has two severities"), "{error}");
}

#[test]
fn an_ignore_needs_a_reason_and_something_to_ignore() {
    let error = refusal("[[ignore]]\ncode = \"CK301\"\n");
    assert!(error.contains("line 1") && error.contains("missing field `reason`"), "{error}");
    let error = refusal("\n[[ignore]]\npath = \"a\"\nreason = \"b\"\n");
    assert!(error.contains("line 2") && error.contains("neither `code` nor `rule`"), "{error}");
}

#[test]
fn two_contracts_of_one_name_are_refused() {
    let one = "[[contract]]\nname = \"a\"\nsource = \"a\"\nexpected = \"b\"\n";
    let error = refusal(&one.repeat(2));
    assert!(error.contains("line 6, column 8") && error.contains("contract of line 1"), "{error}");
}

#[test]
fn broken_toml_is_marked_too() {
    let error = refusal("[[contract]\n");
    assert!(error.starts_with("ckdiff.toml: line 1, column"), "{error}");
    assert!(error.contains('^'), "{error}");
}

#[test]
fn an_empty_file_promises_nothing() {
    assert_eq!(parse("").unwrap().contracts.len(), 0);
}

#[test]
fn it_is_found_upward() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
    std::fs::write(folder.path().join(NAME), GOOD).unwrap();
    let found = Config::find(&folder.path().join("a/b")).unwrap();
    assert_eq!(found, folder.path().join("a/b/../..").join(NAME));
    assert_eq!(Config::load(&found).unwrap().contracts.len(), 1);
}

/// The names that the parser lists when it meets one that it does not know, for the table at `prefix`.
fn parsed_fields(text: &str) -> Vec<String> {
    let error = refusal(text);
    let (_, list) = error.rsplit_once("expected ").unwrap_or_else(|| panic!("{error}"));
    let mut names: Vec<String> = list.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    names.sort();
    names
}

fn schema_fields(schema: &serde_json::Value, table: &str) -> Vec<String> {
    let at = schema.pointer(table).unwrap_or_else(|| panic!("the schema has {table}"));
    assert_eq!(at["additionalProperties"], serde_json::Value::Bool(false), "{table} takes other fields");
    let mut names: Vec<String> = at["properties"].as_object().unwrap().keys().cloned().collect();
    names.sort();
    names
}

#[test]
fn the_schema_has_the_fields_that_are_parsed_and_no_others() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    assert_eq!(parsed_fields("zzz = 1\n"), schema_fields(&schema, ""));
    assert_eq!(parsed_fields("[[contract]]\nzzz = 1\n"), schema_fields(&schema, "/$defs/contract"));
    assert_eq!(parsed_fields("[[ignore]]\nzzz = 1\n"), schema_fields(&schema, "/$defs/ignore"));
}

#[test]
fn the_schema_demands_the_fields_that_the_parser_demands() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let full = [
        (
            "contract",
            vec![
                ("name", "\"a\""),
                ("source", "\"a\""),
                ("expected", "\"b\""),
                ("level", "\"strict\""),
                ("container", "\"c\""),
                ("rules", "\"r\""),
            ],
        ),
        (
            "ignore",
            vec![
                ("code", "\"CK301\""),
                ("rule", "\"r\""),
                ("contract", "\"a\""),
                ("path", "\"p\""),
                ("key", "\"k\""),
                ("reason", "\"b\""),
            ],
        ),
    ];
    for (table, fields) in full {
        let mut demanded: Vec<&str> = Vec::new();
        for (left_out, _) in &fields {
            let rest: String =
                fields.iter().filter(|(n, _)| n != left_out).map(|(n, v)| format!("{n} = {v}\n")).collect();
            if parse(&format!("[[{table}]]\n{rest}")).is_err() {
                demanded.push(left_out);
            }
        }
        let mut required: Vec<&str> =
            schema["$defs"][table]["required"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
        required.sort_unstable();
        demanded.sort_unstable();
        assert_eq!(demanded, required, "{table}");
    }
}

#[test]
fn the_schema_lists_the_levels_severities_and_codes() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let list = |at: &str| -> Vec<String> {
        let list = schema.pointer(at).and_then(|v| v.as_array()).unwrap_or_else(|| panic!("the schema has {at}"));
        list.iter().map(|v| v.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(list("/$defs/contract/properties/level/enum"), Level::ALL.map(|l| l.id()));
    assert_eq!(list("/$defs/severity/additionalProperties/enum"), Grade::ALL.map(|g| g.id()));
}
