//! Placeholders in a command line.

/// What the placeholders of one agent stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Template<'a> {
    /// `{name}`.
    pub(super) name: &'a str,
    /// `{runtime}`.
    pub(super) runtime: &'a str,
    /// `{working_directory}`.
    pub(super) working_directory: &'a str,
    /// `{home}`: the fleet's.
    pub(super) home: &'a str,
}

impl Template<'_> {
    /// `argument` with its placeholders replaced, in one pass: what was put in is not
    /// looked at again. Any other brace stays, so that shell and awk scripts can be
    /// written as they are.
    pub(super) fn fill(self, argument: &str) -> String {
        let mut filled = String::with_capacity(argument.len());
        let mut rest = argument;
        while let Some(start) = rest.find('{') {
            let (before, brace) = rest.split_at(start);
            filled.push_str(before);
            rest = match self.placeholder(brace) {
                Some((value, rest)) => {
                    filled.push_str(value);
                    rest
                }
                None => {
                    filled.push('{');
                    brace.strip_prefix('{').unwrap_or_default()
                }
            };
        }
        filled.push_str(rest);
        filled
    }

    /// The value of the placeholder that `text` starts with, and what follows it.
    fn placeholder<'t>(&self, text: &'t str) -> Option<(&str, &'t str)> {
        let known = [
            ("{name}", self.name),
            ("{runtime}", self.runtime),
            ("{working_directory}", self.working_directory),
            ("{home}", self.home),
        ];
        known.into_iter().find_map(|(key, value)| Some((value, text.strip_prefix(key)?)))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("plain", "plain")]
    #[case("{name}", "alpha")]
    #[case("--dir={working_directory}/x", "--dir=/w/x")]
    #[case("{home}/{runtime}/{name}.sock", "/h/{name}/alpha.sock")]
    #[case("awk '{print $1}'", "awk '{print $1}'")]
    #[case("${HOME}{", "${HOME}{")]
    #[case("{{name}}", "{alpha}")]
    fn fills_in_one_pass(#[case] argument: &str, #[case] filled: &str) {
        let template =
            Template { name: "alpha", runtime: "{name}", working_directory: "/w", home: "/h" };
        assert_eq!(template.fill(argument), filled);
    }
}
