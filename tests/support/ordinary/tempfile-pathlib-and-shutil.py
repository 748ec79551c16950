import fnmatch, glob, os, pathlib, shutil, stat, tempfile
with tempfile.TemporaryDirectory() as name:
    root = pathlib.Path(name)
    (root / "a/b").mkdir(parents=True); (root / "a/b/x.txt").write_text("héllo\n", "utf-8"); (root / "a/y.bin").write_bytes(bytes(range(256)))
    (root / "link").symlink_to("a/y.bin"); os.link(root / "a/y.bin", root / "hard")
    shutil.copytree(root / "a", root / "copy"); shutil.copy2(root / "a/y.bin", root / "z.bin"); shutil.move(root / "z.bin", root / "moved")
    print(sorted(str(p.relative_to(root)) for p in root.rglob("*")), (root / "link").readlink(), (root / "hard").stat().st_nlink, (root / "a/y.bin").stat().st_size)
    os.chmod(root / "moved", 0o600); os.utime(root / "moved", (1, 2)); (root / "moved").rename(root / "renamed")
    print(stat.filemode((root / "renamed").stat().st_mode), (root / "renamed").stat().st_mtime, sorted(glob.glob("**/*.txt", root_dir=root, recursive=True)), fnmatch.filter(["a.py", "b.c"], "*.py"))
    with open(root / "log", "a+", encoding="utf-8") as f:
        print("one", "two", sep="|", file=f); f.seek(0); f.truncate(5); print(f.read())
    with tempfile.NamedTemporaryFile("w+", dir=root, suffix=".t") as f:
        f.write("x" * 10); f.flush(); print(os.path.getsize(f.name), pathlib.Path(f.name).suffix, os.fstat(f.fileno()).st_size)
    with tempfile.SpooledTemporaryFile(max_size=4) as f: f.write(b"12345678"); f.seek(2); print(f.read(3))
    for folder, folders, files in os.walk(root / "copy"): print(os.path.basename(folder), sorted(folders), sorted(files))
    print([e.name for e in sorted(os.scandir(root / "a"), key=lambda e: e.name)], shutil.disk_usage(root).total > 0, (root / "a").is_dir(), os.path.samefile(root / "hard", root / "a/y.bin"))
    try: (root / "nothing").read_text()
    except FileNotFoundError as exc: print(exc.strerror, exc.errno)
    os.chdir(root); print(pathlib.Path("a/../a/b").resolve().relative_to(root.resolve()), pathlib.PurePosixPath("/x/y.tar.gz").suffixes, sorted(os.listdir())); os.chdir("/")
    shutil.rmtree(root / "copy")
result = pathlib.Path(name).exists()
