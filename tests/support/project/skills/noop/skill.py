def run(i):
    return i
