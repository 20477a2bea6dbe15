//! Commands: every `make` target is there, every `trafficctl` line runs, and other programs find their files.

mod line;
mod play;

use std::collections::BTreeSet;
use std::fs;

use testbed::project;

use self::line::commands;
use self::play::Play;
use super::page::Page;
use super::{TRAFFICCTL, assert_none};

/// Options of programs that are not of this project, where they stand alone in the text.
const EXTERNAL_OPTIONS: [&str; 1] = ["--server-side"];

/// The names in the Makefile before a colon.
fn targets() -> BTreeSet<String> {
    let makefile = fs::read_to_string(project().join("Makefile")).unwrap();
    let rules = makefile.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    let names = rules.filter_map(|line| Some(line.split_once(": ")?.0.to_owned()));
    names.collect()
}

#[test]
fn each_make_target_is_in_the_makefile() {
    let targets = targets();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for page in Page::all() {
        for (number, command) in commands(&page).into_iter().filter(|(_, command)| command.program() == "make") {
            let named = command.arguments().iter().filter(|word| !word.contains('=') && !word.starts_with('-'));
            for target in named {
                count += 1;
                if !targets.contains(target) {
                    wrong.push(format!("{}: there is no `make {target}`", page.at(number)));
                }
            }
        }
    }
    assert!(count > 15, "{count} targets");
    assert_none(wrong);
}

#[test]
fn each_command_runs() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for page in Page::all() {
        let mut play = Play::new(&TRAFFICCTL);
        for (number, command) in commands(&page) {
            count += usize::from(command.program() == "trafficctl");
            wrong.extend(play.run(&command).map(|why| format!("{}: `{command}`: {why}", page.at(number))));
        }
    }
    assert!(count > 60, "{count} commands of trafficctl");
    assert_none(wrong);
}

#[test]
fn each_verb_stands_in_the_table_and_no_other() {
    let help = TRAFFICCTL.ok(["help"]).unwrap();
    let commands = help.split_once("Commands:\n").unwrap().1.split("\n\n").next().unwrap();
    let verbs: BTreeSet<_> = commands.lines().filter_map(|line| verb(line).map(str::to_owned)).collect();
    let page = super::page("src/trafficctl/README.md");
    let rows = page.table("Verbs");
    let cells = rows.iter().flat_map(|row| row[0].split('`').skip(1).step_by(2));
    let mut documented: BTreeSet<_> = cells.map(|cell| cell.split(' ').next().unwrap().to_owned()).collect();
    documented.insert("help".to_owned());
    assert_eq!(documented, verbs);
}

/// The verb that a line of the help describes.
fn verb(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '))?;
    rest.split(' ').next()
}

#[test]
fn each_option_is_known_to_a_verb() {
    let help = TRAFFICCTL.ok(["help"]).unwrap();
    let mut helps: String =
        help.lines().filter_map(verb).filter_map(|verb| TRAFFICCTL.ok(["help", verb]).ok()).collect();
    for form in ["json", "envoy", "ecds", "istio", "envoy-gateway", "admission"] {
        helps.push_str(&TRAFFICCTL.ok(["render", form, "--help"]).unwrap());
    }
    let mut wrong = Vec::new();
    for page in Page::all() {
        for (number, code) in page.inline_code() {
            let option = code.split(' ').next().unwrap();
            let is_known = helps.contains(option) || EXTERNAL_OPTIONS.contains(&option);
            if option.starts_with("--") && !is_known {
                wrong.push(format!("{}: no verb has {option}", page.at(number)));
            }
        }
    }
    assert_none(wrong);
}
