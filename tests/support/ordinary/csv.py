import csv, io
source = 'name,qty,price\n"Bolt, large",10,1.50\n"He said ""hi""",3,2\nNut,,0.1\n"two\nlines",1,9\n'
rows = list(csv.DictReader(io.StringIO(source)))
out = io.StringIO()
writer = csv.DictWriter(out, ["name", "total"], quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
writer.writeheader()
writer.writerows({"name": r["name"], "total": float(r["qty"] or 0) * float(r["price"])} for r in rows)
print(out.getvalue())
print(csv.Sniffer().sniff("a;b;c\n1;2;3\n").delimiter, csv.Sniffer().has_header("name,age\nanna,3\nbob,4\n"), next(csv.reader(["a\tb"], "excel-tab")))
result = rows
