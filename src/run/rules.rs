//! `ckdiff rules`: all rules and codes, or the page of one.

use std::io::Write;

use super::suggest::nearest;
use super::{Failure, Status, deliver, rules};
use crate::checkpoint::escaped;
use crate::cli::{Cli, FormatArg, RulesArgs};
use crate::codes;
use crate::report::rules as pages;
use crate::report::style::Style;

/// Writes the table, or the page that is asked for.
pub(super) fn run(cli: &Cli, args: &RulesArgs, style: &Style, out: &mut dyn Write) -> Result<Status, Failure> {
    let rules = rules(cli)?;
    let Some(name) = &args.name else {
        deliver(cli, out, |out| match cli.common.format {
            FormatArg::Json => writeln!(out, "{:#}", pages::list_json(&rules)),
            _ => pages::list(&rules, style, out),
        })?;
        return Ok(Status::Holds);
    };
    let known = codes::page(name).is_some() || rules.ids().any(|id| id == name);
    if !known {
        let names = codes::PAGES.iter().flat_map(|&(code, _)| [code, codes::name(code)]);
        let near = nearest(name, names.chain(rules.ids()));
        let help = near.map_or("`ckdiff rules` lists all of them".to_owned(), |n| format!("did you mean `{n}`?"));
        return Err(Failure::new(format!("no rule or code is called `{}`", escaped(name))).help(help));
    }
    deliver(cli, out, |out| {
        let found = pages::code_page(&rules, name, style, out)?;
        if !found {
            pages::rule_page(&rules, name, style, out)?;
        }
        Ok(())
    })?;
    Ok(Status::Holds)
}
