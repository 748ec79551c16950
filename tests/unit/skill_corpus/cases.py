"""Skill folders as people write them: how each deviates, and the verdict that it should get.

The deviations of SKILL.md are those seen in public repositories (notes on the Agent Skills format), the rest are
the ways in which a skill.yaml goes wrong.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

Files = dict[str, str | bytes]


@dataclass(frozen=True)
class Case:
    """`names` are pieces of text that the warning or the error must contain; `gives` are fields of the spec."""

    id: str
    files: Files
    verdict: Literal["clean", "warning", "refused"]
    names: tuple[str, ...] = ()
    gives: dict[str, Any] = field(default_factory=dict)
    folder: str = "tidy"


CODE = "def run(text=''):\n    return text\n"


def md(front: str, body: str = "Do it well.") -> str:
    return f"---\n{front}\n---\n{body}\n"


def side(extra: str = "", head: str = "name: tidy\nversion: 1.0.0\ndescription: Tidies\neffect: pure\n") -> Files:
    return {"skill.yaml": head + extra, "skill.py": CODE}


def plain(text: str | bytes, name: str = "SKILL.md") -> Files:
    return {name: text}


FRONT = "name: tidy\ndescription: Tidies a folder"
KEPT = {"name": "tidy", "description": "Tidies a folder", "kind": "prompt", "effect": "pure"}

MARKDOWN = [
    Case("plain", plain(md(FRONT)), "clean", gives=KEPT),
    Case(
        "all-six-keys",
        plain(md(FRONT + "\nlicense: MIT\ncompatibility: any\nmetadata: {a: b}\nallowed-tools: Read")),
        "clean",
        gives={"license": "MIT", "allowed_tools": "Read", "metadata": {"a": "b"}},
    ),
    Case("lowercase-file-name", plain(md(FRONT), "skill.md"), "clean", gives=KEPT),
    Case("byte-order-mark", plain(b"\xef\xbb\xbf" + md(FRONT).encode()), "clean", gives=KEPT),
    Case("windows-newlines", plain(md(FRONT).replace("\n", "\r\n")), "clean", gives=KEPT),
    Case("old-mac-newlines", plain(md(FRONT).replace("\n", "\r")), "clean", gives=KEPT),
    Case("blank-lines-first", plain("\n\n" + md(FRONT)), "clean", gives=KEPT),
    Case("spaces-after-fence", plain(md(FRONT).replace("---\n", "---  \n")), "clean", gives=KEPT),
    Case(
        "unicode-description",
        plain(md("name: tidy\ndescription: Räumt auf — 整理 🧹")),
        "clean",
        gives={"description": "Räumt auf — 整理 🧹"},
    ),
    Case("folded-description", plain(md("name: tidy\ndescription: >\n  Tidies\n  a folder")), "clean", gives=KEPT),
    Case("norway-description", plain(md("name: tidy\ndescription: no")), "clean", gives={"description": "no"}),
    Case(
        "name-of-another-folder",
        plain(md("name: neat\ndescription: Tidies")),
        "warning",
        ("SKILL.md:2", "'neat'", "'tidy'"),
        {"name": "neat"},
    ),
    Case(
        "name-with-capitals",
        plain(md("name: Tidy\ndescription: Tidies")),
        "warning",
        ("SKILL.md:2", "'Tidy'", "lower-case"),
        {"name": "tidy"},
    ),
    Case(
        "name-with-spaces",
        plain(md("name: My Tidy\ndescription: Tidies")),
        "warning",
        ("'My Tidy'", "'my-tidy'"),
        {"name": "my-tidy"},
        "my-tidy",
    ),
    Case(
        "name-with-double-hyphen",
        plain(md("name: my--tidy\ndescription: Tidies")),
        "warning",
        ("'my--tidy'",),
        {"name": "my-tidy"},
        "my-tidy",
    ),
    Case(
        "name-with-underscore",
        plain(md("name: my_tidy\ndescription: Tidies")),
        "clean",
        gives={"name": "my-tidy"},
        folder="my-tidy",
    ),
    Case(
        "name-too-long",
        plain(md(f"name: {'x' * 65}\ndescription: Tidies")),
        "warning",
        ("SKILL.md:2", "65 characters", "64"),
        folder="x" * 65,
    ),
    Case("name-missing", plain(md("description: Tidies")), "warning", ("'name'", "'tidy'"), {"name": "tidy"}),
    Case(
        "description-too-long",
        plain(md(f"name: tidy\ndescription: {'x' * 1068}")),
        "warning",
        ("SKILL.md:3", "1068 characters", "1024"),
    ),
    Case(
        "compatibility-too-long",
        plain(md(FRONT + f"\ncompatibility: {'x' * 501}")),
        "warning",
        ("SKILL.md:4", "'compatibility'", "500"),
    ),
    Case(
        "extra-key", plain(md(FRONT + "\nargument-hint: file")), "warning", ("SKILL.md:4", "'argument-hint'", "unknown")
    ),
    Case(
        "misspelt-key",
        plain(md(FRONT + "\nlicence: MIT")),
        "warning",
        ("SKILL.md:4", "'licence'", "did you mean 'license'?"),
    ),
    Case(
        "our-key-in-front-matter",
        plain(md(FRONT + "\neffect: once")),
        "warning",
        ("SKILL.md:4", "'effect'", "skill.yaml"),
        {"effect": "once"},
    ),
    Case(
        "effect-in-metadata",
        plain(md(FRONT + "\nmetadata:\n  holdfast-effect: once")),
        "clean",
        gives={"effect": "once", "effect_declared": True},
    ),
    Case(
        "colon-in-description",
        plain(md("name: tidy\ndescription: Use this: when untidy")),
        "warning",
        ("SKILL.md:3", "quotes"),
        {"description": "Use this: when untidy"},
    ),
    Case(
        "backtick-starts-value",
        plain(md("name: tidy\ndescription: `tidy` it")),
        "warning",
        ("SKILL.md:3", "quotes"),
        {"description": "`tidy` it"},
    ),
    Case(
        "brackets-in-hint",
        plain(md(FRONT + "\nargument-hint: [a] [b]")),
        "warning",
        ("SKILL.md:4", "'argument-hint'"),
        KEPT,
    ),
    Case(
        "tab-indentation",
        plain(md(FRONT + "\nmetadata:\n\ta: b")),
        "warning",
        ("SKILL.md:5", "not valid YAML"),
        {"metadata": {"a": "b"}},
    ),
    Case(
        "closing-fence-missing",
        plain(f"---\n{FRONT}\n\n# Tidy\nDo it."),
        "warning",
        ("SKILL.md:1", "closing '---'"),
        KEPT,
    ),
    Case("dots-close-front-matter", plain(f"---\n{FRONT}\n...\nDo it."), "clean", gives=KEPT),
    Case(
        "key-twice",
        plain(md(FRONT + "\ndescription: Again")),
        "warning",
        ("SKILL.md:4", "'description'", "twice"),
        {"description": "Again"},
    ),
    Case(
        "metadata-is-text",
        plain(md(FRONT + "\nmetadata: none of it")),
        "warning",
        ("SKILL.md:4", "'metadata'", "mapping"),
        {"metadata": {}},
    ),
    Case("nested-metadata", plain(md(FRONT + "\nmetadata:\n  a: {b: c}")), "warning", ("SKILL.md:4", "'metadata'")),
    Case(
        "allowed-tools-as-list",
        plain(md(FRONT + "\nallowed-tools: [Read, Grep]")),
        "clean",
        gives={"allowed_tools": "Read Grep"},
    ),
    Case("very-long-body", plain(md(FRONT, "line\n" * 501)), "warning", ("SKILL.md", "instructions", "500")),
    Case("description-missing", plain(md("name: tidy")), "refused", ("SKILL.md", "'description'", "missing")),
    Case(
        "description-empty",
        plain(md('name: tidy\ndescription: "  "')),
        "refused",
        ("SKILL.md", "'description'", "missing"),
    ),
    Case(
        "description-is-list",
        plain(md("name: tidy\ndescription: [a, b]")),
        "refused",
        ("SKILL.md:3", "'description'", "allowed is text"),
    ),
    Case("no-front-matter", plain("# Tidy\nDo it."), "refused", ("SKILL.md:1", "'# Tidy'", "'---'")),
    Case("empty-file", plain(""), "refused", ("SKILL.md:1", "'---'")),
    Case(
        "hopeless-yaml", plain(md("name: tidy\n   description: Tidies\n x: [")), "refused", ("SKILL.md:3", "not YAML")
    ),
    Case("front-matter-is-list", plain(md("- name: tidy")), "refused", ("SKILL.md:2", "mapping")),
    Case("not-utf-8", plain(md(FRONT).encode("utf-16")), "refused", ("SKILL.md", "UTF-8")),
    Case(
        "latin-1-umlaut",
        plain(md("name: tidy\ndescription: Räumt").encode("latin-1")),
        "refused",
        ("SKILL.md", "0xe4", "UTF-8"),
    ),
    Case(
        "alias-bomb",
        plain(
            md(
                FRONT
                + "\na: &a [x,x,x,x,x,x,x,x,x]\n"
                + "\n".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]" for a, b in zip("abcdef", "bcdefg", strict=True))
            )
        ),
        "refused",
        ("SKILL.md", "aliases"),
    ),
    Case("alias-of-itself", plain(md(FRONT + "\nmetadata: &a {b: *a}")), "refused", ("SKILL.md", "aliases")),
    Case(
        "name-without-letters",
        plain(md("name: '--'\ndescription: Tidies")),
        "refused",
        ("SKILL.md:2", "'--'", "letters"),
    ),
    Case(
        "name-of-a-program's-own",
        plain(md("name: result\ndescription: Tidies")),
        "refused",
        ("SKILL.md:2", "'result'", "reserved"),
    ),
    Case(
        "python-object-tag",
        plain(md(FRONT + "\nlicense: !!python/object/apply:os.getcwd []")),
        "refused",
        ("SKILL.md", "python/object"),
    ),
]

SIDE = [
    Case(
        "side-file-alone",
        side(),
        "clean",
        gives={"kind": "script", "handler": "skill.py", "version": "1.0.0", "effect_declared": True},
    ),
    Case(
        "both-files",
        {**plain(md(FRONT)), "skill.yaml": "effect: pure\ntags: [a]\n", "skill.py": CODE},
        "clean",
        gives={"tags": ["a"], "kind": "script"},
    ),
    Case("yml-ending", {"skill.yml": side()["skill.yaml"], "skill.py": CODE}, "clean", gives={"version": "1.0.0"}),
    Case(
        "version-as-number",
        side(head="name: tidy\nversion: 1.10\ndescription: T\neffect: pure\n"),
        "clean",
        gives={"version": "1.10"},
    ),
    Case("markdown-without-front-matter", {**plain("# Tidy\n"), **side()}, "warning", ("SKILL.md", "no front matter")),
    Case(
        "two-descriptions",
        {**plain(md(FRONT)), **side()},
        "warning",
        ("SKILL.md:3", "'description'", "skill.yaml"),
        {"description": "Tidies"},
    ),
    Case(
        "effect-not-set",
        side(head="name: tidy\nversion: 1.0.0\ndescription: T\n"),
        "warning",
        ("'effect'", "'pure'"),
        {"effect": "pure", "effect_declared": False},
    ),
    Case(
        "effect-not-set-network",
        side("network: yes\n", head="name: tidy\nversion: 1.0.0\ndescription: T\n"),
        "warning",
        ("'effect'", "'once'"),
        {"effect": "once"},
    ),
    Case(
        "effect-not-set-writes",
        side("writes: true\n", head="name: tidy\nversion: 1.0.0\ndescription: T\n"),
        "warning",
        ("'effect'", "'once'"),
        {"effect": "once"},
    ),
    Case(
        "unknown-key", side("timeout: 5\n"), "warning", ("skill.yaml:5", "'timeout'", "did you mean 'timeout_seconds'?")
    ),
    Case("tags-as-text", side("tags: web, search\n"), "clean", gives={"tags": ["web", "search"]}),
    Case("tags-that-look-like-bools", side("tags: [no, on, 12]\n"), "clean", gives={"tags": ["no", "on", "12"]}),
    Case(
        "milliseconds",
        side("execution: {handler: skill.py, function: run, timeout: 1500}\n"),
        "clean",
        gives={"timeout_seconds": 1.5, "function": "run"},
    ),
    Case(
        "handler-without-ending",
        {**side("execution: {handler: analyzer}\n"), "analyzer.py": CODE},
        "clean",
        gives={"handler": "analyzer.py"},
    ),
    Case(
        "unknown-execution-key",
        side("execution: {handler: skill.py, func: run}\n"),
        "warning",
        ("skill.yaml:5", "'execution.func'", "'function'"),
    ),
    Case("prompt-template-makes-hybrid", side("prompt_template: 'Say {{text}}'\n"), "clean", gives={"kind": "hybrid"}),
    Case(
        "shorthand-schema",
        side("input: {query: {type: string}}\n"),
        "warning",
        ("skill.yaml:5", "properties"),
        {"parameters": ["query"]},
    ),
    Case(
        "required-beside-property",
        side("input_schema: {properties: {q: {type: string, required: true}}}\n"),
        "warning",
        ("skill.yaml:5", "'required'", "'q'"),
        {"input_schema": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}},
    ),
    Case(
        "property-named-on",
        side("input_schema: {type: object, properties: {on: {type: boolean}, yes: {}}}\n"),
        "clean",
        gives={"parameters": ["on", "yes"]},
    ),
    Case(
        "default-outside-its-schema",
        side("input_schema: {properties: {n: {type: integer, default: many}}}\n"),
        "warning",
        ("skill.yaml:5", "defaults.n: found 'many'", "integer"),
    ),
    Case(
        "example-outside-the-schema",
        side("input_schema: {properties: {n: {type: integer}}}\nexamples: [{arguments: {n: x}, why: w}]\n"),
        "warning",
        ("skill.yaml:6", "example 1", "arguments.n"),
    ),
    Case("example-as-program", side("examples: ['tidy(1)']\n"), "clean"),
    Case(
        "handler-has-syntax-error", {**side(), "skill.py": "def run(:\n"}, "warning", ("skill.py:1", "does not parse")
    ),
    Case("function-is-not-there", side("function: tidy_up\n"), "warning", ("skill.yaml:5", "'tidy_up'", "'run'")),
    Case(
        "misspelt-effect",
        side(head="name: tidy\nversion: 1.0.0\ndescription: T\neffect: onse\n"),
        "refused",
        ("skill.yaml:4", "'effect'", "'onse'", "'once'"),
    ),
    Case(
        "misspelt-kind",
        side("type: pure-scirpt\n"),
        "refused",
        ("skill.yaml:5", "'type'", "'pure-scirpt'", "did you mean 'pure-script'?"),
    ),
    Case(
        "timeout-is-text",
        side("timeout_seconds: soon\n"),
        "refused",
        ("skill.yaml:5", "'timeout_seconds'", "'soon'", "number"),
    ),
    Case(
        "timeout-is-negative",
        side("timeout_seconds: -1\n"),
        "refused",
        ("skill.yaml:5", "'timeout_seconds'", "-1", "greater than 0"),
    ),
    Case("infinite-timeout", side("timeout_seconds: 1e999\n"), "refused", ("skill.yaml", "inf", "finite")),
    Case(
        "milliseconds-are-text",
        side("execution: {timeout: soon}\n"),
        "refused",
        ("skill.yaml:5", "'execution.timeout'", "milliseconds"),
    ),
    Case("execution-is-text", side("execution: skill.py\n"), "refused", ("skill.yaml:5", "'execution'", "mapping")),
    Case(
        "handler-is-not-there",
        side("handler: skil.py\n"),
        "refused",
        ("skill.yaml:5", "'handler'", "did you mean 'skill.py'?"),
    ),
    Case(
        "handler-leads-out",
        side("handler: ../../etc/passwd.py\n"),
        "refused",
        ("skill.yaml:5", "'handler'", "not in the folder"),
    ),
    Case(
        "script-without-code",
        {"skill.yaml": side("type: pure-script\n")["skill.yaml"]},
        "refused",
        ("skill.yaml:5", "'type'", "skill.py"),
    ),
    Case(
        "prompt-without-prompt",
        {"skill.yaml": side("type: pure-prompt\n")["skill.yaml"]},
        "refused",
        ("skill.yaml:5", "prompt_template"),
    ),
    Case("schema-is-list", side("input_schema: [query]\n"), "refused", ("skill.yaml:5", "'input_schema'", "mapping")),
    Case(
        "schema-is-wrong",
        side("input_schema: {type: object, properties: {n: {type: int}}}\n"),
        "refused",
        ("skill.yaml:5", "'input_schema'", "properties.n.type", "'int'"),
    ),
    Case(
        "input-is-no-object",
        side("input_schema: {type: string}\n"),
        "refused",
        ("skill.yaml:5", "'input_schema'", "'string'", "'object'"),
    ),
    Case(
        "schema-fetches",
        side("input_schema: {$ref: 'https://example.org/s.json'}\n"),
        "refused",
        ("skill.yaml:5", "$ref", "example.org"),
    ),
    Case(
        "schema-points-nowhere",
        side("input_schema: {properties: {a: {$ref: '#/$defs/b'}}}\n"),
        "refused",
        ("skill.yaml:5", "$ref", "#/$defs/b"),
    ),
    Case("secret-with-space", side("secrets: {A: b}\n"), "refused", ("skill.yaml:5", "'secrets'", "list")),
    Case("network-is-maybe", side("network: maybe\n"), "refused", ("skill.yaml:5", "'network'", "'maybe'", "boolean")),
    Case(
        "side-file-is-empty",
        {"skill.yaml": "", "skill.py": CODE},
        "refused",
        ("skill.yaml", "'name'", "'version'", "'description'"),
    ),
    Case(
        "side-file-is-text", {"skill.yaml": "tidy", "skill.py": CODE}, "refused", ("skill.yaml:1", "'tidy'", "mapping")
    ),
    Case("neither-file", {"skill.py": CODE}, "refused", ("neither SKILL.md nor skill.yaml",)),
    Case(
        "file-too-large",
        {**side(), "data.bin": b"x" * ((1 << 20) + 1)},
        "refused",
        ("data.bin", "1048577 bytes", "1048576"),
    ),
    Case("hidden-files-do-not-count", {**side(), ".cache/huge.bin": b"x" * (2 << 20)}, "clean"),
]

CASES = [*MARKDOWN, *SIDE]
