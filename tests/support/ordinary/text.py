import difflib, html, re, string, textwrap, unicodedata
text = "The quick brown fox — naïve café, 日本語, e\u0301 — jumps over the lazy dog. " * 6
print(textwrap.fill(text, 50, initial_indent="* ", subsequent_indent="  "))
print(textwrap.dedent("    a\n      b\n"), textwrap.shorten(text, 40), unicodedata.normalize("NFC", "e\u0301"), unicodedata.name("é"))
print("ß".casefold(), "İ".lower().encode(), "ǆ".title(), "%-10s|%08.3f|%x" % ("ab", 3.14159, 255), f"{'mid':^9}|{1234567.891:,.2f}|{0.000012:e}|{255:#b}")
print(string.Template("$who likes ${what}").substitute(who="tim", what="kung pao"), html.escape("<a href='x'>"), html.unescape("&eacute;&#x2014;"))
print("".join(difflib.unified_diff(["a\n", "b\n"], ["a\n", "c\n"], "old", "new")), difflib.get_close_matches("appel", ["ape", "apple", "peach"]))
words = re.findall(r"\w+", text)
result = sorted({w: words.count(w) for w in words}.items(), key=lambda p: (-p[1], p[0]))[:5]
