import hashlib, hmac, uuid, zlib, random, base64
names = ["md5", "sha1", "sha256", "sha512", "sha3_256", "blake2b", "blake2s"]
for name in names:
    print(name, hashlib.new(name, b"abc").hexdigest())
h = hashlib.sha256()
for part in (b"a", b"b" * 100_000): h.update(part)
print(h.copy().hexdigest(), h.digest_size, hashlib.shake_128(b"x").hexdigest(8), hashlib.blake2b(b"x", key=b"k", digest_size=8).hexdigest())
print(hmac.new(b"key", b"msg", "sha256").hexdigest(), hmac.compare_digest("a", "a"), hashlib.pbkdf2_hmac("sha256", b"pw", b"salt", 1000).hex(), hashlib.scrypt(b"pw", salt=b"s", n=16, r=1, p=1, dklen=8).hex())
print(uuid.uuid5(uuid.NAMESPACE_DNS, "example.org"), uuid.uuid3(uuid.NAMESPACE_URL, "x"), uuid.UUID(int=5), uuid.uuid4().version, len(uuid.uuid4().hex), sorted(hashlib.algorithms_guaranteed)[:3])
random.seed(5); print(random.random(), random.randrange(100), random.sample("abcdef", 3), random.Random("text").random())
result = base64.urlsafe_b64encode(hashlib.sha256(b"").digest()).decode()
