import operator, re
TOKEN = re.compile(r"\s*(?:(\d+\.?\d*)|(.))")
OPS = {"+": (1, operator.add), "-": (1, operator.sub), "*": (2, operator.mul), "/": (2, operator.truediv), "^": (3, operator.pow)}
class Parser:
    def __init__(self, text): self.tokens = [(n, o) for n, o in TOKEN.findall(text) if n or o.strip()]; self.at = 0
    def peek(self): return self.tokens[self.at] if self.at < len(self.tokens) else ("", "")
    def take(self): self.at += 1; return self.tokens[self.at - 1]
    def atom(self):
        number, op = self.take()
        if number: return float(number)
        if op == "-": return -self.atom()
        if op == "(":
            value = self.expression(); assert self.take()[1] == ")", "expected )"; return value
        raise SyntaxError(f"unexpected {op!r}")
    def expression(self, least=1):
        left = self.atom()
        while (op := self.peek()[1]) in OPS and OPS[op][0] >= least:
            self.take(); level, do = OPS[op]
            left = do(left, self.expression(level + (op != "^")))
        return left
for text in ("1 + 2 * 3", "(1 + 2) * 3", "2 ^ 3 ^ 2", "-4 / (2 - 3)", "2 * (3", "1 / 0", "* 2"):
    try: print(text, "=", Parser(text).expression())
    except (SyntaxError, AssertionError, ArithmeticError, IndexError) as exc: print(text, "->", type(exc).__name__, exc)
program, memory, out, pc = [("set", "a", 1), ("add", "a", "a"), ("jlt", "a", 1000, 1), ("out", "a")], {}, [], 0
while pc < len(program):
    match program[pc]:
        case ("set", name, value): memory[name] = value
        case ("add", name, other): memory[name] += memory[other]
        case ("jlt", name, limit, to) if memory[name] < limit: pc = to; continue
        case ("out", name): out.append(memory[name])
    pc += 1
result = out
