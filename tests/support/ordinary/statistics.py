import random, statistics as st
rng = random.Random(42)
data = [round(rng.gauss(50, 12), 3) for _ in range(400)]
print(st.mean(data), st.median(data), st.stdev(data), st.quantiles(data, n=4), st.mode("aabbb"), st.multimode("aabb"), st.harmonic_mean([40, 60]))
x, y = [1, 2, 3, 4, 5], [2.1, 3.9, 6.2, 7.8, 10.1]
print(st.linear_regression(x, y), st.correlation(x, y), st.covariance(x, y), st.NormalDist.from_samples(data).cdf(60), st.geometric_mean([1, 10, 100]))
print(rng.sample(range(100), 5), rng.choices("abc", [1, 2, 7], k=6), rng.randint(1, 6), rng.shuffle(x), x, rng.getrandbits(70))
result = st.fmean(data)
