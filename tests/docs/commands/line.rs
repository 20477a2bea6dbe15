//! Commands as pages have them: in code blocks, and inline.

use std::fmt;

use super::super::page::Page;

/// Programs that are not of this project: only their files are checked.
const EXTERNAL: [&str; 10] =
    ["cp", "curl", "envoy", "istioctl", "kubectl", "mv", "promtool", "sha256sum", "skopeo", "grep"];

/// One program with its arguments, without pipes.
pub struct Command {
    pub words: Vec<String>,
    /// The file that its output goes to.
    pub output: Option<String>,
    /// Whether it stands in a line of text: it may lack its arguments.
    pub is_inline: bool,
}

impl Command {
    pub fn program(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    pub fn arguments(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words.join(" "))
    }
}

/// The commands of a page, with the numbers of their lines: those of blocks in order, then those of the text.
pub fn commands(page: &Page) -> Vec<(usize, Command)> {
    let mut commands = Vec::new();
    for block in page.blocks() {
        let is_shell = ["sh", ""].contains(&block.language.as_str());
        let is_session = block.language == "text";
        let mut joined = String::new();
        for (n, line) in block.text.lines().enumerate() {
            let line = match line.trim_start().strip_prefix("$ ") {
                Some(line) if is_session => line,
                None if is_shell => line.trim_start(),
                _ => continue,
            };
            joined.push_str(line.trim_end_matches('\\'));
            if !line.ends_with('\\') {
                let line = std::mem::take(&mut joined);
                commands.extend(split(&line, false).into_iter().map(|command| (block.number + n, command)));
            }
        }
    }
    for (number, code) in page.inline_code() {
        commands.extend(split(&code, true).into_iter().map(|command| (number, command)));
    }
    let is_command = |command: &Command| {
        let program = command.program();
        EXTERNAL.contains(&program) && (!command.is_inline || command.words.len() > 1)
            || ["cargo", "export", "make", "trafficctl"].contains(&program)
    };
    commands.retain(|(_, command)| is_command(command));
    commands
}

/// The commands of a line, by pipes and `&&`.
fn split(line: &str, is_inline: bool) -> Vec<Command> {
    let mut commands = Vec::new();
    let mut command = Command { words: Vec::new(), output: None, is_inline };
    let mut words = words(line).into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "|" | "&&" => {
                let next = Command { words: Vec::new(), output: None, is_inline };
                commands.push(std::mem::replace(&mut command, next));
            }
            ">" => command.output = words.next(),
            _ => command.words.push(word),
        }
    }
    commands.push(command);
    commands
}

/// The words of a line as a shell reads them, up to a comment.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (None, '#') if word.is_none() => break,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if c == open => quote = None,
            (None, ' ') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn a_line_is_read_as_a_shell_reads_it() {
    let commands = split("trafficctl top --once | grep 'a b' > out.txt   # shows it", false);
    let words: Vec<_> = commands.iter().map(|command| command.words.as_slice()).collect();
    assert_eq!(words, [&["trafficctl", "top", "--once"][..], &["grep", "a b"]]);
    assert_eq!(commands[1].output.as_deref(), Some("out.txt"));
}
