"""How bad a flake8-bandit rule's finding is, and what to do about it."""

_HIGH = {
    *(
        "S102",
        "S301",
        "S302",
        "S307",
        "S501",
        "S506",
        "S602",
        "S604",
        "S605",
        "S608",
        "S610",
        "S611",
        "S701",
        "S202",
        "S502",
    ),
    *("S507", "invalid-syntax"),
}
_LOW = {"S110", "S112", "S311", "S403", "S404", "S603", "S607", "S108", "S103"}

_FIXES = {
    "S102": "Do not run text as code; call the function that is meant, from a dict of those allowed",
    "S103": "Give the file the least rights that work, such as 0o600",
    "S104": "Listen on 127.0.0.1, or take the address from the settings",
    "S105": "Take it from the environment or a secret store, and change it: it stands in the history",
    "S106": "Take it from the environment or a secret store, and change it: it stands in the history",
    "S107": "Have no default for it; take it from the environment or a secret store",
    "S108": "Use tempfile.TemporaryDirectory or tempfile.NamedTemporaryFile",
    "S110": "Catch the one exception that is expected, and log it or handle it",
    "S112": "Catch the one exception that is expected, and log it before going on",
    "S113": "Give a timeout: requests.get(url, timeout=10)",
    "S202": "Extract with filter='data' (tarfile), and refuse members that lead out of the folder",
    "S301": "Use json for data from outside; pickle runs code as it loads",
    "S307": "Use ast.literal_eval for literals, or json.loads",
    "S311": "Use the secrets module if the number guards something; otherwise leave it",
    "S314": "Parse with defusedxml",
    "S324": "Use hashlib.sha256, or pass usedforsecurity=False if it guards nothing",
    "S501": "Leave certificate checks on; pass the path of your own authority as verify=",
    "S506": "Use yaml.safe_load",
    "S602": "Pass a list of arguments without shell=True",
    "S603": "Make sure that no argument comes from outside unchecked",
    "S605": "Use subprocess.run with a list of arguments",
    "S607": "Name the program by its full path if the PATH is not yours",
    "S608": "Pass values as parameters: execute('… WHERE id = ?', (id,)); take names of tables from a fixed list",
    "S701": "Create the environment with autoescape=True",
    "invalid-syntax": "Mend the syntax; a file that does not parse is not checked",
}


def severity(rule: str) -> str:
    if rule in _HIGH:
        return "high"
    return "low" if rule in _LOW else "medium"


def fix(rule: str, url: str) -> str:
    """A sentence that says what to do; for rarer rules, where it is explained."""
    return _FIXES.get(rule) or f"See {url}"
