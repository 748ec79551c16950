"""Reviews a Python project: code, secrets and data. Writes report.md into the workspace.

`inputs` may say where the project is: {"path": "examples/inventory"}; default is the workspace itself.
"""

import asyncio
from collections import Counter

ROOT = (inputs or {}).get("path", ".").strip("/")


def inside(path):
    return path if ROOT == "." else f"{ROOT}/{path}"


async def review_module(path):
    """A module's score and issues; one that cannot be reviewed costs only its own row."""
    try:
        source, analysis = await asyncio.gather(
            skills.read_file(path=path),
            skills.code_analysis(path=path),
        )
    except SkillError as error:
        return {"path": path, "error": str(error)}
    untyped = [line.strip() for line in source["text"].splitlines() if line.startswith("def ") and "->" not in line]
    return {
        "path": path,
        "lines": source["lines"],
        "score": analysis["score"],
        "issues": [issue for issue in analysis["issues"] if issue["severity"] != "info"],
        "complexity": analysis["metrics"]["complexity_max"],
        "untyped": len(untyped),
    }


async def profile_data(path):
    try:
        return await skills.data_profile(path=path)
    except SkillError as error:
        return {"path": path, "rows": 0, "problems": [{"row": None, "column": None, "message": str(error)}]}


async def changes():
    """What the project says about its own history, if it does."""
    try:
        return (await skills.read_file(path=inside("CHANGELOG.md"), end_line=20))["text"]
    except SkillError:
        return ""


def code_section(modules):
    yield "## Code\n"
    yield "| module | lines | score | complexity | untyped functions |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for module in sorted(modules, key=lambda module: (module.get("score", -1), module["path"])):
        if "error" in module:
            yield f"| {module['path']} | not reviewed: {module['error']} | | | |"
        else:
            yield "| {path} | {lines} | {score} | {complexity} | {untyped} |".format(**module)
    yield ""
    for module in modules:
        for issue in module.get("issues", []):
            yield f"- `{module['path']}:{issue['line']}` {issue['message']} ({issue['rule']})"


def security_section(scan):
    yield "\n## Security\n"
    for secret in scan["secrets"]:
        yield f"- **{secret['type']}** in `{secret['file']}:{secret['line']}` ({secret['masked']}). {secret['fix']}."
    for finding in scan["findings"]:
        yield f"- {finding['severity']}: `{finding['file']}:{finding['line']}` {finding['message']}. {finding['fix']}."


def data_section(profiles):
    yield "\n## Data\n"
    for profile in profiles:
        yield f"### {profile['path']}: {profile['rows']} rows\n"
        for problem in profile["problems"]:
            place = f"row {problem['row']}" if problem["row"] else "whole file"
            yield f"- {place}{', ' + problem['column'] if problem['column'] else ''}: {problem['message']}"
        yield ""


def question_section(money, files):
    yield "## To look at with own eyes\n"
    yield "No checker decides these; each line is a place to read.\n"
    for match in money["matches"]:
        yield f"- `{match['path']}:{match['line']}` money as a binary fraction? `{match['text'].strip()}`"
    for match in files["matches"]:
        yield f"- `{match['path']}:{match['line']}` what if two run this at once? `{match['text'].strip()}`"


async def review():
    code, data = await asyncio.gather(
        skills.list_files(path=inside("shop"), pattern="**/[!_]*.py"),
        skills.list_files(path=inside("data")),
    )
    print(f"{len(code['files'])} modules, {len(data['files'])} data files")

    modules = await asyncio.gather(*(review_module(file["path"]) for file in code["files"]))
    scan, history = await asyncio.gather(skills.security_scan(path=inside("shop")), changes())
    profiles = await asyncio.gather(*(profile_data(file["path"]) for file in data["files"]))
    money, files = await asyncio.gather(
        skills.find_in_files(
            pattern=r"float\(|= 0\.0$|round\(.*, 2\)", regex=True, path=inside("shop"), glob="**/*.py"
        ),
        skills.find_in_files(pattern="os.path.exists(", path=inside("shop"), glob="**/*.py"),
    )

    report = [f"# Review of {ROOT if ROOT != '.' else 'the project'}\n"]
    if not history:
        report.append("There is no change log.\n")
    report += [
        *code_section(modules), *security_section(scan), *data_section(profiles), *question_section(money, files)
    ]  # fmt: skip
    written = await skills.write_file(path="report.md", content="\n".join(report) + "\n")

    rules = Counter(issue["rule"] for module in modules for issue in module.get("issues", []))
    return {
        "report": written["path"],
        "modules": len(modules),
        "not_reviewed": [module["path"] for module in modules if "error" in module],
        "worst": min((m for m in modules if "score" in m), key=lambda m: (m["score"], m["path"]), default={}).get(
            "path"
        ),
        "issues": dict(sorted(rules.items())),
        "security": scan["summary"],
        "data_problems": {profile["path"]: len(profile["problems"]) for profile in profiles},
        "places_to_read": len(money["matches"]) + len(files["matches"]),
    }


result = await review()
