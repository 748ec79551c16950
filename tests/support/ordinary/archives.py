import bz2, gzip, io, lzma, tarfile, tempfile, zipfile, zlib, os
data = b"".join(b"line %d of some text that repeats\n" % k for k in range(3000))
print([module.decompress(module.compress(data)) == data for module in (zlib, gzip, bz2, lzma)], zlib.crc32(data), zlib.adler32(data), len(lzma.compress(data)) < 5000)
buffer = io.BytesIO()
with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as z:
    z.writestr("a/b.txt", data); z.writestr(zipfile.ZipInfo("c.txt", (2024, 1, 5, 7, 8, 10)), "é")
with zipfile.ZipFile(buffer) as z:
    print(z.namelist(), z.testzip(), z.read("c.txt").decode(), z.getinfo("c.txt").date_time, z.getinfo("a/b.txt").file_size)
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "t.tar.gz")
    with tarfile.open(path, "w:gz") as t:
        info = tarfile.TarInfo("x/y"); info.size = len(data); info.mtime = 1_000_000_000; t.addfile(info, io.BytesIO(data))
    with tarfile.open(path) as t:
        t.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {})); print(t.getnames(), t.getmember("x/y").size)
    with zipfile.ZipFile(os.path.join(folder, "z.zip"), "w") as z: z.write(os.path.join(folder, "x/y"), "y")
    with gzip.open(os.path.join(folder, "g.gz"), "wt", encoding="utf-8") as f: f.write("ü\n" * 3)
    with gzip.open(os.path.join(folder, "g.gz"), "rt", encoding="utf-8") as f: lines = f.readlines()
    print(os.path.getsize(os.path.join(folder, "x/y")) == len(data), zipfile.is_zipfile(os.path.join(folder, "z.zip")))
result = lines
