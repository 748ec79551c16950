import sqlite3, tempfile, pathlib
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "shop.db"
    db = sqlite3.connect(path)
    db.row_factory = sqlite3.Row
    db.executescript("create table item(id integer primary key, name text unique, price real); create index p on item(price);")
    with db:
        db.executemany("insert into item(name, price) values(?, ?)", [(f"n{k}", k * 1.5) for k in range(500)])
    try:
        with db: db.execute("insert into item(name) values('n1')")
    except sqlite3.IntegrityError as exc:
        print(exc)
    print([dict(r) for r in db.execute("select name, price from item where price > ? order by price limit 2", (700,))])
    db.create_function("half", 1, lambda x: x / 2)
    print(db.execute("select sum(half(price)), count(*), avg(price), group_concat(substr(name, 2), '-') from item where id < 5").fetchone()[:])
    print(db.execute("with recursive c(n) as (select 1 union all select n + 1 from c where n < 10) select sum(n) from c").fetchone()[0])
    print([*db.execute("select name, rank() over (order by price desc) r from item limit 3").fetchall()[0]])
    print(db.execute("pragma journal_mode=wal").fetchone()[0], db.execute("pragma integrity_check").fetchone()[0], db.execute("select json_extract('{\"a\": [1, 2]}', '$.a[1]')").fetchone()[0])
    with sqlite3.connect(":memory:") as copy: db.backup(copy)
    result = copy.execute("select count(*) from item").fetchone()[0]
    db.close(); copy.close()
