import cmath, math, operator
from functools import reduce
def primes(limit):
    sieve = bytearray([1]) * (limit + 1)
    sieve[:2] = b"\0\0"
    for n in range(2, math.isqrt(limit) + 1):
        if sieve[n]:
            sieve[n * n :: n] = bytes(len(range(n * n, limit + 1, n)))
    return [n for n, is_prime in enumerate(sieve) if is_prime]
found = primes(200_000)
print(len(found), found[-3:], reduce(operator.mul, found[:15]), 2**300 % 10**9, pow(7, -1, 101))
print(math.comb(60, 30), math.fsum([0.1] * 10), f"{math.pi:.15f}", cmath.sqrt(-2), round(2.675, 2), divmod(-7, 3), 0.1 + 0.2)
print(sum(int(d) for d in str(math.factorial(300))), math.gcd(2**40, 6**20), math.nextafter(1, 2), hash((1, 2.5, None)), hash("text"))
result = {"primes": len(found), "twins": sum(b - a == 2 for a, b in zip(found, found[1:]))}
