//! Stand-ins for what differs from run to run, so that the rest can be a snapshot.

use super::Sandbox;

/// Patterns and what stands for them; the first that fits is used.
const VARYING: &[(&str, &str)] = &[
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[uuid]"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{3})?", "[time]"),
    (r"\bpids \d+(, \d+)*", "[pids]"),
    (r#""holders": \[[^\]]*\]"#, r#""holders": "[pids]""#),
    (r"\bpid \d+ +", "[pid] "),
    (r"\bpid \d+", "[pid]"),
    (r"\bkill (-[A-Z]+ )?\d+", "kill $1[pid]"),
    (r" +# ", "  # "),
    (r#""(pid|start_ticks)": \d+"#, r#""$1": "[number]""#),
    (r#""(\w+_ms)": \d+"#, r#""$1": "[ms]""#),
    (r"process     (sleeping|running)", "process     [state]"),
    (r"\b\d+\.\d s\b", "[span]"),
    (r"\bin \d+(µs|ms)", "in [span]"),
    (r"\d+ MiB(, \d+ files)?", "[room]"),
    (r"\b\d+(ms|\.\ds|m\d\ds)\b", "[span]"),
    (r" on [\w.-]+ \(", " on [host] ("),
    (r#""host": "[^"]+""#, r#""host": "[host]""#),
];

/// Runs `check` with a snapshot's variable parts taken out, the sandbox's path among them.
pub(crate) fn redacted(sandbox: &Sandbox, check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    let root = sandbox.path("");
    let root = root.to_str().expect("UTF-8").trim_end_matches('/');
    settings.add_filter(root, "[home]");
    for (pattern, stand_in) in VARYING {
        settings.add_filter(pattern, *stand_in);
    }
    settings.set_prepend_module_to_snapshot(true);
    settings.bind(check);
}
