import base64, binascii, configparser, json, pickle, plistlib, struct, tomllib, xml.etree.ElementTree as ET
from urllib.parse import parse_qs, quote, urlencode, urljoin, urlsplit
value = {"é": [1, 2.5, None, True, {"x": "\u2028"}], "b": "a/b", "n": 12345678901234567890}
print(json.dumps(value), json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True), json.loads('[1e3, -0.0, "\\u00e9"]'))
try:
    json.loads('{"a": 1,}')
except json.JSONDecodeError as exc:
    print(exc, exc.pos)
root = ET.fromstring("<a><b k='1'>t</b><b k='2'/><!-- c --></a>")
print([b.get("k") for b in root.iter("b")], root.find("b[@k='2']").attrib, ET.tostring(root))
config = configparser.ConfigParser(); config.read_string("[a]\nx = 1\ny = ${x}\n[DEFAULT]\nz=yes")
print({s: dict(config[s]) for s in config.sections()}, config["a"].getboolean("z"), tomllib.loads("a = 1\n[b]\nc = [1979-05-27, 2.5]\n"))
print(urlsplit("https://u@h.example:8/p/a;b?q=1&q=2#f"), parse_qs("q=1&q=2"), urlencode({"a b": "ü"}), urljoin("http://x/a/b", "../c"), quote("a/b c"))
print(base64.b64encode(b"\x00\xff" * 9), base64.b32encode(b"hi"), binascii.crc32(b"hello"), struct.pack(">IhB4s", 1, -2, 3, b"ab"), struct.calcsize("<qd"))
print(pickle.loads(pickle.dumps(value)) == value, plistlib.loads(plistlib.dumps({"a": [1, b"x"]})), struct.unpack("<f", b"\0\0\x80?"))
result = value
