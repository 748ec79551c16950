import re
log = '''2024-01-05 10:02:11 ERROR [db] timeout after 30s user=anna
2024-01-05 10:02:12 INFO [web] GET /index.html 200
2024-01-06 00:00:00 ERROR [web] 500 user=bob'''
row = re.compile(r'''(?P<day>\d{4}-\d\d-\d\d)\s(?P<time>[\d:]+)\s   # when
    (?P<level>[A-Z]+)\s\[(?P<part>\w+)\]\s(?P<rest>.*)''', re.X)
rows = [m.groupdict() for m in row.finditer(log)]
print([r["part"] for r in rows if r["level"] == "ERROR"], re.sub(r"user=(\w+)", lambda m: f"user={m[1].upper()}", log))
print(re.split(r"[,;]\s*", "a, b;c"), re.fullmatch(r"(?i)yes|no", "YES").span(), re.findall(r"(?<=\$)\d+(?:\.\d\d)?", "$5 and $7.50"))
print(re.sub(r"(\w)(?=(\w{3})+$)", r"\1.", "1234567"), re.escape("a.b*c"), bool(re.match(r"(a)?(?(1)b|c)$", "ab")))
try:
    re.compile("(unclosed")
except re.error as exc:
    print(type(exc).__name__, exc, exc.pos)
result = rows
