"""What a program would like to write, and how it would like to be exported."""

PROGRAMS = {
    "upwards": "attempt(lambda: open('../' * 20 + inputs['open'] + '/x', 'w'))\nlook()",
    "absolute": "attempt(lambda: open(inputs['open'] + '/x', 'w'), lambda: os.mkdir(inputs['open'] + '/y'))",
    "through a link": "os.symlink(inputs['open'], 'door')\nattempt(lambda: open('door/x', 'w'), lambda: os.mkdir('door/y'))",
    "through a link, by descriptor": """
os.symlink(inputs["open"], "door")
attempt(lambda: os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=os.open("door", os.O_RDONLY)),
        lambda: os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=os.open(inputs["open"], os.O_PATH)))
""",
    "a hard link to a host's file": """
attempt(lambda: os.link(inputs["secret"], "mine"), lambda: open("mine").read(),
        lambda: os.link(inputs["shared"], "mine2"), lambda: open("mine2", "a").write("x"))
""",
    "a file moved out": "open('a', 'w').write('x')\nattempt(lambda: os.rename('a', inputs['open'] + '/x'))",
    "a file moved in": "attempt(lambda: os.rename(inputs['open_file'], 'a'), lambda: open('a').read())",
    "a file without a name": "attempt(lambda: os.open(inputs['open'], os.O_TMPFILE | os.O_RDWR))\nlook()",
    "append to a file that all may write": "attempt(lambda: open(inputs['shared'], 'a').write('x'))",
    "truncate a file that all may write": """
attempt(lambda: os.truncate(inputs["shared"], 0), lambda: open(inputs["shared"], "w"))
""",
    "delete": "attempt(lambda: os.unlink(inputs['open_file']), lambda: os.unlink(inputs['shared']))",
    "modes, times and owners": """
for path in (inputs["secret"], inputs["shared"], inputs["open"]):
    attempt(lambda: os.chmod(path, 0o777), lambda: os.utime(path, (1, 1)), lambda: os.chown(path, 1, 1),
            lambda: os.setxattr(path, "user.x", b"x"), lambda: os.fchmod(os.open(path, os.O_PATH), 0o777))
""",
    "the interpreter's own files": """
for path in (os.__file__, sys.executable, json.__file__):
    attempt(lambda: open(path, "r+b"), lambda: os.chmod(path, 0o777), lambda: os.unlink(path), lambda: os.rename(path, "x"),
            lambda: os.utime(path, (1, 1)))
""",
    "the guest's own file": """
path = next(o for o in sys.orig_argv if o.endswith("guest.py")) if any(o.endswith("guest.py") for o in sys.orig_argv) else "/guest.py"
attempt(lambda: open(path, "w"), lambda: os.unlink(path), lambda: os.rename(path, "g"))
""",
    "devices": """
attempt(lambda: os.mknod("disk", 0o60666, os.makedev(8, 0)), lambda: open("disk", "rb").read(10))
for name in ("mem", "kmsg", "sda", "vda", "fuse", "kvm", "tty", "ptmx", "shm/x"):
    attempt(lambda: os.open(f"/dev/{name}", os.O_RDWR | os.O_CREAT))
look()
""",
    "usual places": """
for folder in ("/", "/tmp", "/var/tmp", "/dev/shm", "/run", "/dev", "/ws/..", "/usr/lib", "/etc", os.path.dirname(os.__file__)):
    attempt(lambda: open(f"{folder}/holdfast-escaped", "w").write("x"))
""",
    "export of a link": "os.symlink(inputs['secret'], 'export')\nlook()",
    "export through a folder that is a link": """
os.symlink(os.path.dirname(inputs["secret"]), "folder")
os.symlink("/", "export")
look()
""",
    "export of what changes under the hand": """
open("plain", "w").write("x")
os.symlink(inputs["secret"], "link")
print("LOOK", flush=True)
end = time.monotonic() + 20
while True:
    for name in ("plain", "link"):
        try: os.link(name, "tmp", follow_symlinks=False); os.rename("tmp", "export")
        except OSError: pass
""",
    "export of a folder that changes under the hand": """
os.makedirs("plain"); open("plain/canary", "w").write("x")
os.symlink(os.path.dirname(inputs["secret"]), "link")
print("LOOK", flush=True)
while True:
    for name in ("plain", "link"):
        try: os.rename(name, "export"); os.rename("export", name)
        except OSError: pass
""",
    "names that are no names": r"""
for name in ("a\nb", "\x1b[2J", "-rf", "$(touch x)", "\u202e", "x" * 255, "\udcff"):
    attempt(lambda: open(name, "w").write("x"))
open("export\n", "w").write("x")
look()
""",
    "a sparse file of a terabyte": """
attempt(lambda: open("export", "wb").truncate(1 << 40))
look()
""",
    "out of an archive, and out of a database": """
import io, sqlite3, tarfile
there = inputs["open"] + "/x"
packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w") as archive:
    door = tarfile.TarInfo("door")
    door.type, door.linkname = tarfile.SYMTYPE, inputs["open"]
    archive.addfile(door)
    for name in ("door/x", there, "../" * 20 + there):
        one = tarfile.TarInfo(name)
        one.size = 1
        archive.addfile(one, io.BytesIO(b"x"))
packed.seek(0)
archive = tarfile.open(fileobj=packed)
attempt(*(lambda one=one: archive.extract(one, "unpacked") for one in archive.getmembers()))
base = sqlite3.connect(":memory:")
for text in (f"attach '{there}' as x", f"vacuum into '{there}'", f"pragma temp_store_directory = '{inputs['open']}'"):
    attempt(lambda: base.execute(text))
""",
}
