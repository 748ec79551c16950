"""Asks a person what to do about bad rows, waits as long as it takes, and goes on where it was."""

path = (inputs or {}).get("path", "data/products.csv")
profile = skills.data_profile(path=path)
problems = [f"row {p['row']}, {p['column']}: {p['message']}" for p in profile["problems"]]

decision = skills.ask(
    text=f"{path} has {len(problems)} problems:\n" + "\n".join(problems) + "\nWrite them down for the shop?",
    options=["yes", "no"],
)

if decision == "yes":
    skills.write_file(path="problems.txt", content="\n".join(problems) + "\n")
result = {"problems": len(problems), "written": decision == "yes"}
